package read_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/processor/read"
	"keytrail/processor/source"
	"keytrail/schemas/cloud"
	"keytrail/schemas/decoding"
	"keytrail/schemas/otellog"
)

const (
	event  = `{"eventVersion":"1.11","eventTime":"2026-03-02T09:00:00Z","eventSource":"kms.amazonaws.com","eventName":"Decrypt","eventID":"%s"}`
	other  = `{"eventVersion":"1.11","eventTime":"2026-03-02T09:00:00Z","eventSource":"s3.amazonaws.com","eventName":"GetObject","eventID":"o"}`
	digest = `{"digestS3Bucket":"b","digestStartTime":"2026-03-02T09:00:00Z","logFiles":[]}`
)

// seen records the calls of a reader's callbacks.
type seen struct {
	records []string // ids
	dead    []string // reasons
	fail    error    // of the next record
}

func (s *seen) record(_ context.Context, from *decoding.Origin, rec *otellog.Record) error {
	if s.fail != nil {
		return s.fail
	}
	if rec.Time == 0 || rec.EventName == "" {
		return fmt.Errorf("the record of %s is empty", from.ID)
	}
	s.records = append(s.records, strings.Clone(from.ID))
	return nil
}

func (s *seen) bad(_ context.Context, bad *decoding.BadRecord) error {
	s.dead = append(s.dead, string(bad.Reason))
	return nil
}

func newRecords(s *seen, counts *read.Counts) *read.Records {
	return read.NewRecords(read.Config{Counts: counts, Record: s.record, Dead: s.bad, Now: func() time.Time { return time.Unix(1, 0) }})
}

func object(name, text string) source.Object {
	return source.Object{Name: name, Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }}
}

// balance checks that received = delivered + filtered + dead.
func balance(t *testing.T, c *read.Counts, delivered, filtered, dead int64) {
	t.Helper()
	received := delivered + filtered + dead
	if c.Received.Load() != received || c.Delivered.Load() != delivered || c.Filtered.Load() != filtered || c.Dead.Load() != dead {
		t.Errorf("received %d, delivered %d, filtered %d, dead %d; want %d, %d, %d, %d", c.Received.Load(), c.Delivered.Load(), c.Filtered.Load(), c.Dead.Load(), received, delivered, filtered, dead)
	}
}

func TestRecords(t *testing.T) {
	f := func(text string, records, dead []string, filtered int64) {
		t.Helper()
		var s seen
		var counts read.Counts
		in := newRecords(&s, &counts)
		if err := in.Object(t.Context(), object("a", text)); err != nil {
			t.Error(err)
		}
		if err := in.Bytes(t.Context(), []byte(text), "b"); err != nil {
			t.Error(err)
		}
		if want := append(slices.Clone(records), records...); !slices.Equal(s.records, want) {
			t.Errorf("%s\ngives the records %q, want %q", text, s.records, want)
		}
		if want := append(slices.Clone(dead), dead...); !slices.Equal(s.dead, want) {
			t.Errorf("%s\ngives the dead letters %q, want %q", text, s.dead, want)
		}
		balance(t, &counts, 2*int64(len(records)), 2*filtered, 2*int64(len(dead)))
	}
	one, two := fmt.Sprintf(event, "1"), fmt.Sprintf(event, "2")
	f(`{"Records":[`+one+`,`+other+`,`+two+`]}`, []string{"1", "2"}, nil, 1)
	f(one+"\n"+digest+"\n"+two, []string{"1", "2"}, nil, 1)
	// a record that does not decode, and one without a time
	f(one+"\n{\"eventVersion\":\n"+strings.Replace(two, "T09", " 09", 1)+"\n"+two, []string{"1", "2"}, []string{"bad_json", "bad_time"}, 0)
	f(``, nil, nil, 0)
}

// TestFilteredByReason checks that filtered records are counted by reason, and that the reasons add up.
func TestFilteredByReason(t *testing.T) {
	var s seen
	var counts read.Counts
	one := fmt.Sprintf(event, "1")
	with := func(members string) string { return strings.Replace(one, `"eventID"`, members+`,"eventID"`, 1) }
	text := strings.Join([]string{
		one, other, digest, with(`"eventCategory":"NetworkActivity"`), with(`"eventType":"AwsVpceEvent"`), with(`"eventCategory":"Insight"`),
		with(`"eventType":"AwsVpceEvent","errorCode":"VpceAccessDenied"`), `{"eventVersion":"1.0","eventId":"a","eventCategory":"Aggregated","eventType":"AwsAggregatedEvent","eventSource":"s3.amazonaws.com"}`,
	}, "\n")
	if err := newRecords(&s, &counts).Bytes(t.Context(), []byte(text), "a"); err != nil {
		t.Fatal(err)
	}
	balance(t, &counts, 2, 6, 0)
	want := decoding.Filtered{decoding.NotWanted: 1, decoding.NotEvent: 1, decoding.NetworkActivity: 2, decoding.Aggregated: 1, decoding.Insight: 1}
	if got := counts.Why(); got != want || got.Named() != " (2 network_activity, 1 aggregated, 1 insight)" || (decoding.Filtered{decoding.NotWanted: 9}).Named() != "" {
		t.Errorf("filtered %v, %q", got, got.Named())
	}
}

// TestRefused: a BadRecord from the callback becomes a dead letter, and any other error
// ends the object.
func TestRefused(t *testing.T) {
	var s seen
	var counts read.Counts
	in := newRecords(&s, &counts)
	s.fail = &decoding.BadRecord{Reason: decoding.ReasonRecordSize}
	if err := in.Object(t.Context(), object("a", fmt.Sprintf(event, "1")+other)); err != nil {
		t.Error(err)
	}
	if !slices.Equal(s.dead, []string{"record_too_big"}) {
		t.Errorf("dead letters %q", s.dead)
	}
	balance(t, &counts, 0, 1, 1)
	s.fail = errors.New("full")
	if err := in.Object(t.Context(), object("a", fmt.Sprintf(event, "1")+other)); err != s.fail {
		t.Errorf("the error is %v, want the callback's", err)
	}
}

// TestSourceFails: the error says why, so that a caller can tell a temporary one.
func TestSourceFails(t *testing.T) {
	broken := errors.New("connection reset")
	f := func(open func() (io.ReadCloser, error), want error, delivered int64) {
		t.Helper()
		var s seen
		var counts read.Counts
		var cause error
		in := read.NewRecords(read.Config{Counts: &counts, Record: s.record, Dead: func(_ context.Context, bad *decoding.BadRecord) error {
			if bad.Object != "a" || bad.Detail == "" || bad.Reason != decoding.ReasonRead {
				t.Errorf("the dead letter is %+v", bad)
			}
			cause = bad
			return nil
		}})
		if err := in.Object(t.Context(), source.Object{Name: "a", Open: open}); err != nil {
			t.Error(err)
		}
		if !errors.Is(cause, want) {
			t.Errorf("the cause is %v, want %v", cause, want)
		}
		balance(t, &counts, delivered, 0, 1)
	}
	f(func() (io.ReadCloser, error) { return nil, fs.ErrPermission }, fs.ErrPermission, 0)
	f(func() (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(strings.NewReader(fmt.Sprintf(event, "1")), failing{broken})), nil
	}, broken, 1)
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestContextEnds: reading stops between two records.
func TestContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var counts read.Counts
	in := read.NewEvents(cloud.NewReader(cloud.Options{}), &counts, func(context.Context) (decoding.Filter, error) {
		cancel()
		return decoding.Kept, nil
	}, nil)
	if err := in.Object(ctx, object("a", strings.Repeat(other, 3))); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	balance(t, &counts, 1, 0, 0)
}

// TestNoAllocations: an event costs no memory except its record's.
func TestNoAllocations(t *testing.T) {
	list := strings.Repeat(fmt.Sprintf(event, "1")+"\n"+other+"\n", 1000)
	data := []byte(list)
	var counts read.Counts
	in := read.NewRecords(read.Config{
		Options: cloud.Options{Encoded: true}, Counts: &counts, Now: time.Now,
		Record: func(context.Context, *decoding.Origin, *otellog.Record) error { return nil }, Dead: nil,
	})
	got := testing.AllocsPerRun(5, func() {
		if err := in.Bytes(t.Context(), data, "a"); err != nil {
			t.Error(err)
		}
	})
	if got > 100 { // of 2,000 events
		t.Errorf("an object of 2,000 events takes %v allocations", got)
	}
}
