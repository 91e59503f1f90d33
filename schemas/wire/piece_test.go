package wire_test

import (
	"testing"

	"keytrail/schemas/wire"
)

// TestPieces: lists of a frame that are appended to do not run into each other.
func TestPieces(t *testing.T) {
	for seed := range uint64(20) {
		want := sample(seed, 30)
		data := wire.AppendFrame(nil, new(wire.Encoder), &want)
		got, err := wire.NewDecoder(data).Frame()
		if err != nil {
			t.Fatal(err)
		}
		for i := range got.Partials {
			p := &got.Partials[i]
			_ = append(p.Counters, wire.Counter{ID: 3, N: 1e9})
			_ = append(p.Samples, wire.SampleOf("appended"))
			for k := range p.Sets {
				_ = append(p.Sets[k].Values, wire.HashCount{Hash: 1, N: 1e9})
			}
		}
		if string(wire.AppendFrame(nil, new(wire.Encoder), &got)) != string(data) {
			t.Errorf("seed %d: what was appended to one list is in another", seed)
		}
	}
}

// TestShortFrame: most frames of a quiet partition hold a partial or two, which take
// little memory.
func TestShortFrame(t *testing.T) {
	frame := wire.Frame{Partials: []wire.Partial{{Entity: wire.Entity{Scope: wire.ScopePair, Key: "key", Principal: "p"}, Start: 60e9,
		Counters: []wire.Counter{{ID: wire.CounterCalls, N: 1}}, Samples: []wire.Sample{wire.SampleOf("a")}}}}
	frame.Partials[0].Sets[0].Values = []wire.HashCount{{Hash: 7, N: 1}}
	data := wire.AppendFrame(nil, new(wire.Encoder), &frame)
	result := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			if _, err := wire.NewDecoder(data).Frame(); err != nil {
				b.Fatal(err)
			}
		}
	})
	if n := result.AllocedBytesPerOp(); n > 4096 {
		t.Errorf("%d bytes of memory for a frame of %d", n, len(data))
	}
}
