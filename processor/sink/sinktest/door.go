package sinktest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/processor/sink"
)

// Door joins one type of sinks to Conform.
type Door struct {
	// Open opens a sink for a target. The suite closes it.
	Open func(t *testing.T, to Target) sink.Sink
	// Receive starts a receiver, or a stand-in, that takes every record.
	Receive func(t *testing.T) Receiver
	// HTTP says that the door speaks HTTP: the cases about statuses apply.
	HTTP bool
	// Verdicts holds the verdicts about statuses that differ from those of package httpsink,
	// because a code in the body decides; nil for none.
	Verdicts map[int]string
	// Upserts says that the receiver keeps a record that is sent twice only once.
	Upserts bool
	// Serial says that one goroutine calls Deliver: all.Kind.InFlight is 1.
	Serial bool
	// ALPN holds the protocols that the receiver offers over TLS; nil for none.
	ALPN []string
	// Except says of each case that does not apply why, and what the door does instead.
	Except map[Case]string
}

// Target is where and how a sink under test sends.
type Target struct {
	Address string        // host:port; "" if the Receiver has none
	Secured bool          // over TLS
	TLS     sink.TLS      // of a connection that is secured
	Timeout time.Duration // of one request
}

// URL returns the target as a URL of HTTP.
func (t Target) URL() string {
	if t.Secured {
		return "https://" + t.Address
	}
	return "http://" + t.Address
}

// Receiver is one receiver. Its functions are safe for concurrent use.
type Receiver struct {
	// Address is its host:port, without TLS. It is "" for a door without a network; the
	// cases about connections then need a reason in Door.Except.
	Address string
	// Stored returns the ids (log.record.uid) of the records that it has stored, in order.
	Stored func(t *testing.T) []string
	// Refuse has it refuse the record with this id permanently, as its protocol does; nil
	// needs a reason for Partial.
	Refuse func(id string)
	// Deny has it refuse the sink's credentials, or take them again; nil means that it does
	// so with status 401, or needs a reason for Credentials.
	Deny func(denied bool)
	// Busy has it take one record of each request, and be busy about the others, as its
	// protocol does; nil means that it is busy after each request that it takes, with status
	// 503, or needs a reason for Advance.
	Busy func()
}

// Case is one case of the suite.
type Case string

// The cases. Only Partial and Huge may send records to the dead letter.
const (
	Status      Case = "statuses and redirects"
	Credentials Case = "wrong credentials"
	Partial     Case = "one record is refused"
	Huge        Case = "a huge record"
	Lost        Case = "time-out after acceptance"
	HalfOpen    Case = "half-open connection"
	Slow        Case = "slow receiver"
	Advance     Case = "busy receiver"
	Endless     Case = "answer that never ends"
	Restart     Case = "restart of the receiver"
	Drain       Case = "drain at a stop"
	BadTLS      Case = "bad TLS"
	Client      Case = "client certificate"
)

// Conform runs all cases of the suite against a type of sinks, by its name in all.Kinds. It
// shows the reason of each case that does not apply.
func Conform(t *testing.T, kind string, d Door) {
	t.Helper()
	cases := []struct {
		name Case
		run  func(t *testing.T, d Door)
	}{
		{Status, httpStatuses}, {Credentials, credentials}, {Partial, partialFailure}, {Huge, hugeRecord},
		{Lost, lostAnswer}, {HalfOpen, halfOpen}, {Slow, slowReceiver}, {Advance, advance}, {Endless, endlessAnswer},
		{Restart, restart}, {Drain, drain}, {BadTLS, badTLS}, {Client, clientCertificate},
	}
	known := 0
	for _, c := range cases {
		t.Run(kind+" "+string(c.name), func(t *testing.T) {
			if why := d.Except[c.name]; why != "" {
				known++
				t.Logf("does not apply: %s", why)
				return
			}
			c.run(t, d)
		})
	}
	if known != len(d.Except) {
		t.Errorf("%s: %d reasons are about no case, or empty: %v", kind, len(d.Except)-known, d.Except)
	}
}

// line is a sink with its receiver and the cable between them.
type line struct {
	Receiver
	*cable
	door Door
	sink sink.Sink
}

// connect opens a sink for a new receiver. patience is its time-out of a request.
func (d Door) connect(t *testing.T, patience time.Duration) *line {
	t.Helper()
	l := &line{Receiver: d.Receive(t), door: d}
	to := Target{Timeout: patience}
	if l.Receiver.Address != "" {
		l.cable = lay(t, l.Receiver.Address, nil)
		to.Address = l.cable.address
	}
	l.sink = d.open(t, to)
	return l
}

// open opens a sink that is closed at the end of the test.
func (d Door) open(t *testing.T, to Target) sink.Sink {
	t.Helper()
	s := d.Open(t, to)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// want delivers records once and compares the verdict on them.
func (l *line) want(t *testing.T, verdict string, ids ...string) {
	t.Helper()
	if err := l.sink.Deliver(t.Context(), Batch(ids...)); Verdict(err) != verdict {
		t.Fatalf("got %q (%v), want %q", Verdict(err), err, verdict)
	}
}

// arrive delivers records until they are accepted, and compares what the receiver stored
// since the start with all.
func (l *line) arrive(t *testing.T, all []string, ids ...string) {
	t.Helper()
	r := l.runner(t, func(rec sink.Record, reason sink.Reason, why error) {
		t.Errorf("record %v went to the dead letter (%s): %v", rec.Ref, reason, why)
	})
	if err := r.Deliver(t.Context(), Batch(ids...)); err != nil {
		t.Fatal(err)
	}
	l.holds(t, all)
}

// holds checks that the receiver has stored every record: once if it upserts.
func (l *line) holds(t *testing.T, want []string) {
	t.Helper()
	got := l.Stored(t)
	if slices.Sort(got); !l.door.Upserts {
		got = slices.Compact(got)
	}
	if want = slices.Sorted(slices.Values(want)); !slices.Equal(got, want) {
		t.Errorf("%d records are stored: %s; want %d: %s", len(got), short(got), len(want), short(want))
	}
}

// runner returns a Runner that tries again without pauses.
func (l *line) runner(t *testing.T, dead func(sink.Record, sink.Reason, error)) *sink.Runner {
	t.Helper()
	r, err := sink.NewRunner(l.options(dead))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (l *line) options(dead func(sink.Record, sink.Reason, error)) sink.Options {
	batch := sink.DefaultBatch()
	batch.Bytes = 64 << 20
	return sink.Options{
		Name: "siem", Sink: l.sink, Batch: batch, Log: quiet,
		Retry:  sink.Retry{Base: 50 * time.Millisecond, Cap: 50 * time.Millisecond},
		Random: func() float64 { return 1 },
		DeadLetter: func(_ context.Context, rec sink.Record, reason sink.Reason, why error) error {
			dead(rec, reason, why)
			return nil
		},
	}
}

// Verdict names what an answer means for a batch as a whole: "accepted", "again", "halved
// REASON", "rejected REASON", "paused CAUSE" or "lost".
func Verdict(err error) string {
	var rejected *sink.Rejected
	var paused *sink.Paused
	var partial *sink.Partial
	switch {
	case accepted(err):
		return "accepted"
	case errors.As(err, &paused):
		return "paused " + string(paused.Cause)
	case errors.As(err, &rejected) && rejected.Split:
		return "halved " + string(rejected.Reason)
	case errors.As(err, &rejected):
		return "rejected " + string(rejected.Reason)
	case errors.As(err, &partial):
		return "lost"
	}
	return "again"
}

// accepted reports whether an answer says no more than that the receiver has all records.
func accepted(err error) bool {
	switch e := err.(type) {
	case nil, *sink.Duplicate:
		return true
	case interface{ Unwrap() []error }:
		return !slices.ContainsFunc(e.Unwrap(), func(err error) bool { return !accepted(err) })
	}
	return false
}

// about reports whether a verdict ends records.
func about(verdict string) bool {
	return verdict == "accepted" || verdict == "lost" || strings.HasPrefix(verdict, "rejected") ||
		strings.HasPrefix(verdict, "halved")
}
