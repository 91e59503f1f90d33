package sinktest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"keytrail/processor/sink"
)

// brief is the time-out of the cases that wait for it, and patient that of the others.
const (
	brief   = 500 * time.Millisecond
	patient = time.Minute
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// credentials: the sink pauses, and goes on once they are accepted.
func credentials(t *testing.T, d Door) {
	r := d.Receive(t)
	l := &line{Receiver: r, door: d}
	address := r.Address
	if r.Deny == nil && d.HTTP {
		var denied atomic.Bool
		l.Deny = denied.Store
		address = gate(t, address, http.StatusUnauthorized, func(*http.Request) bool { return denied.Load() })
	}
	l.sink = d.open(t, Target{Address: address, Timeout: patient})
	l.arrive(t, []string{"a"}, "a")
	l.Deny(true)
	l.want(t, "paused credentials", "b", "c")
	l.Deny(false)
	l.arrive(t, []string{"a", "b", "c"}, "b", "c")
}

// gate returns the address of a proxy of HTTP that answers requests with a status while shut
// says so.
func gate(t *testing.T, address string, status int, shut func(*http.Request) bool) string {
	to := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: address})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if shut(r) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(status)
			return
		}
		to.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// partialFailure: the record that the receiver refuses, and no other, goes to the dead
// letter, with the receiver's words.
func partialFailure(t *testing.T, d Door) {
	l := d.connect(t, patient)
	l.Refuse("poison")
	var dead []string
	r := l.runner(t, func(rec sink.Record, _ sink.Reason, why error) {
		if why == nil || why.Error() == "" {
			t.Error("a dead letter without the receiver's words")
		}
		dead = append(dead, fmt.Sprint(rec.Ref))
	})
	if err := r.Deliver(t.Context(), Batch("a", "b", "c", "d", "e", "poison", "f")); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(dead, []string{"poison"}) {
		t.Errorf("dead letters %q, want poison", dead)
	}
	l.holds(t, []string{"a", "b", "c", "d", "e", "f"})
}

// hugeRecord: a record of 20 MiB arrives, or goes to the dead letter for its size. The
// records beside it arrive.
func hugeRecord(t *testing.T, d Door) {
	l := d.connect(t, patient)
	data := Data("huge")
	data.ResourceLogs[0].ScopeLogs[0].LogRecords[0].Body = text(strings.Repeat("0123456789abcdef", 20<<16))
	huge := sink.Record{Value: encode(data), EventName: "aws.kms.api_call", Ref: "huge"}
	batch := slices.Insert(Batch("a", "b"), 1, huge)
	want := []string{"a", "b", "huge"}
	r := l.runner(t, func(rec sink.Record, reason sink.Reason, why error) {
		if rec.Ref != "huge" || reason != sink.ReasonTooLarge {
			t.Errorf("record %v went to the dead letter (%s): %v", rec.Ref, reason, why)
		}
		want = []string{"a", "b"}
	})
	if err := r.Deliver(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	l.holds(t, want)
}

// lostAnswer: the receiver has stored the batch, and its answer does not arrive.
func lostAnswer(t *testing.T, d Door) { faulty(t, d, mute) }

// halfOpen: the receiver's machine ends silently, and is back later.
func halfOpen(t *testing.T, d Door) { faulty(t, d, silent) }

func faulty(t *testing.T, d Door, f fault) {
	l := d.connect(t, brief)
	l.arrive(t, []string{"a"}, "a")
	l.set(f)
	l.want(t, "again", "b", "c")
	l.set(noFault)
	l.arrive(t, []string{"a", "b", "c"}, "b", "c")
}

// slowReceiver: it is not given up while it takes something.
func slowReceiver(t *testing.T, d Door) {
	l := d.connect(t, patient)
	l.set(slow)
	all := ids("slow", 300)
	l.bounded(t, 1, all)
	l.holds(t, all)
}

// advance: a receiver that is busy after each request that it takes. A batch that advances
// has not failed, so it does not end in the dead letter, however often it comes again.
func advance(t *testing.T, d Door) {
	l := &line{Receiver: d.Receive(t), door: d}
	address := l.Address
	if l.Busy != nil {
		l.Busy()
	} else {
		var requests atomic.Int32
		address = gate(t, address, http.StatusServiceUnavailable, func(r *http.Request) bool {
			return r.Method != http.MethodGet && requests.Add(1)%2 == 0
		})
	}
	l.sink = d.open(t, Target{Address: address, Timeout: patient})
	all := ids("busy", 8)
	l.bounded(t, 2, all)
	l.holds(t, all)
}

// Turns checks a sink whose sink.Turn is over after every request: a Deliver of the records
// with these ids, which take several requests, sends the first of them and names the others,
// and each arrives once, without another attempt.
func Turns(t *testing.T, s sink.Sink, ids []string, stored func() []string) {
	t.Helper()
	batch := Batch(ids...)
	var unsent *sink.Unsent
	err := s.Deliver(t.Context(), batch)
	if got := stored(); !errors.As(err, &unsent) || len(got) == 0 || len(got)+len(unsent.Records) != len(ids) ||
		unsent.Records[0] != len(got) || !slices.Equal(got, ids[:len(got)]) {
		t.Fatalf("got %v after records %s; want the first, and the others named as not sent", err, short(got))
	}
	l := &line{sink: s}
	o := l.options(func(rec sink.Record, reason sink.Reason, why error) {
		t.Errorf("record %v went to the dead letter (%s): %v", rec.Ref, reason, why)
	})
	o.Observe = func(end sink.Outcome, _ sink.Reason, _ int) {
		if end == sink.OutcomeRetried {
			t.Error("the end of a turn counts as an attempt")
		}
	}
	r, err := sink.NewRunner(o)
	if err == nil {
		err = r.Deliver(t.Context(), batch[unsent.Records[0]:])
	}
	if got := stored(); err != nil || !slices.Equal(got, ids) {
		t.Errorf("%v; records %s arrived, want %s", err, short(got), short(ids))
	}
}

// bounded delivers records, and fails if an attempt reaches the bound of attempts.
func (l *line) bounded(t *testing.T, attempts int, ids []string) {
	t.Helper()
	o := l.options(func(rec sink.Record, reason sink.Reason, why error) {
		t.Errorf("record %v went to the dead letter (%s): %v", rec.Ref, reason, why)
	})
	o.Retry.MaxAttempts = attempts
	r, err := sink.NewRunner(o)
	if err == nil {
		err = r.Deliver(t.Context(), Batch(ids...))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// endlessAnswer: it ends at the time-out, and is neither read into memory nor believed.
func endlessAnswer(t *testing.T, d Door) {
	if d.HTTP {
		httpFaults(t, d)
		return
	}
	l := d.connect(t, brief)
	l.set(endless)
	if err := l.sink.Deliver(t.Context(), Batch("a")); about(Verdict(err)) {
		t.Errorf("got %q (%v), want the batch to be kept", Verdict(err), err)
	}
	l.cut()
	l.set(noFault)
	l.arrive(t, []string{"a"}, "a")
}

// restart: what the receiver does not take while it is away arrives afterwards.
func restart(t *testing.T, d Door) {
	l := d.connect(t, patient)
	l.arrive(t, []string{"a"}, "a")
	l.stop()
	l.want(t, "again", "b")
	l.start(t)
	l.arrive(t, []string{"a", "b"}, "b")
}

// drain: a stop delivers what waits, and a receiver that does not answer cannot delay it.
func drain(t *testing.T, d Door) {
	l := d.connect(t, patient)
	o := l.options(func(rec sink.Record, reason sink.Reason, why error) {
		t.Errorf("record %v went to the dead letter (%s): %v", rec.Ref, reason, why)
	})
	if o.Batch.Records = 7; !d.Serial {
		o.InFlight = 4
	}
	if l.cable != nil {
		l.set(slow)
	}
	all := ids("drain", 120)
	chain := l.chain(t, o, all)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	changed := chain.Changed()
	go func() {
		<-changed
		stop()
	}()
	if err := chain.Run(ctx, patient); err != nil {
		t.Error(err)
	}
	for p, at := range chain.Positions()["t"] {
		if at != int64(len(all)/3) {
			t.Errorf("partition %d: position %d, want %d", p, at, len(all)/3)
		}
	}
	l.holds(t, all)
	if l.cable == nil {
		return
	}
	l.set(silent)
	chain = l.chain(t, o, []string{"x", "y", "z"})
	if err := chain.Run(ctx, brief); err != nil {
		t.Error(err)
	}
	if list := chain.Positions()["t"]; len(list) > 0 {
		t.Errorf("positions %v after a stop without an answer, want none", list)
	}
}

// chain returns a Chain with records in three partitions.
func (l *line) chain(t *testing.T, o sink.Options, ids []string) *sink.Chain {
	t.Helper()
	c, err := sink.NewChain(o)
	if err != nil {
		t.Fatal(err)
	}
	n := len(ids) / 3
	for p := range 3 {
		batch := Batch(ids[p*n : (p+1)*n]...)
		for i := range batch {
			batch[i].Topic, batch[i].Partition, batch[i].Offset = "t", int32(p), int64(i)
		}
		c.Put("t", int32(p), batch, int64(n))
	}
	return c
}
