package output

import (
	"bytes"
	"sync/atomic"
	"testing"
	"time"
)

// ask waits for a delivery as the host does.
func ask(t *testing.T, d *Delivery) Code {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; {
		if code := d.Ask(); code != 0 {
			if again := d.Wait(); again != code {
				t.Errorf("Ask says %d and Wait %d", code, again)
			}
			return code
		}
		if time.Now().After(deadline) {
			t.Fatal("it does not end")
		}
		time.Sleep(time.Millisecond)
	}
}

// One thread begins all deliveries and none of them waits for another one's end.
func TestDeliveriesGoOnSideBySide(t *testing.T) {
	b := newBench(t, nil, seeded())
	b.broken.Store(true)
	const chunks, size = 40, 25
	var list []*Delivery
	var ended atomic.Int32
	for i := range chunks {
		var c []byte
		for k := range size {
			c = append(c, flat(event(i*size+k))...)
		}
		list = append(list, b.o.Begin(c, "tag", func() { ended.Add(1) }))
	}
	for b.o.Stats().InFlight < chunks*size {
		time.Sleep(time.Millisecond)
	}
	if n := ended.Load(); n > 0 {
		t.Errorf("%d deliveries have ended without Kafka", n)
	}
	for i, d := range list {
		if code := d.Ask(); code != 0 {
			t.Errorf("delivery %d: code %d without Kafka", i, code)
		}
	}
	b.broken.Store(false)
	for i, d := range list {
		if code := ask(t, d); code != OK {
			t.Errorf("delivery %d ends with %d", i, code)
		}
	}
	for ended.Load() < chunks { // the host is told right after the code is there
		time.Sleep(time.Millisecond)
	}
	b.wantOnce(chunks * size)
}

// A chunk that is larger than the buffer holds up the others for a limited time: each ends
// with Retry after its flush_timeout.
func TestDeliveriesEndWithoutKafka(t *testing.T) {
	b := newBench(t, func(c *Config) { c.FlushTimeout, c.BufferBytes = 100*time.Millisecond, 1<<20 }, seeded())
	b.broken.Store(true)
	var large []byte
	for i := range 2000 {
		large = append(large, flat(event(i))...)
	}
	var list []*Delivery
	for range 6 {
		list = append(list, b.o.Begin(large, "tag", func() {}))
	}
	for i, d := range list {
		if code := ask(t, d); code != Retry {
			t.Errorf("delivery %d ends with %d", i, code)
		}
	}
	b.broken.Store(false)
	for deadline := time.Now().Add(2 * time.Minute); ask(t, b.o.Begin(large, "tag", func() {})) != OK; {
		if time.Now().After(deadline) {
			t.Fatal("it is never delivered")
		}
	}
}

// Close ends deliveries, whether their turn has come or not, and none of them reads its
// chunk afterwards: the race detector sees that here.
func TestCloseEndsDeliveries(t *testing.T) {
	b := newBench(t, func(c *Config) { c.BufferBytes = 1 << 20 }, seeded())
	b.broken.Store(true)
	var chunks [][]byte
	var list []*Delivery
	for i := range 20 {
		c := bytes.Repeat(flat(event(i)), 1000)
		chunks, list = append(chunks, c), append(list, b.o.Begin(c, "tag", func() {}))
	}
	for b.o.Stats().InFlight == 0 {
		time.Sleep(time.Millisecond)
	}
	b.broken.Store(false) // Close waits for what is in flight
	b.o.Close()
	for i, c := range chunks {
		clear(c)
		if code := list[i].Ask(); code != Retry {
			t.Errorf("delivery %d: code %d after Close", i, code)
		}
	}
	b.o = nil
}

// A panic ends one delivery, and the chunk comes again.
func TestDeliverySurvivesPanic(t *testing.T) {
	b := newBench(t, nil, seeded())
	b.o.workers.New = func() any { panic("boom") }
	if code := ask(t, b.o.Begin(flat(event(0)), "tag", func() {})); code != Retry {
		t.Errorf("code %d", code)
	}
	if got := b.logged(); !bytes.Contains([]byte(got), []byte("a flush panicked, please report it: boom at")) {
		t.Errorf("the log is %q", got)
	}
	b.o.workers.New = func() any { return newWorker(&b.o.cfg) }
	if code := ask(t, b.o.Begin(flat(event(0)), "tag", func() {})); code != OK {
		t.Errorf("code %d", code)
	}
}
