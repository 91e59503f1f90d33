package input

import (
	"bytes"
	"slices"
	"testing"
	"testing/synctest"
)

func sized(n, records int) block { return block{buf: make([]byte, n), records: records} }

func TestQueueTakesWholeBlocksInOrder(t *testing.T) {
	q := newQueue(1000, 1000)
	for _, n := range []int{10, 20, 30, 500} {
		q.push(sized(n, 1))
	}
	f := func(limit int, want ...int) {
		t.Helper()
		var got []int
		list, _ := q.take(limit, 1000)
		for _, b := range list {
			got = append(got, len(b.buf))
		}
		if !slices.Equal(got, want) {
			t.Errorf("take(%d) gave %v, want %v", limit, got, want)
		}
	}
	f(35, 10, 20)
	f(100, 30)
	f(100, 500) // larger than the limit: alone
	f(100)
	q.push(sized(20, 1))
	if got, more := q.take(0, 19); got != nil || !more {
		t.Errorf("take(0, 19) gave %d blocks, more %v", len(got), more)
	}
	f(20, 20)
	if q.bytes != 0 || q.records != 0 {
		t.Errorf("an empty queue counts %d bytes and %d records", q.bytes, q.records)
	}
}

func TestQueueBlocksWhenFull(t *testing.T) {
	f := func(name string, first, second block) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			q := newQueue(100, 10)
			q.push(first)
			pushed := false
			go func() { pushed = q.push(second) }()
			synctest.Wait()
			if pushed {
				t.Errorf("%s: there was no room, and it was pushed", name)
			}
			q.take(1, 1000)
			synctest.Wait()
			if !pushed || q.bytes != len(second.buf) {
				t.Errorf("%s: it was not pushed when there was room (%d bytes)", name, q.bytes)
			}
		})
	}
	f("bytes", sized(60, 1), sized(41, 1))
	f("records", sized(1, 6), sized(1, 5))
	f("more than the queue", sized(1, 1), sized(200, 1))
	f("an empty block costs a record", sized(1, 10), block{end: true})
}

func TestQueueCloseWakesAndRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1, 1)
		q.push(sized(1, 1))
		refused := false
		go func() { refused = !q.push(sized(1, 1)) }()
		synctest.Wait()
		q.close()
		synctest.Wait()
		if !refused || q.push(sized(1, 1)) {
			t.Error("a closed queue takes blocks")
		}
	})
}

// Stream hands everything over in order, in pieces of at most pieceBytes, BatchBytes and a
// block in all, and ends while nothing more is there.
func TestStream(t *testing.T) {
	const block, blocks = 200 << 10, 60
	cfg := DefaultConfig(SourceFile)
	cfg.BatchBytes, cfg.QueueBytes = 9<<20, 64<<20
	in := &Input{cfg: cfg, q: newQueue(cfg.QueueBytes, cfg.QueueRecords), buffers: newBuffers(&cfg), progress: &clock{}}
	in.repeats = newQueue(1<<20, 100)
	f := &flight{}
	for i := range blocks {
		in.q.push(blockOf(f, bytes.Repeat([]byte{byte(i)}, block)))
	}
	var got []byte
	for calls := 0; len(got) < block*blocks; calls++ {
		if calls > 2 {
			t.Fatalf("%d calls for %d bytes, %d have come", calls, block*blocks, len(got))
		}
		before := len(got)
		var piece []byte
		in.Stream(func(n int) []byte { piece = make([]byte, n); return piece }, func(size int) bool {
			if size == 0 || size > pieceBytes {
				t.Errorf("a piece of %d bytes", size)
			}
			got = append(got, piece[:size]...)
			return true
		})
		if n := len(got) - before; n >= cfg.BatchBytes+block {
			t.Errorf("one call hands over %d bytes", n)
		}
	}
	for i, b := range got {
		if int(b) != i/block {
			t.Fatalf("byte %d is of block %d", i, b)
		}
	}
	in.Stream(func(int) []byte { t.Error("memory for nothing"); return nil }, func(int) bool { t.Error("nothing is a piece"); return true })
}

func blockOf(f *flight, buf []byte) block { return block{buf: buf, records: 1, of: f} }
