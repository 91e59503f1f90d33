package kafka

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
)

// fetched reuses the memory of a consumer's batches once all records of a batch are
// processed (kgo.Record.Recycle), and adapts the fetch size to how much batches grow by
// decompression. Safe for concurrent use, except fit.
//
// Decompressed batches are nearly all that a stage allocates, a dozen times the size of
// its state each second. Without reuse they would trigger most garbage collections.
type fetched struct {
	growth
	bytes   spare[byte]
	records spare[kgo.Record]
	asked   int32 // bytes of a fetch, as last set on the client
}

// options returns the client options that come on top of Config.Options.
func (f *fetched) options() []kgo.Opt {
	most, part := f.fetchBytes()
	f.asked = most
	return []kgo.Opt{
		kgo.WithPools(f), kgo.WithDecompressor(&decompressor{kgo.DefaultDecompressor(f), f}),
		kgo.FetchMaxBytes(most), kgo.FetchMaxPartitionBytes(part),
	}
}

// fit sets the client's fetch size to the current estimate.
func (f *fetched) fit(cl *kgo.Client) {
	most, part := f.fetchBytes()
	if d := most - f.asked; d < -f.asked/8 || d > f.asked/8 {
		f.asked = most
		cl.UpdateFetchMaxBytes(most, part)
	}
}

// leastBuffer is the smallest size of a buffer that is kept.
const leastBuffer = 32 << 10

// buffer returns a buffer of at least n bytes, with arbitrary contents.
func (f *fetched) buffer(n int) []byte {
	if b := f.bytes.get(n); b != nil {
		return b
	}
	return make([]byte, (n+leastBuffer-1)&^(leastBuffer-1)) // rounded up, so that it also fits the next batch
}

// done returns a buffer to the pool.
func (f *fetched) done(b []byte) {
	if cap(b) >= leastBuffer {
		f.bytes.put(b, fetchTarget)
	}
}

// GetDecompressBytes is called for batches that the client decompresses itself, such as
// those of the stages. Snappy's header gives the decompressed size (format description,
// section 1), except in Java's block stream, whose magic bytes are not a valid size.
func (f *fetched) GetDecompressBytes(src []byte, codec kgo.CompressionCodecType) []byte {
	n := f.guess(len(src))
	if codec == kgo.CodecSnappy && !bytes.HasPrefix(src, []byte("\x82SNAPPY\x00")) {
		exact, _ := binary.Uvarint(src)
		n = int(min(exact, fetchTarget))
	}
	if n < leastBuffer {
		return nil // the client allocates
	}
	return f.buffer(min(n, fetchTarget))
}

// decompressor measures how much batches grow. Safe for concurrent use.
type decompressor struct {
	client kgo.Decompressor // which uses the memory pools
	memory *fetched
}

// Decompress is called for each fetched batch.
func (d *decompressor) Decompress(src []byte, codec kgo.CompressionCodecType) ([]byte, error) {
	out, err := d.client.Decompress(src, codec)
	if err != nil {
		return nil, err
	}
	d.memory.add(len(out), len(src))
	if codec == kgo.CodecNone {
		return out, nil // out is src
	}
	return d.memory.fitting(out), nil
}

// fitting returns the batch in a buffer of about its size: it copies a batch whose buffer
// is more than two and a half times as large. Fetched batches wait in memory.
func (f *fetched) fitting(out []byte) []byte {
	if len(out) >= 2*(cap(out)/5) {
		return out
	}
	small := slices.Clone(out)
	f.done(out)
	return small
}

// PutDecompressBytes is called when all records of a batch are recycled.
func (f *fetched) PutDecompressBytes(b []byte) { f.done(b) }

// GetRecords is called for each batch.
func (f *fetched) GetRecords(n int) []kgo.Record {
	if r := f.records.get(n); r != nil {
		return r
	}
	return make([]kgo.Record, n)
}

// spareRecords bounds the pool of records: 2 MB.
const spareRecords = 10_000

// PutRecords is called when all records of a batch are recycled.
func (f *fetched) PutRecords(r []kgo.Record) {
	clear(r) // records that the client skipped still hold slices
	f.records.put(r, spareRecords)
}

// spare is a bounded pool of slices. The zero value is ready. Safe for concurrent use.
// sync.Pool does not fit: between two garbage collections it keeps everything without
// bound, and its memory makes collections rare.
type spare[T any] struct {
	mu   sync.Mutex
	free [][]T // in order of return
	held int   // the sum of their capacities
}

// get returns the most recently returned slice of at least n and at most 2n items, or
// nil: a small batch must not hold a large batch's memory.
func (s *spare[T]) get(n int) []T {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.free) - 1; i >= 0; i-- {
		if c := cap(s.free[i]); n <= c && c <= 2*n {
			b := s.free[i][:c]
			s.free = slices.Delete(s.free, i, i+1)
			s.held -= c
			return b
		}
	}
	return nil
}

// put returns a slice to the pool and drops the oldest ones above most items in all. It
// does not keep a slice that would displace most of the others.
func (s *spare[T]) put(b []T, most int) {
	if cap(b) > most/4 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free, s.held = append(s.free, b), s.held+cap(b)
	n := 0
	for ; s.held > most; n++ {
		s.held -= cap(s.free[n])
	}
	s.free = slices.Delete(s.free, 0, n)
}

// growth estimates how much batches grow by decompression, in 256ths. The zero value is
// ready. Safe for concurrent use.
type growth struct {
	usual atomic.Int64 // a moving average of the last batches
	high  atomic.Int64 // rises at once and falls slowly
}

// add takes in the growth of one batch.
func (g *growth) add(n, packed int) {
	ratio := int64(n) << 8 / int64(max(1, packed))
	if old := g.usual.Load(); old == 0 {
		g.usual.Store(ratio)
	} else {
		g.usual.Store(old + (ratio-old)/4)
	}
	if old := g.high.Load(); ratio > old {
		g.high.Store(ratio)
	} else {
		g.high.Store(old - (old-ratio)/64)
	}
}

// guess estimates the decompressed size of n compressed bytes: a sixteenth above the
// recent batches.
func (g *growth) guess(packed int) int {
	ratio := g.usual.Load()
	if ratio == 0 {
		ratio = 4 << 8
	}
	return packed * int(ratio+ratio/16) >> 8
}

// fetchTarget is the intended size, per broker, of decompressed records that are not
// polled yet. Half of it costs a tenth more CPU, for more requests; twice as much saves 3
// %. Log records grow about sixfold, those of a test twentyfold.
const (
	fetchTarget = 12 << 20
	mostFetch   = 2 << 20
	leastFetch  = 256 << 10
	firstGrowth = 16 << 8 // before the first batch
)

// fetchBytes returns the fetch limits in bytes, in all and per partition. A broker sends
// a larger batch all the same.
func (g *growth) fetchBytes() (most, part int32) {
	ratio := g.high.Load()
	if ratio == 0 {
		ratio = firstGrowth
	}
	n := int32(min(mostFetch, max(leastFetch, fetchTarget<<8/max(1, ratio))))
	return n, n / 4
}
