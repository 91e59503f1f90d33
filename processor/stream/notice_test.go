package stream

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/count"
	"keytrail/processor/entity"
	"keytrail/processor/state"
	"keytrail/schemas/kms"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
	"keytrail/schemas/wire"
)

// split is one source and two partitions of kms.partials that lag behind each other: the
// test delivers their logs.
type split struct {
	t    *testing.T
	c    *counter
	task *countTask
	side [2]*detector
	log  [2][]*kgo.Record // delivered from the front
}

func newSplit(t *testing.T) *split {
	c, task := bigCommit(0)
	c.p.Partitions = map[string]int32{c.p.Topics.Partials: 2, c.p.Topics.Events: 1, c.p.Topics.Dedup: 1, c.p.Topics.Windows: 1, c.p.Topics.Anomalies: 1, c.p.Topics.Keys: 1, c.p.Topics.Incidents: 1}
	c.p.Window.Detect.WarmUp = 0
	task.log.head.Settings = c.p.settings().String()
	s := &split{t: t, c: c, task: task}
	for q := range s.side {
		s.side[q] = newDetector(c.p)
		s.side[q].tasks[int32(q)] = s.side[q].newTask(int32(q))
	}
	return s
}

// names finds a KMS key of partition 0 and principals of partition 1.
func (s *split) names() (key string, principals []string) {
	owner := func(e wire.Entity) int32 { p := wire.Partial{Entity: e}; return p.Owner(2) }
	for i := 0; key == "" || len(principals) < 2; i++ {
		k, p := fmt.Sprintf("arn:aws:kms:eu-central-1:111122223333:key/%d", i), fmt.Sprintf("arn:aws:iam::111122223333:role/%d", i)
		if owner(wire.Entity{Scope: wire.ScopeKey, Key: k}) == 0 && key == "" {
			key = k
		}
		if owner(wire.Entity{Scope: wire.ScopePrincipal, Principal: p}) == 1 {
			principals = append(principals, p)
		}
	}
	return key, principals
}

// commit makes stage count commit the watermark and at most one call.
func (s *split) commit(call *count.Call, mark time.Time) {
	if call != nil {
		call.ID = wire.ParseCallID(call.IDText)
		s.task.Table.Add(call, 1)
	}
	s.task.to++
	var out []*kgo.Record
	s.c.emit = func(r *kgo.Record) { out = append(out, r) }
	late := s.c.p.Window.Detect.MarkAt(mark.UnixNano()).Late
	s.c.frames(s.task, mark.UnixNano(), late, false)
	s.task.sent.Watermark, s.task.sent.Late, s.task.from = mark.UnixNano(), late, s.task.to
	s.task.Table.Reset()
	s.take(out)
}

// take appends frames to the logs and returns the other records.
func (s *split) take(list []*kgo.Record) (rest []*kgo.Record) {
	for _, r := range list {
		if r.Topic == s.c.p.Topics.Partials {
			s.log[r.Partition] = append(s.log[r.Partition], r)
		} else {
			rest = append(rest, r)
		}
	}
	return rest
}

// deliver makes one partition process its log in one commit, and returns the records that
// are not frames.
func (s *split) deliver(q int) []*kgo.Record {
	s.t.Helper()
	for _, r := range s.log[q] {
		if err := s.side[q].Process(r); err != nil {
			s.t.Fatal(err)
		}
	}
	s.log[q] = nil
	return s.take(output(s.t, s.side[q]))
}

// A pair's anomaly counts in its principal's window, even if the principal's partition is
// hours of event time ahead: it keeps its windows until the pair's partition has declared
// them settled.
func TestNoticesBehindABacklog(t *testing.T) {
	s := newSplit(t)
	key, principals := s.names()
	begin := time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)
	use := func(principal string, at time.Time) *count.Call {
		return &count.Call{IDText: principal + at.String(), Time: at.UnixNano(), Key: key, Principal: principal, Copy: kms.CopyCaller, Class: kms.ClassDecrypt}
	}
	s.commit(use(principals[0], begin), begin)
	s.commit(use(principals[1], begin.Add(2*time.Hour)), begin.Add(2*time.Hour)) // the first use of the key
	s.commit(nil, begin.Add(7*time.Hour))
	s.deliver(1) // all of it at once, before the pair's partition has read anything
	s.deliver(0)
	revised := 0
	var rec otellog.Record
	for _, r := range s.deliver(1) {
		if r.Topic == s.c.p.Topics.DeadLetter {
			t.Fatalf("a dead letter: %s", r.Headers)
		}
		if r.Topic == s.c.p.Topics.Windows && rec.Decode(r.Value) == nil && rec.Str(semconv.KeytrailPrincipalID) == principals[1] {
			revised++
			if n := rec.Get(semconv.KeytrailWindowAnomaliesTotal); n == nil || n.Int != 1 || rec.Get(semconv.KeytrailWindowRevision).Int != 2 {
				t.Errorf("the principal's window: %s", otellog.AppendJSON(nil, &rec))
			}
		}
	}
	if revised != 1 {
		t.Fatalf("the principal's window is published %d times", revised)
	}
	// Both have declared by now: windows behind the lateness go.
	s.deliver(0)
	s.commit(nil, begin.Add(9*time.Hour))
	s.deliver(0)
	s.deliver(1)
	s.deliver(0)
	for q, d := range s.side {

		late := wire.Partial{Entity: wire.Entity{Scope: wire.ScopePrincipal, Principal: "p"}, Start: begin.UnixNano(), Counters: []wire.Counter{{ID: wire.CounterCalls, N: 1}}}
		if !d.tasks[int32(q)].engine.Merge(&late) {
			t.Errorf("partition %d still takes calls of seven hours ago", q)
		}
	}
}

// A late call may be the first of its pair in a window that its principal's partition,
// hours ahead, has closed long ago: it keeps the window until the pair's partition
// accepts no such calls any more.
func TestNoticeOfALateCall(t *testing.T) {
	s := newSplit(t)
	key, principals := s.names()
	begin := time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)
	use := func(principal string, at time.Time) *count.Call {
		return &count.Call{IDText: principal, Time: at.UnixNano(), Key: key, Principal: principal, Copy: kms.CopyCaller, Class: kms.ClassDecrypt}
	}
	half := begin.Add(30 * time.Minute)
	s.commit(use(principals[0], begin), half)
	for range 2 { // both learn of each other's progress
		s.deliver(0)
		s.deliver(1)
	}
	s.commit(use(principals[1], begin.Add(10*time.Minute)), half) // not too late
	s.commit(nil, begin.Add(3*time.Hour))
	published := s.deliver(1)
	s.deliver(0)
	var rec otellog.Record
	noticed := false
	for _, r := range append(published, s.deliver(1)...) {
		if r.Topic == s.c.p.Topics.DeadLetter {
			t.Errorf("a dead letter: %s", r.Headers)
		}
		if r.Topic == s.c.p.Topics.Windows && rec.Decode(r.Value) == nil && rec.Str(semconv.KeytrailPrincipalID) == principals[1] {
			n := rec.Get(semconv.KeytrailWindowAnomaliesTotal)
			noticed = n != nil && n.Int == 1
		}
	}
	if !noticed {
		t.Error("the principal's window does not count the anomaly of the pair")
	}
}

// Windows held for a partition that makes no progress are bounded: older ones are
// dropped, which bounds an entity's state.
func TestHeldWindowsAreBounded(t *testing.T) {
	s := newSplit(t)
	key, principals := s.names()
	begin := time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)
	size := time.Duration(s.c.p.Window.Detect.Size)
	most := 0
	for i := range 2 * mostBehind {
		at := begin.Add(time.Duration(i) * size)
		s.commit(&count.Call{IDText: at.String(), Time: at.UnixNano(), Key: key, Principal: principals[0], Copy: kms.CopyCaller, Class: kms.ClassDecrypt}, at)
		for _, r := range s.deliver(1) { // the other partition reads nothing
			if r.Topic != s.c.p.Topics.State || string(r.Key) == state.MetaKey {
				continue
			}
			e, err := entity.Decode(string(r.Key), r.Value)
			if err != nil {
				t.Fatal(err)
			}
			most = max(most, len(e.Windows))
		}
	}
	if bound := mostBehind + 4; most > bound || most < mostBehind {
		t.Errorf("%d windows of an entity are held, want at most %d", most, bound)
	}
}
