package anomaly_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"keytrail/processor/anomaly"
	"keytrail/processor/eventtime"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
	"keytrail/schemas/wire"
)

// record returns the record of an open anomaly.
func record(id string, revision int64) *otellog.Record {
	var rec otellog.Record
	a := anomaly.Anomaly{ID: id, Kind: anomaly.KindRate, Detector: "rate", Score: 9, Reason: "why", Entity: keyOf(1),
		Start: begin, End: begin + size, At: begin + size, Began: begin, Revision: revision, Calls: []string{"one"}}
	anomaly.AnomalyRecord(&rec, &a, 1)
	return &rec
}

// TestEnd: the end repeats the anomaly's last record, with the next revision.
func TestEnd(t *testing.T) {
	s := anomaly.NewOpenSet()
	rec := record("a", 4)
	s.Put(rec, begin+hour)
	s.Put(record("a", 2), begin+9*hour) // superseded: a better copy came first
	most, ends := 9, 0
	emit := func(id string, end *otellog.Record) {
		ends++
		want := record("a", 5)
		want.Time, want.Observed, want.Severity = begin+hour, 7, otellog.SeverityInfo
		want.Get(semconv.KeytrailAnomalyState).Str = anomaly.StateEnded
		if got, want := string(otellog.AppendJSON(nil, end)), string(otellog.AppendJSON(nil, want)); id != "a" || got != want {
			t.Errorf("%s ended with\n%s\nwant\n%s", id, got, want)
		}
	}
	if s.Advance(begin+hour-1, 7, &most, emit) || ends != 0 {
		t.Error("it ended too early")
	}
	if s.Advance(begin+hour, 7, &most, emit) || ends != 1 || most != 8 || s.Len() != 0 {
		t.Errorf("%d ends, %d left, %d open", ends, most, s.Len())
	}
	if state := rec.Str(semconv.KeytrailAnomalyState); state != anomaly.StateOpen {
		t.Errorf("an anomaly begins %s", state)
	}
}

// lives is a plain model of an OpenSet.
type lives map[string]struct{ until, revision int64 }

func (l lives) put(id string, revision, until int64) {
	o, is := l[id]
	switch {
	case !is:
		o.until, o.revision = until, revision
	case revision >= o.revision:
		o.until, o.revision = max(o.until, until), revision
	}
	l[id] = o
}

func (l lives) advance(mark int64) (ends []string) {
	for id, o := range l {
		if o.until <= mark {
			ends = append(ends, fmt.Sprint(id, max(o.until, begin+size), o.revision+1))
			delete(l, id)
		}
	}
	slices.Sort(ends)
	return ends
}

// TestOpenSetAsAModel: whatever is put, and however often the set is restored from its
// changelog, each anomaly ends once for each time that it was opened, and the changelog
// holds the open ones alone.
func TestOpenSetAsAModel(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		s, model, log, mark := anomaly.NewOpenSet(), lives{}, map[string][]byte{}, begin
		var enc wire.Encoder
		commit := func() {
			s.Changes(&enc, func(key string, value []byte) {
				if log[key] = value; value == nil {
					delete(log, key)
				}
			})
		}
		for range 200 {
			switch id := fmt.Sprint("id", rng.IntN(8)); rng.IntN(6) {
			case 0, 1, 2:
				revision, until := 2*rng.Int64N(9), mark+rng.Int64N(3*hour)-hour/2
				s.Put(record(id, revision), until)
				model.put(id, revision, until)
			case 3:
				at := mark - rng.Int64N(hour)
				s.End(id, at)
				if o, is := model[id]; is {
					o.until = at
					model[id] = o
				}
			case 4:
				mark += rng.Int64N(hour)
				var ends []string
				for more := true; more; {
					most := 1 + rng.IntN(3)
					more = s.Advance(mark, 0, &most, func(id string, rec *otellog.Record) {
						ends = append(ends, fmt.Sprint(id, rec.Time, rec.Get(semconv.KeytrailAnomalyRevision).Int))
					})
				}
				slices.Sort(ends)
				if want := model.advance(mark); !slices.Equal(ends, want) {
					t.Fatalf("seed %d: %v ended, want %v", seed, ends, want)
				}
			case 5:
				commit()
				s = anomaly.NewOpenSet()
				for _, key := range slices.Sorted(maps.Keys(log)) {
					if err := s.Restore(key, log[key]); err != nil || !anomaly.IsOpenKey(key) {
						t.Fatal(key, err)
					}
				}
			}
			if (s.Packed() > 0) != (s.Len() > 0) {
				t.Fatalf("seed %d: %d anomalies are open, and %d bytes are packed", seed, s.Len(), s.Packed())
			}
			if s.Len() != len(model) {
				t.Fatalf("seed %d: %d are open, want %d", seed, s.Len(), len(model))
			}
		}
		commit()
		if len(log) != len(model) {
			t.Errorf("seed %d: the changelog has %d, want %d", seed, len(log), len(model))
		}
	}
}

// TestFullOpenSet: a set that is full ends the anomalies that are due first.
func TestFullOpenSet(t *testing.T) {
	s := anomaly.NewOpenSet()
	s.Bound(20_000)
	for i := range 100 {
		s.Put(record(fmt.Sprint(i), 2), begin+hour+int64(100-i))
	}
	var ends []string
	most := 1000
	s.Advance(begin, 0, &most, func(id string, rec *otellog.Record) {
		if ends = append(ends, id); rec.Time != begin+size {
			t.Errorf("%s ended at %d, want its own time", id, rec.Time)
		}
	})
	if n := len(ends); n < 50 || n == 100 || ends[0] != "99" || s.Len() != 100-n {
		t.Errorf("%d ended, first %s; %d are open", n, ends[0], s.Len())
	}
}

// TestFullBeforeAnyMark: a full set ends anomalies before the watermark is known, and also
// when the caller may publish nothing else. No end comes before what it ends.
func TestFullBeforeAnyMark(t *testing.T) {
	s := anomaly.NewOpenSet()
	s.Bound(2_000)
	for i := range 9 {
		s.Put(record(fmt.Sprint(i), 2), begin+hour)
	}
	ends, most := 0, 0
	more := s.Advance(eventtime.None, 0, &most, func(id string, rec *otellog.Record) {
		if ends++; rec.Time != begin+size {
			t.Errorf("%s ended at %d, want %d, when it was found", id, rec.Time, begin+size)
		}
	})
	if more || ends < 5 || ends == 9 {
		t.Errorf("%d of 9 ended; others remain: %v", ends, more)
	}
}

// TestOpenSetRefuses: damaged state is an error.
func TestOpenSetRefuses(t *testing.T) {
	s := anomaly.NewOpenSet()
	s.Put(record("a", 2), begin)
	var whole []byte
	var key string
	s.Changes(&wire.Encoder{}, func(k string, value []byte) { key, whole = k, value })
	for k := range whole {
		if err := anomaly.NewOpenSet().Restore(key, whole[:k]); err == nil {
			t.Errorf("cut at %d of %d it is taken", k, len(whole))
		}
	}
	if err := anomaly.NewOpenSet().Restore(key+"b", whole); err == nil {
		t.Error("it is taken under another id")
	}
}
