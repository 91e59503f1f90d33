package stream

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/count"
	"keytrail/processor/eventtime"
	"keytrail/processor/kafka"
	"keytrail/schemas/kms"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
	"keytrail/schemas/wire"
)

// lateRig is stage count with one source, over a dedup topic in a slice.
type lateRig struct {
	t     *testing.T
	s     *split
	tools *simTools
	log   []*kgo.Record // of the source's dedup partition
	next  int64
	now   time.Time
	got   map[string]int64 // calls by scope and entity, in the last revision of each window
}

func newLateRig(t *testing.T) *lateRig {
	r := &lateRig{t: t, s: newSplit(t), tools: newTools(t), got: map[string]int64{}}
	p := r.s.c.p
	p.flows, p.Telemetry, p.Log = r.tools.flows, r.tools.telemetry, quiet()
	p.Window.OutOfOrderness, p.Window.FutureSkew, p.Window.IdleAfter = int64(15*time.Minute), int64(5*time.Minute), int64(time.Minute)
	r.now = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	p.now = func() time.Time { return r.now }
	p.readLog = func(_ context.Context, _ string, _ []int32, f func(*kgo.Record) error) error {
		for _, one := range r.log {
			if err := f(one); err != nil {
				return err
			}
		}
		return nil
	}
	r.restart()
	return r
}

// Nothing is missing in front of the first record when only aborted transactions are. Then
// there is no hold, and windows close from the first record on.
func TestHoldOnlyAfterDeletedRecords(t *testing.T) {
	for start, want := range map[int64]bool{0: false, 3: true} {
		r := newLateRig(t)
		r.s.c.Starts(0, start)
		if err := r.s.c.Process(&kgo.Record{Topic: r.s.c.p.Topics.Events, Offset: 5, Timestamp: r.now, Value: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		if got := r.s.c.tasks[0].progress.Holding(); got != want {
			t.Errorf("a log that starts at %d: hold %v, want %v", start, got, want)
		}
	}
}

// isLate reports whether a call at an event time is late.
func (t *countTask) isLate(at int64, p *Pipeline) bool {
	return eventtime.End(at, p.Window.Detect.Size) <= t.late(p)
}

// restart makes stage count restore its state.
func (r *lateRig) restart() {
	r.t.Helper()
	r.s.c.tasks = map[int32]*countTask{}
	if err := r.s.c.Assign(r.t.Context(), []int32{0}); err != nil {
		r.t.Fatal(err)
	}
}

// take makes stage count process and commit an event.
func (r *lateRig) take(value []byte) {
	r.t.Helper()
	if value != nil {
		if err := r.s.c.Process(&kgo.Record{Topic: r.s.c.p.Topics.Events, Offset: r.next, Value: value}); err != nil {
			r.t.Fatal(err)
		}
		r.next++
	}
	for _, one := range r.s.take(output(r.t, r.s.c)) {
		if one.Topic == r.s.c.p.Topics.Dedup {
			r.log = append(r.log, one)
		}
	}
}

// deliver makes a partition of detect read its records.
func (r *lateRig) deliver(q int) {
	r.t.Helper()
	var rec otellog.Record
	for _, one := range r.s.deliver(q) {
		switch {
		case one.Topic == r.s.c.p.Topics.DeadLetter:
			r.t.Errorf("detect has a dead letter: %s", one.Headers)
		case one.Topic == r.s.c.p.Topics.Windows && rec.Decode(one.Value) == nil:
			n := int64(0)
			if a := rec.Get(semconv.KeytrailWindowCallsTotal); a != nil {
				n = a.Int
			}
			r.got[strings.Clone(rec.Str(semconv.KeytrailWindowScope)+" "+rec.Str(semconv.KeytrailPrincipalID))+fmt.Sprint(rec.Time)] = n
		}
	}
}

// event is a producer's record of one copy of a call.
func (r *lateRig) event(c simCall, kind copyKind) []byte {
	l := &simLoad{s: &sim{now: r.now.UnixNano()}, tools: r.tools, high: make([]int64, 1)}
	return l.item(l.json(c, kind)).value
}

// Whenever the better copy of a call arrives, and however far the partitions of detect
// have read meanwhile, the call counts once for one principal, in all its windows.
func TestBetterCopyIsLateForAllOrNobody(t *testing.T) {
	late := 0
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 7))
		r := newLateRig(t)
		begin := r.now.Add(-10 * time.Minute).Truncate(5 * time.Minute)
		c := simCall{id: "5ae00000-0000-4000-8000-000000000001", at: begin.UnixNano(), op: "Decrypt", key: keyThere(0), role: rng.IntN(8)}
		maybe := func() {
			for q := range 2 {
				if rng.IntN(2) == 0 {
					r.deliver(q)
				}
			}
			if rng.IntN(4) == 0 {
				r.restart()
			}
		}
		r.take(r.event(c, ownerCopy))
		maybe()
		r.now = r.now.Add(2 * time.Hour)
		r.take(r.event(simCall{id: "b", at: begin.Add(time.Duration(60+rng.IntN(40)) * time.Minute).UnixNano(), op: "Decrypt", key: keyHere(0), role: 1}, plainCopy))
		maybe()
		if r.s.c.tasks[0].isLate(c.at, r.s.c.p) {
			late++
		}
		r.take(r.event(c, callerCopy))
		maybe()
		r.take(r.event(simCall{id: "c", at: begin.Add(110 * time.Minute).UnixNano(), op: "Decrypt", key: keyHere(0), role: 1}, plainCopy))
		for range 3 {
			r.deliver(0)
			r.deliver(1)
		}
		sums := map[string]int64{}
		for name, n := range r.got {
			if strings.HasSuffix(name, fmt.Sprint(begin.UnixNano())) {
				scope, _, _ := strings.Cut(name, " ")
				sums[scope] += n
			}
		}
		if sums["key"] != 1 || sums["principal"] != 1 || sums["pair"] != 1 {
			t.Fatalf("seed %d: one call counts %v", seed, sums)
		}
	}
	if late < 10 || late > 50 {
		t.Errorf("the better copy is late in %d of 60: this tests too little", late)
	}
}

// No event time affects later events: a time outside 1970 to 2261 gives a dead letter
// that says so, and a watermark is never ahead of the clock.
func TestEventTimesOutOfRange(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 8))
	r := newLateRig(t)
	good := func(id int) []byte {
		return r.event(simCall{id: fmt.Sprint("good-", id), at: r.now.UnixNano(), op: "Decrypt", key: keyHere(0), role: 1}, plainCopy)
	}
	edges := []int64{math.MinInt64, math.MinInt64 + 1, -1, 0, 1, eventtime.Last, eventtime.Last + 1, math.MaxInt64, math.MaxInt64 - 1, eventtime.None}
	for i := range 300 {
		at := int64(rng.Uint64())
		if i < len(edges) {
			at = edges[i]
		}
		var rec otellog.Record
		if err := rec.Decode(good(-i)); err != nil {
			t.Fatal(err)
		}
		rec.Time = at
		before := r.s.c.stats
		if err := r.s.c.Process(&kgo.Record{Topic: r.s.c.p.Topics.Events, Offset: r.next, Value: otellog.AppendRequest(nil, &rec)}); err != nil {
			t.Fatal(err)
		}
		r.next++
		got := r.s.c.stats
		if !eventtime.InRange(at) && at != 0 && got.reasons["bad_time"] != before.reasons["bad_time"]+1 && got.delivered != before.delivered {
			t.Errorf("the event time %d: %+v", at, got)
		}
		if got.late < 0 || r.s.c.tasks[0].progress.Watermark() > r.now.UnixNano() {
			t.Fatalf("the event time %d: late %d, watermark %d", at, got.late, r.s.c.tasks[0].progress.Watermark())
		}
		if err := r.s.c.Process(&kgo.Record{Topic: r.s.c.p.Topics.Events, Offset: r.next, Value: good(i)}); err != nil {
			t.Fatal(err)
		}
		if r.next++; r.s.c.stats.delivered <= got.delivered {
			t.Fatalf("after the event time %d a call of now is %+v", at, r.s.c.stats)
		}
	}
	if s := r.s.c.stats; s.reasons["bad_time"] < 100 || s.reasons["future"] < 50 {
		t.Errorf("%+v: this tests too little", s)
	}
}

// A source without new records remembers its sent progress across restarts. Its first
// record is late only far behind that, whatever other sources have.
func TestSourceWithoutRecordsRemembers(t *testing.T) {
	r := newLateRig(t)
	c := r.s.c
	front := r.now.Add(-15 * time.Minute).UnixNano()
	look := func() {
		c.saw(kafka.Seen{Ends: map[int32]int64{0: 0, 1: 9}, Notes: map[int32]string{1: fmt.Sprint(front)}})
		c.Lag(map[int32]int64{0: 0})
	}
	look()
	r.now = r.now.Add(2 * time.Minute)
	look()
	r.take(nil)
	if got := c.tasks[0].sent.Watermark; got != front {
		t.Fatalf("a source that has had no record told the watermark %d, want %d", got, front)
	}
	r.restart()
	r.take(r.event(simCall{id: "old", at: front - int64(3*time.Hour), op: "Decrypt", key: keyHere(0), role: 1}, plainCopy))
	r.take(r.event(simCall{id: "new", at: front, op: "Decrypt", key: keyHere(0), role: 1}, plainCopy))
	if c.tasks[0].begun != true || c.tasks[0].sequence == 0 {
		t.Error("its first record does not begin it")
	}
	for q := range 2 {
		r.deliver(q) // fails if detect is ahead of the accepted calls
	}
}

// A call of a window that its source has declared closed stops stage detect, with an
// error that names it and says what to do.
func TestLatePartialIsAFault(t *testing.T) {
	s := newSplit(t)
	at := time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)
	key, _ := s.names()
	s.commit(nil, at.Add(2*time.Hour))
	s.commit(&count.Call{IDText: "a", Time: at.UnixNano(), Key: key, Principal: "p", Copy: kms.CopyCaller}, at.Add(2*time.Hour))
	var err error
	for _, r := range s.log[0] {
		if err == nil {
			err = s.side[0].Process(r)
		}
	}
	if err == nil {
		t.Fatal("detect takes calls of a window that its source told to be closed")
	}
	for _, part := range []string{"kms.partials partition 0", "source 1", "2026-03-02T10:05:00Z", "2026-03-02T11:00:00Z", "docs/operations.md"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not name %q", err, part)
		}
	}
}

// Sent marks stay valid when the allowed lateness has grown: dropped windows do not start
// again.
func TestMoreLatenessOpensNothing(t *testing.T) {
	r := newLateRig(t)
	w := &r.s.c.p.Window
	r.take(r.event(simCall{id: "a", at: r.now.UnixNano(), op: "Decrypt", key: keyHere(0), role: 1}, plainCopy))
	old := r.now.Add(-90 * time.Minute).UnixNano()
	if !r.s.c.tasks[0].isLate(old, r.s.c.p) {
		t.Fatal("an event of 90 minutes ago is not late")
	}
	w.Detect.Lateness = int64(4 * time.Hour)
	r.restart()
	if !r.s.c.tasks[0].isLate(old, r.s.c.p) {
		t.Error("an event is late no more, because the allowed lateness has grown")
	}
	var f wire.Frame
	r.take(r.event(simCall{id: "b", at: r.now.UnixNano(), op: "Decrypt", key: keyHere(0), role: 1}, plainCopy))
	if f = r.s.c.tasks[0].sent; f.Late < old {
		t.Errorf("what was told goes back to %d", f.Late)
	}
}

// Startup refuses more partitions of the events than the state has.
func TestAddedPartitionsAreRefused(t *testing.T) {
	s := newSplit(t)
	at := time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)
	s.commit(nil, at)
	var changelog []*kgo.Record
	for _, r := range s.deliver(0) {
		if r.Topic == s.c.p.Topics.State {
			changelog = append(changelog, r)
		}
	}
	s.c.p.Log, s.c.p.flows = quiet(), newTools(t).flows
	s.c.p.readLog = func(_ context.Context, _ string, _ []int32, f func(*kgo.Record) error) error {
		for _, r := range changelog {
			if err := f(r); err != nil {
				return err
			}
		}
		return nil
	}
	d := newDetector(s.c.p)
	if err := d.Assign(t.Context(), []int32{0}); err != nil {
		t.Fatal(err)
	}
	s.c.p.Partitions[s.c.p.Topics.Events] = 2
	err := d.Assign(t.Context(), []int32{0})
	if err == nil || !strings.Contains(err.Error(), `partitions of topic "kms.events" is 2, and was 1`) {
		t.Errorf("error %v", err)
	}
}
