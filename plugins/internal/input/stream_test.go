package input

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"keytrail/plugins/internal/chunk"
)

// refuser is a host that refuses pieces and reuses its memory.
type refuser struct {
	memory  []byte
	refuse  func() bool
	taken   []byte
	refused []byte // the last piece, unless it was taken
	offers  int
}

// stream is one call that the host makes. It reports whether a piece was refused.
func (r *refuser) stream(t *testing.T, in *Input) (ended bool) {
	in.Stream(func(n int) []byte {
		clear(r.memory)
		r.memory = make([]byte, n)
		return r.memory
	}, func(size int) bool {
		r.offers++
		piece := r.memory[:size]
		if ended {
			t.Error("a piece is offered behind one that was refused")
		}
		if r.refused != nil && !bytes.Equal(piece, r.refused) {
			t.Errorf("%d bytes were refused, and %d others are offered", len(r.refused), size)
		}
		if ended = r.refuse(); ended {
			r.refused = bytes.Clone(piece)
			return false
		}
		r.taken, r.refused = append(r.taken, piece...), nil
		return true
	})
	clear(r.memory)
	return ended
}

// Whatever the host refuses, it is offered again before anything else, and all records
// come once and in order.
func TestStreamOffersRefusedPiecesAgain(t *testing.T) {
	const size, blocks = 200 << 10, 200
	for seed := range uint64(5) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		b := newBench(t)
		b.cfg.BatchBytes, b.cfg.QueueBytes = 9<<20, 64<<20
		b.start()
		var want []byte
		for i := range blocks {
			one := bytes.Repeat([]byte{byte(i)}, size)
			want = append(want, one...)
			b.in.q.push(blockOf(&flight{}, slices.Clone(one)))
		}
		host := refuser{refuse: func() bool { return rnd.IntN(2) == 0 }}
		for calls := 0; len(host.taken) < len(want) && calls < 1000; calls++ {
			host.stream(t, b.in)
		}
		if !bytes.Equal(host.taken, want) {
			t.Errorf("seed %d: the host has %d bytes of %d, or others", seed, len(host.taken), len(want))
		}
		if err := b.in.Stop(); err != nil {
			t.Error(err)
		}
	}
}

// An object of which Fluent Bit has refused a piece is not done, however long that lasts,
// and an end of Fluent Bit then repeats it. A pause and the end keep pieces from being
// offered.
func TestRefusedRecordsAreNotDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.write("1", event("a"))
		b.start()
		pass(b.cfg.PollInterval)
		no := refuser{refuse: func() bool { return true }}
		for range 600 {
			if !no.stream(t, b.in) {
				t.Fatal("the piece is not offered again")
			}
			pass(time.Second)
		}
		b.in.Pause()
		if no.stream(t, b.in) {
			t.Error("a piece is offered in a pause")
		}
		b.in.Resume()
		if s := b.in.Stats(); s.HandedOver != 0 || s.Queued != 1 {
			t.Errorf("a refused piece is counted as handed over: %+v", s)
		}
		b.stop()
		if log := strings.Join(b.lines, "\n"); strings.Count(log, "Fluent Bit refuses") < 5 || strings.Count(log, "Fluent Bit refuses") > 11 {
			t.Errorf("the log of ten minutes is\n%s", log)
		}

		b.start() // nothing was done
		pass(b.cfg.PollInterval)
		no.refused = nil
		no.stream(t, b.in)
		pass(time.Hour)
		yes := refuser{refuse: func() bool { return false }}
		yes.stream(t, b.in)
		if s := b.in.Stats(); s.HandedOver != 1 || s.Queued != 0 {
			t.Errorf("after the host has taken the piece: %+v", s)
		}
		var w chunk.Walker
		w.Reset(yes.taken, 0)
		if e := (chunk.Entry{}); !w.Next(&e) || string(e.JSON) != event("a") {
			t.Errorf("the host has %q", yes.taken)
		}
		pass(b.cfg.Settle - time.Nanosecond)
		b.in.Closing()
		b.stop()

		b.start() // the last time was not settled: Settle begins when the piece is taken
		pass(b.cfg.PollInterval)
		yes.stream(t, b.in)
		pass(b.cfg.Settle + b.cfg.PollInterval)
		b.stop()
		b.start()
		pass(time.Hour)
		b.want()
		b.stop()
	})
}
