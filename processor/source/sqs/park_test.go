package sqs

import (
	"fmt"
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
