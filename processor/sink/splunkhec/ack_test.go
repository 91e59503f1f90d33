package splunkhec

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/processor/sink"
	"keytrail/processor/sink/sinktest"
)

// run brings records with the given ids through a Runner and returns the dead letters.
func run(t *testing.T, s sink.Sink, ids []string) (dead []string, err error) {
	t.Helper()
	runner, err := sink.NewRunner(sink.Options{
		Name: "siem", Sink: s, Batch: sink.DefaultBatch(), Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Retry:  sink.Retry{Base: time.Millisecond, Cap: time.Millisecond},
		Random: func() float64 { return 0 },
		DeadLetter: func(_ context.Context, rec sink.Record, _ sink.Reason, _ error) error {
			dead = append(dead, rec.Ref.(string))
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return dead, runner.Deliver(t.Context(), sinktest.Batch(ids...))
}

// TestAcks: a request counts as delivered when it is acknowledged, however often the sink
// has to ask, and it is sent once.
func TestAcks(t *testing.T) {
	h := newStandIn(t)
	h.polls = 3
	s := h.open(t, nil)
	if err := s.Deliver(t.Context(), sinktest.Batch("a", "b")); err != nil {
		t.Fatal(err)
	}
	if h.asked != 3 || !slices.Equal(h.ids(), []string{"a", "b"}) {
		t.Errorf("%d questions, %q arrived", h.asked, h.ids())
	}
}

// TestAckNever: events that are never acknowledged are sent again.
func TestAckNever(t *testing.T) {
	h := newStandIn(t)
	h.polls = 1 << 30
	s := h.open(t, nil)
	s.c.AckTimeout, s.first = 20*time.Millisecond, time.Millisecond
	err := s.Deliver(t.Context(), sinktest.Batch("a"))
	if kind(err) != "retry" || !strings.Contains(err.Error(), "ack_timeout") {
		t.Errorf("got %v", err)
	}
}

// TestAckLost: Splunk tells "true" once. If the answer is lost, or is not one of HEC, the
// events come again, with the same ids. If it says that it is busy, it has told nothing.
func TestAckLost(t *testing.T) {
	for said, want := range map[string]int{
		"":                           2, // the connection breaks
		"200 not HEC":                2,
		"403 no":                     2,
		`503 {"text":"x","code":19}`: 1,
		"429 slow down":              1,
	} {
		h := newStandIn(t)
		s := h.open(t, nil)
		if want == 1 {
			h.polls = 2
		}
		h.onAck = func() string {
			if h.onAck = nil; said == "" {
				return "no answer"
			}
			return said
		}
		if dead := deliver(t, s, []string{"a"}); len(dead) > 0 {
			t.Errorf("%q: dead letters %q", said, dead)
		}
		if got := h.ids(); len(got) != want {
			t.Errorf("%q: %d events arrived, want %d", said, len(got), want)
		}
	}
}

// TestAckNotGiven: a token without acknowledgements pauses the sink before any event is
// sent, and so does an answer without an ackId.
func TestAckNotGiven(t *testing.T) {
	h := newStandIn(t)
	s := h.open(t, nil)
	h.acks = false
	err := s.Deliver(t.Context(), sinktest.Batch("a"))
	if kind(err) != "pause protocol" || !strings.Contains(err.Error(), "set ack: off") || len(h.requests) > 0 {
		t.Errorf("got %v after %d requests with events", err, len(h.requests))
	}
	h.acks = true
	h.answer = func(int) string { return `200 {"text":"Success","code":0}` }
	if err = s.Deliver(t.Context(), sinktest.Batch("a")); kind(err) != "pause protocol" || !strings.Contains(err.Error(), "without an ackId") {
		t.Errorf("got %v", err)
	}
}

// TestAckNodes: the questions carry the cookies by which a load balancer finds the node.
func TestAckNodes(t *testing.T) {
	h := newStandIn(t)
	h.node = "n7"
	if err := h.open(t, nil).Deliver(t.Context(), sinktest.Batch("a")); err != nil {
		t.Fatal(err)
	}
	if got := h.ids(); len(got) != 1 {
		t.Errorf("%d events arrived, want 1", len(got))
	}
}

// TestAckTwice: a node that starts again gives the same ids again. A "true" that a request of
// another Deliver has got is not taken for the first one's.
func TestAckTwice(t *testing.T) {
	h := newStandIn(t)
	h.polls = 1 << 30
	s := h.open(t, nil)
	s.c.AckTimeout = time.Second
	first := make(chan error)
	go func() { first <- s.Deliver(t.Context(), sinktest.Batch("a")) }()
	for len(h.ids()) == 0 {
		time.Sleep(time.Millisecond)
	}
	h.restart(1)
	if err := s.Deliver(t.Context(), sinktest.Batch("b")); err != nil {
		t.Errorf("the second request: %v", err)
	}
	if err := <-first; kind(err) != "retry" {
		t.Errorf("the first request: %v", err)
	}
}

// TestAckAfterRestart: of one Deliver, the node loses the first request when it starts again.
// The next request gets the same id, with an answer, without, or with a gateway's. The first
// one is sent again.
func TestAckAfterRestart(t *testing.T) {
	for _, answer := range []string{"its own", "none", "a gateway's"} {
		h := newStandIn(t)
		h.gateway = answer == "a gateway's"
		s := h.open(t, nil)
		s.most = 100
		h.answer = func(request int) string {
			switch request {
			case 1:
				h.next, h.waiting = 1, map[string]map[uint64]int{}
				return `200 {"text":"Success","code":0,"ackId":0}` // and it indexes nothing
			case 2:
				h.next, h.mute = 0, answer != "its own"
			}
			return ""
		}
		if dead := deliver(t, s, []string{"a", "b", "c"}); len(dead) > 0 {
			t.Errorf("dead letters %q", dead)
		}
		if got := h.ids(); !slices.Contains(got, "a") || !slices.Contains(got, "b") || !slices.Contains(got, "c") {
			t.Errorf("answer: %s; %q are indexed, want a, b and c", answer, got)
		}
	}
}

// TestAckOfOthers: a delivery that begins uses up no acknowledgement that another waits for.
func TestAckOfOthers(t *testing.T) {
	h := newStandIn(t)
	s := h.open(t, nil)
	s.c.AckTimeout = time.Second
	first := make(chan error)
	go func() { first <- s.Deliver(t.Context(), sinktest.Batch("a")) }()
	for len(h.ids()) == 0 {
		time.Sleep(time.Millisecond)
	}
	s.ready.Store(false) // as after a failure of a third
	if err := s.begin(t.Context(), s.channels.take()); err != nil {
		t.Fatal(err)
	}
	if err := <-first; err != nil {
		t.Errorf("the first delivery: %v", err)
	}
}

// TestAckStop: the end of the context ends the waiting, and no record counts as delivered.
func TestAckStop(t *testing.T) {
	h := newStandIn(t)
	h.polls = 1 << 30
	s := h.open(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := s.Deliver(ctx, sinktest.Batch("a")); err == nil {
		t.Error("the batch counts as delivered")
	}
}

// TestBrake: codes 24 and 25 slow the requests down, the more often the more, and a plain
// success ends that.
func TestBrake(t *testing.T) {
	for _, code := range []int{codeQueueNear, codeAckNear} {
		h := newStandIn(t)
		s := h.open(t, func(c *Config) { c.Ack = AckOff })
		h.answer = func(int) string { return fmt.Sprintf(`200 {"text":"x","code":%d}`, code) }
		for _, want := range []time.Duration{firstPause, 2 * firstPause} {
			if err := s.Deliver(t.Context(), sinktest.Batch("a")); err != nil || s.brake.pause != want {
				t.Errorf("code %d: %v, the next pause is %v, want %v", code, err, s.brake.pause, want)
			}
		}
		h.answer = nil
		if err := s.Deliver(t.Context(), sinktest.Batch("a")); err != nil || s.brake.pause != 0 {
			t.Errorf("code %d: %v, the next pause is %v, want none", code, err, s.brake.pause)
		}
		for range 20 {
			s.brake.note(true)
		}
		if s.brake.pause != lastPause {
			t.Errorf("the longest pause is %v, want %v", s.brake.pause, lastPause)
		}
	}
}

// TestNothingLost drives a Runner against a receiver with random faults: it loses requests,
// answers and acknowledgements, indexes nothing of what it has taken, and starts again. Every
// record that counts as delivered is indexed at least once.
func TestNothingLost(t *testing.T) {
	for seed := range uint64(10) {
		random := rand.New(rand.NewPCG(seed, 1))
		h := newStandIn(t)
		s := h.open(t, nil)
		s.c.AckTimeout, s.first, s.most = 20*time.Millisecond, time.Millisecond, 4<<10
		fault := func(list ...string) string {
			if random.IntN(3) > 0 {
				return ""
			}
			return list[random.IntN(len(list))]
		}
		h.answer = func(int) string {
			if random.IntN(10) == 0 {
				h.next, h.waiting = 0, map[string]map[uint64]int{}
			}
			h.mute = random.IntN(10) == 0
			return fault("no answer", `503 {"text":"busy","code":9}`, `429 {"text":"full","code":26}`,
				`400 {"text":"bad","code":6}`, "500 down", `200 {"text":"Success","code":0,"ackId":99}`)
		}
		h.onAck = func() string { return fault("no answer", `503 {"text":"x","code":19}`, "502 bad gateway") }
		var want []string
		for i := range 12 {
			want = append(want, fmt.Sprintf("%c%s", 'a'+i, strings.Repeat("x", random.IntN(2<<10))))
		}
		dead, err := run(t, s, want)
		if err != nil {
			t.Fatal(err)
		}
		got := append(h.ids(), dead...)
		for _, id := range want {
			if !slices.Contains(got, id) {
				t.Errorf("seed %d: record %c is lost", seed, id[0])
			}
		}
	}
}
