package sqs

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"keytrail/processor/source"
)

// parking returns a world in which everything can be read.
func parking(t *testing.T) *world {
	w := &world{t: t, q: fakeQueue{now: time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC), retention: 14 * 24 * time.Hour}}
	w.c = DefaultConfig()
	w.c.QueueURL, w.c.Visibility, w.c.Now = "http://127.0.0.1/1/q", time.Hour, w.q.clock
	return w
}

// receive sends n messages and polls until nothing is offered.
func (w *world) receive(n int) (list []source.Object) {
	w.t.Helper()
	for range n {
		w.q.send(`{"s3Bucket":"trail","s3ObjectKey":["` + logs("", fmt.Sprintf("%06d", w.q.n)) + `"]}`)
	}
	for {
		objects, err := w.src.Poll(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		if list = append(list, objects...); len(objects) == 0 {
			return list
		}
	}
}

// Messages of objects that are parked do not count against sqs_max_messages, and are
// deleted when their objects are done.
func TestParkedMessagesLeaveRoom(t *testing.T) {
	w := parking(t)
	w.c.MaxMessages = 10
	w.start()
	var all []source.Object
	for range 5 {
		got := w.receive(10)
		if len(got) != 10 {
			t.Fatalf("%d objects are offered with %d parked, want 10", len(got), len(all))
		}
		for _, o := range got {
			w.src.Park(o)
			w.src.Park(o)
		}
		all = append(all, got...)
		w.pass(20 * time.Minute)
	}
	if n := len(w.q.messages); n != 50 {
		t.Errorf("%d messages are in the queue, want all 50", n)
	}
	for _, o := range all {
		w.src.Done(o)
	}
	w.pass(time.Second)
	if st := w.src.Stats(); len(w.q.messages) != 0 || st.Held != 0 || st.Deleted != 50 {
		t.Errorf("%d messages are left: %+v", len(w.q.messages), st)
	}
}

// An object whose message may be lost stops receiving until it is read to its end, or for
// some minutes: not while its records wait to be acknowledged.
func TestUrgencyEnds(t *testing.T) {
	for _, reads := range []bool{true, false} {
		w := parking(t)
		w.q.max = 1
		w.start()
		w.q.send("no JSON") // carries its object itself
		got := w.receive(0)
		for range 11*3 + 1 {
			if len(got) != 1 || !w.src.Retry(got[0], source.Denied(errors.New("AccessDenied"))) {
				t.Fatalf("offered are %d objects, or it is given up", len(got))
			}
			w.pass(20 * time.Minute)
			got = w.receive(0)
		}
		if body, err := got[0].Open(); err != nil {
			t.Fatal(err)
		} else if reads {
			if _, err := io.ReadAll(body); err != nil {
				t.Fatal(err)
			}
		}
		w.pass(16 * time.Minute) // the last chance has begun
		if got := len(w.receive(1)); got == 1 != reads {
			t.Fatalf("read to its end: %t; %d objects are offered besides", reads, got)
		}
		w.pass(longestUrgent)
		if got := len(w.receive(1)); got != 1 && reads || got != 2 && !reads {
			t.Errorf("read to its end: %t; %d objects are offered %v later", reads, got, longestUrgent)
		}
	}
}
