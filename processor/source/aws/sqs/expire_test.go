package sqs

import (
	"errors"
	"io"
	"testing"
	"time"

	"keytrail/processor/source"
)

// No message expires silently: Expiring returns its object whether it was parked, waits
// for a reader, is being read, or waits for acknowledgements, at its first reading or a
// later one.
func TestHeldObjectsExpireLoudly(t *testing.T) {
	for name, hold := range map[string]func(w *world, o source.Object){
		"unread": func(*world, source.Object) {},
		"parked": func(w *world, o source.Object) { w.src.Park(o) },
		"offered again and unread": func(w *world, o source.Object) {
			w.src.Retry(o, source.Denied(errors.New("AccessDenied")))
			w.pass(20 * time.Minute)
			w.receive(0)
		},
		"read": func(w *world, o source.Object) {
			if body, err := o.Open(); err != nil {
				w.t.Fatal(err)
			} else if _, err := io.ReadAll(body); err != nil {
				w.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := parking(t)
			w.q.retention = 4 * 24 * time.Hour
			w.start()
			w.q.send("no JSON") // contains its own events
			o := w.receive(0)[0]
			if string(o.Inline) != "no JSON" {
				t.Errorf("its bytes are %q: its dead letter needs them", o.Inline)
			}
			hold(w, o)
			w.untilExpiring(o, 0)
		})
	}
}

// An object is not expiring while a younger message would bring it back.
func TestYoungerMessageKeepsAnObject(t *testing.T) {
	w := parking(t)
	w.q.retention = 4 * 24 * time.Hour
	w.start()
	body := `{"s3Bucket":"trail","s3ObjectKey":["` + logs("", "a") + `"]}`
	w.q.send(body)
	o := w.receive(0)[0]
	w.src.Park(o)
	for range 3 * 24 * 2 {
		w.pass(30 * time.Minute)
		w.receive(0)
	}
	w.q.send(body)
	w.untilExpiring(o, 0)
}

// An object that cannot be read is given up with the last of its messages, not with the
// first: until then the others would bring it back.
func TestGivenUpWithTheLastMessage(t *testing.T) {
	w := parking(t)
	w.q.retention = 4 * 24 * time.Hour
	w.start()
	body := `{"s3Bucket":"trail","s3ObjectKey":["` + logs("", "a") + `"]}`
	w.q.send(body)
	list := w.receive(0)
	for passed := time.Duration(0); passed < 8*24*time.Hour; passed += 20 * time.Minute {
		if passed == 3*24*time.Hour {
			w.q.send(body)
		}
		for _, o := range list {
			if w.src.Retry(o, source.Denied(errors.New("AccessDenied"))) {
				continue
			}
			if passed < 6*24*time.Hour || passed > 7*24*time.Hour {
				t.Errorf("it is given up after %v; the second message has four days from the third on", passed)
			}
			return
		}
		w.pass(20 * time.Minute)
		list = w.receive(0)
	}
	t.Error("it is not given up, and both messages are lost")
}

// An object has time to be read before its dead letter, even if its message has waited
// long in the queue and the queue's retention is the minimum.
func TestOldMessagesAreReadInPeace(t *testing.T) {
	for _, retention := range []time.Duration{time.Minute, time.Hour, 4 * 24 * time.Hour} {
		w := parking(t)
		w.q.retention = retention
		w.start()
		w.q.send("no JSON")
		w.q.pass(retention * 29 / 32)
		o := w.receive(0)[0]
		if list := w.src.Expiring(); len(list) != 0 {
			t.Errorf("retention %v: %d objects expire as soon as they are offered", retention, len(list))
		}
		w.pass(retention / 16)
		if list := w.src.Expiring(); len(list) != 1 || list[0].Name != o.Name {
			t.Errorf("retention %v: %d objects expire while there is time, want 1", retention, len(list))
		}
	}
}

// A recorded object is read again like any other: a temporary failure does not end it,
// and writes no second dead letter.
func TestRecordedObjectsAreTriedAgain(t *testing.T) {
	w := parking(t)
	w.q.retention = 4 * 24 * time.Hour
	w.start()
	w.q.send("no JSON")
	o := w.receive(0)[0]
	w.src.Park(o)
	w.untilExpiring(o, 0)
	w.src.Recorded(o)
	if !w.src.Retry(o, source.Denied(errors.New("AccessDenied"))) {
		t.Fatal("it is given up although its dead letter is written")
	}
	w.pass(20 * time.Minute)
	if got := w.receive(1); len(got) != 2 {
		t.Errorf("%d objects are offered, want it and another", len(got))
	}
	if list := w.src.Expiring(); len(list) != 0 {
		t.Errorf("%d objects expire again", len(list))
	}
}
