package kafka

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kgo"
)

// lz4Texts are contents that pack in different ways.
func lz4Texts() map[string][]byte {
	rng := rand.New(rand.NewPCG(1, 1))
	random := make([]byte, 300_000)
	for i := range random {
		random[i] = byte(rng.Uint32())
	}
	return map[string][]byte{
		"empty": {}, "short": []byte("a"), "random": random, "zeros": make([]byte, 9<<20),
		"text":  []byte(strings.Repeat(`{"eventName":"Decrypt","eventSource":"kms.amazonaws.com"}`, 20_000)),
		"mixed": append(bytes.Clone(random[:70_000]), bytes.Repeat([]byte("abc"), 100_000)...),
	}
}

func lz4Pack(t testing.TB, text []byte, options ...lz4.Option) []byte {
	t.Helper()
	var out bytes.Buffer
	w := lz4.NewWriter(&out)
	if err := w.Apply(options...); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestLZ4 reads what the library writes, with each of its options, and what franz-go
// does; the second time with the ratio of quite another batch.
func TestLZ4(t *testing.T) {
	d := newLZ4Blocks()
	compressor, err := kgo.DefaultCompressor(kgo.Lz4Compression())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range lz4Texts() {
		packed := map[string][]byte{
			"64 KiB": lz4Pack(t, text, lz4.BlockSizeOption(lz4.Block64Kb), lz4.ChecksumOption(false)),
			"4 MiB":  lz4Pack(t, text, lz4.BlockSizeOption(lz4.Block4Mb)), "sums": lz4Pack(t, text, lz4.BlockChecksumOption(true)),
			"sized": lz4Pack(t, text, lz4.SizeOption(uint64(len(text)))), "legacy": lz4Pack(t, text, lz4.LegacyOption(true)),
			"two": append(lz4Pack(t, text), lz4Pack(t, []byte("b"))...),
		}
		var out bytes.Buffer
		packed["franz-go"], _ = compressor.Compress(&out, text)
		for kind, src := range packed {
			_, _, plain := lz4Frame(src)
			if want := kind != "sums" && kind != "legacy" && kind != "two"; plain != want {
				t.Errorf("%s, %s: taken for plain is %v, want %v", name, kind, plain, want)
			}
			theirs, wrong := kgo.DefaultDecompressor().Decompress(src, kgo.CodecLz4)
			got, err := d.Decompress(src, kgo.CodecLz4)
			if (err == nil) != (wrong == nil) || !bytes.Equal(got, theirs) {
				t.Errorf("%s, %s: %d bytes and %v, want %d and %v", name, kind, len(got), err, len(theirs), wrong)
			}
			if err == nil && kind == "64 KiB" && !bytes.Equal(got, text) {
				t.Errorf("%s: %d bytes, want %d", name, len(got), len(text))
			}
		}
	}
	for _, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.ZstdCompression()} {
		c, err := kgo.DefaultCompressor(codec)
		if err != nil {
			t.Fatal(err)
		}
		src, kind := []byte("text"), kgo.CodecNone
		if c != nil {
			src, kind = c.Compress(new(bytes.Buffer), []byte("text"))
		}
		if got, err := d.Decompress(src, kind); err != nil || string(got) != "text" {
			t.Errorf("codec %d: %q, %v", kind, got, err)
		}
	}
}

// TestLZ4Ratio: after batches that hardly pack, or do not pack at all, those that grow
// much are soon decompressed at once again.
func TestLZ4Ratio(t *testing.T) {
	d, text := newLZ4Blocks(), lz4Texts()["text"]
	d.growth.usual.Store(1)
	src := lz4Pack(t, text)
	for range 8 {
		if got, err := d.Decompress(src, kgo.CodecLz4); err != nil || !bytes.Equal(got, text) {
			t.Fatalf("%d bytes and %v, want %d", len(got), err, len(text))
		}
	}
	blocks, most, _ := lz4Frame(src)
	if out, ok := d.blocks(blocks, most, len(src)); !ok || !bytes.Equal(out, text) {
		t.Errorf("at a ratio of %d/256 a batch of %d bytes, packed to %d, is left to the client", d.growth.usual.Load(), len(text), len(src))
	}
}

// A block of no bytes that is not compressed is no end of the frame: what the client's
// way makes of it is what counts.
func TestLZ4EmptyBlock(t *testing.T) {
	src := lz4Pack(t, []byte("text"), lz4.ChecksumOption(false))
	end := len(src) - 4
	for name, tail := range map[string][]byte{"at the end": {0, 0, 0, 0x80}, "before the end": {0, 0, 0, 0x80, 0, 0, 0, 0}} {
		cut := append(bytes.Clone(src[:end]), tail...)
		want, wrong := kgo.DefaultDecompressor().Decompress(cut, kgo.CodecLz4)
		got, err := newLZ4Blocks().Decompress(cut, kgo.CodecLz4)
		if (err == nil) != (wrong == nil) || !bytes.Equal(got, want) {
			t.Errorf("%s: %q and %v, want %q and %v", name, got, err, want, wrong)
		}
	}
}

// FuzzLZ4 holds that what the client's own way reads is read the same.
func FuzzLZ4(f *testing.F) {
	for _, text := range lz4Texts() {
		text = text[:min(len(text), 1000)]
		f.Add(lz4Pack(f, text))
		f.Add(lz4Pack(f, text, lz4.ChecksumOption(false), lz4.SizeOption(uint64(len(text)))))
	}
	f.Add(binary.LittleEndian.AppendUint32(nil, 0x184d2204))
	memory := &fetched{}
	again := &lz4Blocks{rest: kgo.DefaultDecompressor(memory), growth: &memory.growth, free: memory}
	f.Fuzz(func(t *testing.T, src []byte) {
		want, wrong := kgo.DefaultDecompressor().Decompress(src, kgo.CodecLz4)
		for name, d := range map[string]*lz4Blocks{"new memory": newLZ4Blocks(), "memory used again": again} {
			got, err := d.Decompress(src, kgo.CodecLz4)
			if wrong == nil && (err != nil || !bytes.Equal(got, want)) {
				t.Errorf("%s: %d bytes and %v, want %d", name, len(got), err, len(want))
			}
			if wrong == nil && err == nil && d == again {
				memory.done(got)
			}
		}
	})
}

// BenchmarkLZ4 decompresses a batch of a megabyte of log records' like.
func BenchmarkLZ4(b *testing.B) {
	rng, text := rand.New(rand.NewPCG(1, 2)), []byte{}
	for len(text) < 1_000_000 {
		text = append(binary.LittleEndian.AppendUint64(text, rng.Uint64()), `{"eventVersion":"1.11","eventSource":"kms.amazonaws.com","eventName":"Decrypt"}`...)
	}
	src := lz4Pack(b, text)
	for name, d := range map[string]kgo.Decompressor{"blocks": newLZ4Blocks(), "client": kgo.DefaultDecompressor()} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if _, err := d.Decompress(src, kgo.CodecLz4); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
