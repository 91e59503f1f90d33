package kafka

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
)

// fetched is the memory of a consumer's batches: it is used again once all records of
// a batch are processed (kgo.Record.Recycle), and how much is fetched at once depends on
// how much the batches grow. Safe for concurrent use, but for fit.
//
// Why: what is decompressed is nearly all that a stage allocates, a dozen times the size
// of its state each second, and so is what starts collections of garbage.
type fetched struct {
	growth
	bytes   spare[byte]
	records spare[kgo.Record]
	asked   int32 // bytes of a fetch, as the client was told last
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

// fit has the client fetch as much as fits by now.
func (f *fetched) fit(cl *kgo.Client) {
	most, part := f.fetchBytes()
	if d := most - f.asked; d < -f.asked/8 || d > f.asked/8 {
		f.asked = most
		cl.UpdateFetchMaxBytes(most, part)
	}
}

// leastBuffer is the size below which a buffer is not worth keeping.
const leastBuffer = 32 << 10

// buffer returns at least n bytes, with anything in them.
func (f *fetched) buffer(n int) []byte {
	if b := f.bytes.get(n); b != nil {
		return b
	}
	return make([]byte, (n+leastBuffer-1)&^(leastBuffer-1)) // so that it fits the next one, too
}

// done takes a buffer back.
func (f *fetched) done(b []byte) {
	if cap(b) >= leastBuffer {
		f.bytes.put(b, fetchTarget)
	}
}

// GetDecompressBytes is called for the batches that the client decompresses itself, as
// those that stages write. Snappy says how many bytes there will be (format description,
// section 1), but for Java's stream of blocks, which begins as no such number can.
func (f *fetched) GetDecompressBytes(src []byte, codec kgo.CompressionCodecType) []byte {
	n := f.guess(len(src))
	if codec == kgo.CodecSnappy && !bytes.HasPrefix(src, []byte("\x82SNAPPY\x00")) {
		exact, _ := binary.Uvarint(src)
		n = int(min(exact, fetchTarget))
	}
	if n < leastBuffer {
		return nil // the client makes what it needs
	}
	return f.buffer(min(n, fetchTarget))
}

// decompressor measures by how much batches grow. Safe for concurrent use.
type decompressor struct {
	client kgo.Decompressor // with the pools of memory
	memory *fetched
}

// Decompress is called by the client for each batch that it fetches.
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

// fitting returns the batch in memory of about its size: a copy if it has more than
// two and a half times that. What is fetched waits in memory.
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

// spareRecords bounds the records that are kept: 2 MB of them.
const spareRecords = 10_000

// PutRecords is called when all records of a batch are recycled.
func (f *fetched) PutRecords(r []kgo.Record) {
	clear(r) // those that the client passed over still have views
	f.records.put(r, spareRecords)
}

// spare are slices that nobody uses. The zero value is ready. Safe for concurrent use.
// Go's own pool would not do: what comes back between two collections of garbage it
// keeps without bound, and its memory makes collections rare.
type spare[T any] struct {
	mu   sync.Mutex
	free [][]T // as they came back
	held int   // the sum of their capacities
}

// get returns a slice of at least n items, and at most twice as many: a small batch must
// not hold a large one's memory. Of all it is the one that came back last; nil for none.
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

// put takes a slice back, and gives up the oldest ones above so many items in all. One
// that would drive most of the others out is not kept.
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

// growth is by how much batches grow when they are decompressed, in 256ths. The zero
// value is ready. Safe for concurrent use.
type growth struct {
	usual atomic.Int64 // of the last batches, about
	high  atomic.Int64 // follows large values at once and small ones slowly
}

// add takes a batch in.
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

// guess returns how many bytes so many compressed ones will likely be: a sixteenth more
// than the last batches say.
func (g *growth) guess(packed int) int {
	ratio := g.usual.Load()
	if ratio == 0 {
		ratio = 4 << 8
	}
	return packed * int(ratio+ratio/16) >> 8
}

// What is fetched and not polled yet is meant to take about fetchTarget, for each
// broker, when it is decompressed: half of it costs a tenth more CPU, for more requests,
// and twice as much saves 3 %. Log records grow about sixfold, those of a test twentyfold.
const (
	fetchTarget = 12 << 20
	mostFetch   = 2 << 20
	leastFetch  = 256 << 10
	firstGrowth = 16 << 8 // assumed until there is a batch
)

// fetchBytes returns how many bytes to ask a broker for, in all and of one partition.
// A broker sends a batch that is larger all the same.
func (g *growth) fetchBytes() (most, part int32) {
	ratio := g.high.Load()
	if ratio == 0 {
		ratio = firstGrowth
	}
	n := int32(min(mostFetch, max(leastFetch, fetchTarget<<8/max(1, ratio))))
	return n, n / 4
}
