package sqs

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keytrail/processor/source"
	"keytrail/processor/source/aws/s3"
)

// world is a queue whose messages name objects that are sometimes unreadable, with a
// Source that is sometimes killed. A seed determines everything.
type world struct {
	t      *testing.T
	seed   uint64
	rng    *rand.Rand
	q      fakeQueue
	src    *Source
	c      Config
	serve  map[string]error // the error of reading an object
	read   map[string]bool
	dead   map[string]bool // with a dead letter
	sent   []string        // names of objects
	full   int             // how many dead letters fail to be written
	killed bool
	lines  []string
}

func (w *world) start() {
	cfg := w.q.start(w.t)
	src, err := New(cfg, w.c, s3.NewClient(cfg), func(format string, args ...any) { w.lines = append(w.lines, fmt.Sprintf(format, args...)) })
	if err != nil {
		w.t.Fatal(err)
	}
	w.src = src
}

func (w *world) step() {
	switch w.rng.IntN(10) {
	case 0, 1:
		key := logs("", fmt.Sprintf("%06d", len(w.sent)))
		w.sent = append(w.sent, "s3://trail/"+key)
		keys := `"` + key + `"`
		if w.rng.IntN(3) == 0 { // together with an earlier one
			keys += `,"` + strings.TrimPrefix(w.sent[w.rng.IntN(len(w.sent))], "s3://trail/") + `","README.txt"`
		}
		w.q.send(`{"s3Bucket":"trail","s3ObjectKey":[` + keys + `]}`)
		w.serve["s3://trail/"+key] = []error{
			nil, nil, source.Denied(errors.New("AccessDenied")), io.ErrUnexpectedEOF, &source.Rejected{Reason: source.ReasonGone}, &source.Rejected{Reason: source.ReasonArchived},
		}[w.rng.IntN(6)]
	case 2, 3:
		if len(w.sent) > 0 && w.rng.IntN(3) == 0 {
			delete(w.serve, w.sent[w.rng.IntN(len(w.sent))])
		}
	case 5:
		if w.killed && w.rng.IntN(10) == 0 {
			w.start()
		}
	case 6:
		w.full = w.rng.IntN(4)
	default:
		for range w.rng.IntN(12) {
			w.pass(20 * time.Minute)
		}
	}
	w.poll()
}

// pass advances time, while the Source saves every second.
func (w *world) pass(d time.Duration) {
	w.q.pass(d)
	if err := w.src.Save(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) poll() {
	for {
		objects, err := w.src.Poll(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		for _, body := range slices.Concat(w.q.expired, w.q.dead) {
			if !w.settled(body) && (!w.killed || slices.Contains(w.q.expired, body)) {
				w.t.Fatalf("seed %d: the message %s was lost in silence", w.seed, body)
			}
		}
		if len(objects) == 0 {
			return
		}
		for _, o := range objects {
			if err := w.serve[o.Name]; err == nil {
				w.read[o.Name] = true
			} else if w.src.Retry(o, err) {
				continue
			} else if w.full > 0 { // the disk is full for some time
				w.full--
				if !w.src.Retry(o, fmt.Errorf("disk full: %w", source.ErrUnrecorded)) {
					w.t.Fatalf("seed %d: %s was given up without a dead letter", w.seed, o.Name)
				}
				w.pass(lastPause)
				continue
			} else {
				w.dead[o.Name] = true
			}
			w.src.Done(o)
		}
		if err := w.src.Save(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
	}
}

// settled reports whether every object that a message names was read, has a dead letter, or
// is named by a message that the queue still has.
func (w *world) settled(body string) bool {
	w.q.mu.Lock()
	defer w.q.mu.Unlock()
	return !slices.ContainsFunc(w.sent, func(name string) bool {
		key := strings.TrimPrefix(name, "s3://trail/")
		named := func(m *fakeMessage) bool { return strings.Contains(m.body, key) }
		return strings.Contains(body, key) && !w.read[name] && !w.dead[name] && !slices.ContainsFunc(w.q.messages, named)
	})
}

// Whatever fails and for however long, no message is lost, and none silently reaches the
// queue's dead-letter queue: its objects were read or have a dead letter, or another message
// in the queue names them. Only repeated kills may use up the receives of a message; then it
// is in the dead-letter queue.
func TestSourceSimulation(t *testing.T) {
	for seed := range uint64(16) {
		w := &world{
			t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 4)), serve: map[string]error{}, read: map[string]bool{}, dead: map[string]bool{}, killed: seed%2 == 1,
			q: fakeQueue{now: time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC), retention: 4 * 24 * time.Hour, max: []int{0, 1, 3}[seed%3]},
		}
		w.c = DefaultConfig()
		w.c.QueueURL, w.c.Visibility, w.c.MaxMessages, w.c.Now = "http://127.0.0.1/1/q", time.Hour, 10_000, w.q.clock
		w.start()
		for range 150 {
			w.step()
		}
		clear(w.serve)
		for range 200 { // two and a half days in which everything is readable
			w.pass(20 * time.Minute)
			w.poll()
		}
		for _, name := range w.sent {
			inDead := slices.ContainsFunc(w.q.dead, func(body string) bool { return strings.Contains(body, strings.TrimPrefix(name, "s3://trail/")) })
			if !w.read[name] && !w.dead[name] && !inDead {
				t.Fatalf("seed %d: %s was neither read nor given up", seed, name)
			}
		}
		if n := len(w.q.messages); n > 0 {
			t.Fatalf("seed %d: %d messages are left", seed, n)
		}
		if st := w.src.counts(); st.Held != 0 || w.src.Waiting().Size != 0 {
			t.Fatalf("seed %d: at the end %+v, %+v", seed, st, w.src.Waiting())
		}
	}
}

// A held message that is received again gets a new receipt, during a save: there is no
// race, and it is deleted with the valid receipt.
func TestReceivedAgainWhileSaving(t *testing.T) {
	w := &world{t: t, q: fakeQueue{now: time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC), retention: time.Hour * 24 * 14}}
	w.c = DefaultConfig()
	w.c.QueueURL, w.c.Visibility, w.c.Now = "http://127.0.0.1/1/q", 10*time.Second, w.q.clock
	w.start()
	w.q.send(`{"s3Bucket":"trail","s3ObjectKey":["` + logs("", "a") + `"]}`)
	var got []source.Object
	var ended atomic.Bool
	var saving sync.WaitGroup
	saving.Go(func() {
		for !ended.Load() {
			if err := w.src.Save(t.Context()); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 300 {
		w.q.pass(11 * time.Second) // it is visible again
		objects, err := w.src.Poll(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, objects...)
	}
	ended.Store(true)
	saving.Wait()
	if len(got) != 1 {
		t.Fatalf("offered are %v, want one object", got)
	}
	w.src.Done(got[0])
	if err := w.src.Save(t.Context()); err != nil || len(w.q.messages) != 0 {
		t.Errorf("%v; %d messages are left", err, len(w.q.messages))
	}
}
