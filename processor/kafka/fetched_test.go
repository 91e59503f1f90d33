package kafka

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestSpare checks that a slice from the pool fits, has one owner, and that the pool
// stays within its bound.
func TestSpare(t *testing.T) {
	const most = 10_000
	var s spare[byte]
	rng, out := rand.New(rand.NewPCG(1, 1)), map[*byte][]byte{}
	found := 0
	for range 20_000 {
		if rng.IntN(2) == 0 {
			n := 1 + rng.IntN(1000)
			b := s.get(n)
			if b == nil {
				b = make([]byte, n)
			} else {
				found++
			}
			if len(b) < n || len(b) > 2*n {
				t.Fatalf("%d bytes for %d", len(b), n)
			}
			if out[&b[0]] != nil {
				t.Fatal("what somebody has is handed out again")
			}
			out[&b[0]] = b
		} else {
			for at, b := range out {
				delete(out, at)
				s.put(b[:rng.IntN(len(b))], most)
				break
			}
		}
		held := 0
		for _, b := range s.free {
			held += cap(b)
		}
		if held != s.held || held > most {
			t.Fatalf("%d bytes are kept, said to be %d, bound %d", held, s.held, most)
		}
	}
	if found < 1000 {
		t.Errorf("memory was used again %d times: this tests too little", found)
	}
}

// TestFetchBytes checks that fetches shrink as soon as batches grow much.
func TestFetchBytes(t *testing.T) {
	var g growth
	f := func(ratio int, low, high int32) {
		t.Helper()
		if ratio > 0 {
			g.add(1000*ratio, 1000)
		}
		if most, part := g.fetchBytes(); most < low || most > high || part != most/4 {
			t.Errorf("%d and %d bytes, want %d to %d", most, part, low, high)
		}
	}
	f(0, 768<<10, 768<<10) // before the first batch
	f(2, mostFetch, mostFetch)
	f(24, 512<<10, 512<<10)
	f(2, 512<<10, 540<<10) // not yet much more
	f(200, leastFetch, leastFetch)
	for range 1000 {
		g.add(5000, 1000)
	}
	f(5, mostFetch, mostFetch)
}

// TestFetchedFits checks that the fetch size follows the batches.
func TestFetchedFits(t *testing.T) {
	var f fetched
	cl, err := kgo.NewClient(f.options()...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for _, c := range []struct {
		ratio int
		want  int32
	}{{24, 512 << 10}, {25, 512 << 10}, {48, 256 << 10}} { // a small change does not count
		f.add(1000*c.ratio, 1000)
		f.fit(cl)
		if got := cl.OptValue(kgo.FetchMaxBytes); got != c.want {
			t.Errorf("after batches that grew %d times: %v bytes a fetch, want %d", c.ratio, got, c.want)
		}
	}
}

// TestFetchedHoldsWhatItNeeds checks that, after a batch that grew a thousandfold, a
// batch of any codec holds at most about twice its size, and that its memory is reused.
func TestFetchedHoldsWhatItNeeds(t *testing.T) {
	rng, text := rand.New(rand.NewPCG(1, 1)), make([]byte, 256<<10)
	for i := range text {
		text[i] = "keytrail"[rng.IntN(8)]
	}
	for _, codec := range []kgo.CompressionCodec{kgo.GzipCompression(), kgo.SnappyCompression(), kgo.ZstdCompression(), kgo.Lz4Compression()} {
		f := &fetched{}
		d := &decompressor{kgo.DefaultDecompressor(f), f}
		c, err := kgo.DefaultCompressor(codec)
		if err != nil {
			t.Fatal(err)
		}
		src, kind := c.Compress(new(bytes.Buffer), text)
		for round := range 3 {
			f.usual.Store(1000 << 8)
			got, err := d.Decompress(src, kind)
			if err != nil || !bytes.Equal(got, text) {
				t.Fatalf("codec %d: %d bytes and %v, want %d", kind, len(got), err, len(text))
			}
			if cap(got) > 2*len(text)+len(text)/2 {
				t.Errorf("codec %d, round %d: %d bytes take %d", kind, round, len(got), cap(got))
			}
			f.PutDecompressBytes(got)
			if f.bytes.held == 0 || f.bytes.held > fetchTarget {
				t.Errorf("codec %d, round %d: %d bytes are kept", kind, round, f.bytes.held)
			}
		}
	}
}

// FuzzDecompress compares decompression into reused memory with the client's own.
func FuzzDecompress(f *testing.F) {
	text := []byte(strings.Repeat(`{"eventName":"Decrypt","eventSource":"kms.amazonaws.com"}`, 700))
	for _, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.ZstdCompression(), kgo.Lz4Compression()} {
		src, kind := text, kgo.CodecNone
		if c, err := kgo.DefaultCompressor(codec); err != nil {
			f.Fatal(err)
		} else if c != nil {
			src, kind = c.Compress(new(bytes.Buffer), text)
		}
		f.Add(uint8(kind), bytes.Clone(src))
	}
	memory, client := &fetched{}, kgo.DefaultDecompressor()
	d := &decompressor{kgo.DefaultDecompressor(memory), memory}
	f.Fuzz(func(t *testing.T, codec uint8, src []byte) {
		kind := kgo.CompressionCodecType(codec % 5)
		want, wrong := client.Decompress(bytes.Clone(src), kind)
		got, err := d.Decompress(src, kind)
		if (err == nil) != (wrong == nil) || err == nil && !bytes.Equal(got, want) {
			t.Errorf("codec %d: %d bytes and %v, want %d and %v", kind, len(got), err, len(want), wrong)
		}
		if err == nil && kind != kgo.CodecNone {
			memory.PutDecompressBytes(got)
		}
	})
}
