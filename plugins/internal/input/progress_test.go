package input

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"keytrail/plugins/internal/ack"
	"keytrail/plugins/internal/chunk"
	"keytrail/plugins/internal/logging"
	"keytrail/processor/source"
)

// The clock stands still while Fluent Bit pauses the input: nothing moves then, so the
// time proves nothing.
func TestClockStandsStillInAPause(t *testing.T) {
	start := time.Unix(1_800_000_000, 0)
	c := &clock{settle: time.Minute}
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	want := func(seconds, n int) {
		t.Helper()
		if got := c.done(at(seconds)); len(got) != n {
			t.Errorf("after %d s %d objects are done, want %d", seconds, len(got), n)
		}
	}
	end := func(name string) []block {
		return []block{{of: &flight{object: source.Object{Name: name}}, end: true}}
	}
	c.hand(end("a"), at(0))
	c.taken(true, at(0))
	c.pause(true, at(10))
	c.pause(true, at(20)) // Fluent Bit says it twice when it ends
	c.hand(end("b"), at(30))
	c.taken(true, at(30))
	want(1000, 0)
	c.pause(false, at(1010))
	c.pause(false, at(1011))
	want(1059, 0)
	want(1060, 1) // 10 s before the pause and 50 s behind it
	want(1069, 0)
	want(1070, 1) // b was handed over in the pause
	want(9999, 0)
}

// A pause in the middle of an object: what was handed over before counts as done only a
// settle after it, without the pause.
func TestInputSettleDoesNotRunInAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.write("1", event("a"))
		b.start()
		pass(b.cfg.PollInterval)
		b.want(event("a"))
		b.in.Pause()
		pass(24 * time.Hour)
		b.stop()
		b.start()
		pass(b.cfg.PollInterval)
		b.want(event("a")) // it may have been in Fluent Bit's memory alone
		b.stop()
	})
}

// A batch is larger than the queue when the object is being read.
func TestDrainFillsABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.cfg.QueueRecords = 10
		var want []string
		for range 200 {
			want = append(want, event("a"))
		}
		b.write("1", records(want...))
		b.start()
		pass(b.cfg.PollInterval)
		b.want(want...)
		began := time.Now()
		b.want() // nothing is being read: it does not wait
		if waited := time.Since(began); waited != 0 {
			t.Errorf("it waited %v for nothing", waited)
		}
		b.stop()
	})
}

// Acknowledgements that come during a call make room within it, and nothing is handed over
// beyond the window.
func TestDrainWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.cfg.AckWindow, b.cfg.QueueRecords = 2000, 8 // blocks of two records
		var want []string
		for range 40 {
			want = append(want, event("a"))
		}
		b.write("1", records(want...))
		in, err := New(b.cfg, logging.New("", nil, func(logging.Level, string) {}))
		if err != nil {
			t.Fatal(err)
		}
		w := newWindow(b.cfg, ack.Run{1}, time.Now(), func(string, ...any) {})
		in.progress, in.window = w, w
		in.Start()
		pass(b.cfg.PollInterval)
		began := time.Now()
		first := drained(in)
		if waited := time.Since(began); waited != fillTime || len(first) == 0 || len(first) > 2000 {
			t.Errorf("%d bytes after %v, want a window's and fillTime", len(first), waited)
		}
		if got := drained(in); got != nil {
			t.Errorf("%d bytes beyond the window", len(got))
		}
		go func() {
			time.Sleep(fillTime / 2)
			if err := w.acks(1, "x", ack.Health{}, []ack.Range{{From: 1, To: w.next}}); err != nil {
				t.Error(err)
			}
		}()
		if got := drained(in); len(got) == 0 || len(got) > 2000 {
			t.Errorf("%d bytes after the acknowledgement, want a window's", len(got))
		}
		in.Closing()
		if err := in.Stop(); err != nil {
			t.Error(err)
		}
	})
}

// An input whose window is full of records that a filter drops goes on when the filter
// does not: objects of which as many wait as may are handed over again all the same.
func TestFullWindowGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.cfg.AckWindow, b.cfg.QueueRecords, b.cfg.Readers = 2000, 4, 1
		const objects = 12
		for i := range objects {
			b.write(fmt.Sprint(i), records(event("a"), event("b")))
		}
		in, err := New(b.cfg, logging.New("", nil, func(logging.Level, string) {}))
		if err != nil {
			t.Fatal(err)
		}
		w := newWindow(b.cfg, ack.Run{1}, time.Now(), func(string, ...any) {})
		w.limit = 2
		in.progress, in.window = w, w
		in.Start()
		second := func(acknowledge bool) {
			var numbers ack.Ranges
			var walk chunk.Walker
			walk.Reset(drained(in), 0)
			for e := (chunk.Entry{}); walk.Next(&e); {
				if acknowledge {
					numbers.Add(ack.Range{From: e.Number, To: e.Number + 1})
				}
			}
			if err := w.acks(1, "x", ack.Health{}, numbers.List()); err != nil {
				t.Error(err)
			}
			pass(time.Second)
		}
		for began := time.Now(); time.Since(began) < 2*time.Hour; {
			second(false) // the filter drops everything
		}
		s := in.Stats()
		if s.Parked != 2 || s.Waiting == 0 || s.Acknowledged != 0 {
			t.Errorf("%d objects are parked and %d bytes wait, want 2 and a full window", s.Parked, s.Waiting)
		}
		for began := time.Now(); time.Since(began) < 12*time.Hour; {
			second(true)
		}
		if s = in.Stats(); s.Acknowledged != 2*objects || s.Parked != 0 || s.Waiting != 0 || s.Queued != 0 {
			t.Errorf("%s, want all of %d events acknowledged", s, 2*objects)
		}
		in.Closing()
		if err := in.Stop(); err != nil {
			t.Error(err)
		}
	})
}
