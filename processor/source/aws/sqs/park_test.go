package sqs

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"keytrail/processor/source"
)

// parking returns a world whose objects are all readable.
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

// Messages of parked objects do not count against sqs_max_messages, and are deleted when
// their objects are done.
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
	if st := w.src.counts(); len(w.q.messages) != 0 || st.Held != 0 || st.Deleted != 50 {
		t.Errorf("%d messages are left: %+v", len(w.q.messages), st)
	}
}

// An object whose message may be lost stops receiving for some minutes, or until it is
// read to its end: not while its records wait for acknowledgement.
func TestUrgencyEnds(t *testing.T) {
	for _, reads := range []bool{true, false} {
		w := parking(t)
		w.q.max = 1
		w.start()
		w.q.send("no JSON") // contains its own events
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

// A parked object survives restarts in its message. Before the queue drops that for its
// age, and not earlier, Expiring returns the object, once.
func TestParkedObjectsExpireLoudly(t *testing.T) {
	w := parking(t)
	w.q.retention = 4 * 24 * time.Hour
	w.start()
	got := w.receive(1)
	w.src.Park(got[0])
	for passed := time.Duration(0); passed < 24*time.Hour; passed += 20 * time.Minute {
		w.pass(20 * time.Minute)
		w.receive(0) // it returns after twelve hours, and is not offered again
	}
	w.start() // after a crash
	if got = w.receive(0); len(got) != 0 {
		t.Fatalf("%d objects are offered while the message is hidden", len(got))
	}
	w.pass(12 * time.Hour)
	if got = w.receive(0); len(got) != 1 {
		t.Fatalf("%d objects are offered after a restart, want the one that was parked", len(got))
	}
	w.src.Park(got[0])
	w.untilExpiring(got[0], 36*time.Hour)
	if list := w.src.Expiring(); len(list) != 1 {
		t.Errorf("%d objects expire before their dead letter is written, want 1", len(list))
	}
	w.src.Recorded(got[0])
	if list := w.src.Expiring(); len(list) != 0 {
		t.Errorf("it expires %d times more", len(list))
	}
	w.src.Done(got[0])
	if w.pass(time.Second); w.src.counts().Held != 0 {
		t.Error("the message is held although its object is done")
	}
}

// untilExpiring advances time until Expiring returns the object and no other: after more
// than three days of four, with passed at first, and before its message is dropped.
func (w *world) untilExpiring(o source.Object, passed time.Duration) {
	w.t.Helper()
	for ; ; passed += 10 * time.Minute {
		list := w.src.Expiring()
		if len(list) == 1 && list[0].Name == o.Name && len(w.q.messages) > 0 && passed > 3*24*time.Hour {
			return
		}
		if len(list) > 0 || len(w.q.messages) == 0 {
			w.t.Fatalf("after %v %d objects expire, and the queue has %d messages", passed, len(list), len(w.q.messages))
		}
		w.pass(10 * time.Minute)
		w.receive(0)
	}
}

// With a full list of parked objects receiving stops, loudly, and nothing is lost; each
// finished one makes room for another.
func TestParkedObjectsFillTheList(t *testing.T) {
	w := parking(t)
	w.start()
	const each = 100
	for range source.MaxRetries/each + 3 {
		var keys []string
		for range each {
			w.q.n++
			keys = append(keys, logs("", fmt.Sprintf("%06d", w.q.n)))
		}
		w.q.send(`{"s3Bucket":"trail","s3ObjectKey":["` + strings.Join(keys, `","`) + `"]}`)
	}
	var parked []source.Object
	poll := func() error {
		objects, err := w.src.Poll(t.Context())
		for _, o := range objects {
			w.src.Park(o)
		}
		parked = append(parked, objects...)
		return err
	}
	var err error
	for range 100 {
		if err = poll(); err != nil {
			break
		}
	}
	if err == nil || !strings.Contains(err.Error(), "cannot be read or are not acknowledged, so receiving has stopped") {
		t.Errorf("with %d parked objects: %v", len(parked), err)
	}
	received := w.src.counts().Received
	if n := len(parked); n < source.MaxRetries || n >= source.MaxRetries+batch*each || !w.src.Waiting().Full {
		t.Errorf("%d objects are parked, and the list is full: %v", n, w.src.Waiting().Full)
	}
	w.pass(time.Minute)
	if poll(); w.src.counts().Received != received {
		t.Errorf("%d messages were received by a full list", w.src.counts().Received-received)
	}
	for _, o := range parked {
		w.src.Done(o)
	}
	w.pass(time.Second)
	for range 3 {
		if err := poll(); err != nil {
			t.Fatal(err)
		}
	}
	if want := source.MaxRetries + 3*each; len(parked) != want {
		t.Errorf("%d objects were offered in the end, want %d", len(parked), want)
	}
}
