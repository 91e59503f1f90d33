package stream

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/generate"
	"keytrail/processor/kafka"
	"keytrail/processor/source"
	"keytrail/schemas/cloudtrail"
	"keytrail/schemas/otellog"
	"keytrail/schemas/wire"
)

// outageFile is one file of a trail: what shippers read as a whole.
type outageFile struct {
	name      string
	lane      string // account and Region
	delivered time.Time
	records   []*kgo.Record // without offsets
}

// outageTrail makes a trail of five accounts in four Regions, whose volumes differ by far,
// and returns its files in the order of their delivery.
func outageTrail(t *testing.T, begin time.Time) (files []outageFile) {
	t.Helper()
	g, err := generate.New(generate.Config{
		Seed: 9, Start: begin, Duration: 8 * time.Hour, Keys: 50, Principals: 150, Events: 40_000, Scenarios: []string{}, DuplicateShare: -1,
		Accounts: []string{"111122223333", "222233334444", "333344445555", "444455556666", "555566667777"},
		Regions:  []string{"us-east-1", "eu-west-1", "eu-central-1", "ap-south-1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := g.WriteFiles(dir, nil); err != nil {
		t.Fatal(err)
	}
	var objects []source.Object
	for o, err := range source.Objects([]string{filepath.Join(dir, "AWSLogs")}) {
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, o)
	}
	slices.SortFunc(objects, source.ByDelivery)
	tools := newTools(t)
	for _, o := range objects {
		delivered, err := time.Parse("20060102T1504Z", source.Delivered(o.Name))
		if err != nil {
			t.Fatal(err)
		}
		f := outageFile{name: o.Name, delivered: delivered, lane: filepath.Dir(filepath.Dir(filepath.Dir(filepath.Dir(o.Name))))}
		for _, raw := range recordsOf(t, o.Name) {
			tools.ev = cloudtrail.Event{}
			if err := tools.dec.Decode(raw, &tools.ev); err != nil {
				t.Fatal(err)
			}
			if ok, err := tools.norm.Record(&tools.ev, delivered.UnixNano(), &tools.rec); err != nil || !ok {
				continue // of another service
			}
			key := slices.Clone(wire.CallKey(&tools.rec))
			f.records = append(f.records, &kgo.Record{Partition: kafka.KeyPartition(key, outagePartitions), Value: otellog.AppendRequest(nil, &tools.rec)})
		}
		files = append(files, f)
	}
	return files
}

const outagePartitions = 8

// recordsOf returns the records of a trail's file.
func recordsOf(t *testing.T, path string) []json.RawMessage {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Records []json.RawMessage }
	if err := json.NewDecoder(z).Decode(&file); err != nil {
		t.Fatal(err)
	}
	return file.Records
}

// outageRun is stage count as it is, with a clock of its own.
type outageRun struct {
	t    *testing.T
	c    *counter
	now  time.Time
	ends map[int32]int64
}

func newOutageRun(t *testing.T, lateness time.Duration) *outageRun {
	r := &outageRun{t: t, ends: map[int32]int64{}}
	p := pipeline(t, nil)
	tools := newTools(t)
	p.flows, p.Telemetry = tools.flows, tools.telemetry
	p.Window.IdleAfter, p.Window.Detect.Lateness = int64(time.Minute), int64(lateness)
	p.mostBytes = frameBytes
	p.Partitions = map[string]int32{p.Topics.Partials: 2, p.Topics.Events: outagePartitions}
	p.now = func() time.Time { return r.now }
	p.readLog = func(context.Context, string, []int32, func(*kgo.Record) error) error { return nil }
	r.c = newCounter(p)
	var all []int32
	for q := range int32(outagePartitions) {
		all, r.ends[q] = append(all, q), 0
	}
	if err := r.c.Assign(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	return r
}

// take processes a record, as the next of its partition.
func (r *outageRun) take(one *kgo.Record) {
	next := *one
	next.Offset = r.ends[one.Partition]
	r.ends[one.Partition]++
	if err := r.c.Process(&next); err != nil {
		r.t.Fatal(err)
	}
}

// commit ends a transaction.
func (r *outageRun) commit() {
	behind := map[int32]int64{}
	for q := range r.ends {
		behind[q] = 0
	}
	r.c.saw(kafka.Seen{Ends: maps.Clone(r.ends)})
	r.c.Lag(behind)
	if _, err := r.c.Output(r.now, func(*kgo.Record) {}); err != nil {
		r.t.Fatal(err)
	}
}

// live takes files when they are delivered, from one time to another. The clock goes on to
// the end, with a commit every half a minute.
func (r *outageRun) live(files []outageFile, from, to time.Time) {
	for r.now = from; r.now.Before(to); r.now = r.now.Add(30 * time.Second) {
		for len(files) > 0 && !files[0].delivered.After(r.now) {
			for _, one := range files[0].records {
				r.take(one)
			}
			files = files[1:]
		}
		r.commit()
	}
}

// between returns the files that were delivered from one time on, before another.
func between(files []outageFile, from, to time.Time) (list []outageFile) {
	for _, f := range files {
		if !f.delivered.Before(from) && f.delivered.Before(to) {
			list = append(list, f)
		}
	}
	return list
}

// inOrder, sideBySide and shuffled are the orders in which a backlog arrives: of one
// shipper; of one for each account and Region, all at the same speed, so that small
// lanes are through hours before large ones; and of a queue, which has no order.
func inOrder(files []outageFile) (list []*kgo.Record) {
	for _, f := range files {
		list = append(list, f.records...)
	}
	return list
}

func sideBySide(files []outageFile) (list []*kgo.Record) {
	lanes := map[string][]*kgo.Record{}
	for _, f := range files {
		lanes[f.lane] = append(lanes[f.lane], f.records...)
	}
	for round, left := 0, true; left; round++ {
		left = false
		for _, name := range slices.Sorted(maps.Keys(lanes)) {
			if round < len(lanes[name]) {
				list, left = append(list, lanes[name][round]), true
			}
		}
	}
	return list
}

func shuffled(files []outageFile) []*kgo.Record {
	files = slices.Clone(files)
	rng := rand.New(rand.NewPCG(1, 10))
	rng.Shuffle(len(files), func(i, j int) { files[i], files[j] = files[j], files[i] })
	return inOrder(files)
}

// Shippers stop for three hours and start again: which share of the calls of these hours is
// late. docs/operations.md has the figures that this prints.
func TestThreeHoursWithoutShippers(t *testing.T) {
	begin := time.Date(2026, 3, 2, 6, 0, 0, 0, time.UTC)
	files := outageTrail(t, begin)
	stop, again, end := begin.Add(3*time.Hour), begin.Add(6*time.Hour), begin.Add(7*time.Hour)
	backlog := between(files, stop, again)
	one := backlog[0].lane
	share := func(lateness time.Duration, before []outageFile, during, after func(r *outageRun)) float64 {
		r := newOutageRun(t, lateness)
		r.live(before, begin, stop)
		during(r)
		late, counted := r.c.stats.late, r.c.stats.delivered
		after(r)
		r.live(between(files, again, end), r.now, end)
		return 100 * float64(r.c.stats.late-late) / float64(r.c.stats.delivered-counted+r.c.stats.late-late)
	}
	all := func(order func([]outageFile) []*kgo.Record, takes time.Duration) func(*outageRun) {
		return func(r *outageRun) {
			list := order(backlog)
			r.now = again
			for i, one := range list {
				if at := again.Add(takes * time.Duration(i) / time.Duration(len(list))); at.Sub(r.now) > 10*time.Second {
					r.now = at
					r.commit()
				}
				r.take(one)
			}
			r.commit()
		}
	}
	quiet := func(r *outageRun) { r.live(nil, stop, again) }
	const soon, slowly = 10 * time.Minute, 40 * time.Minute
	for _, c := range []struct {
		what     string
		lateness time.Duration
		after    func(*outageRun)
		most     float64
	}{
		{"one shipper, in order of delivery, within 40 min", time.Hour, all(inOrder, slowly), 0},
		{"one for each account and Region, side by side, within 10 min", time.Hour, all(sideBySide, soon), 0},
		{"one for each account and Region, side by side, within 40 min", time.Hour, all(sideBySide, slowly), 100},
		{"a queue without order, within 10 min", time.Hour, all(shuffled, soon), 0},
		{"a queue without order, within 40 min", time.Hour, all(shuffled, slowly), 100},
		{"the same, allowed_lateness 4h", 4 * time.Hour, all(shuffled, slowly), 0},
	} {
		got := share(c.lateness, between(files, begin, stop), quiet, c.after)
		t.Logf("%-66s %5.1f %% late", c.what, got)
		if got > c.most {
			t.Errorf("%s: %.1f %% are late", c.what, got)
		}
	}
	others := slices.DeleteFunc(between(files, stop, again), func(f outageFile) bool { return f.lane == one })
	its := slices.DeleteFunc(slices.Clone(backlog), func(f outageFile) bool { return f.lane != one })
	for _, lateness := range []time.Duration{time.Hour, 4 * time.Hour} {
		r := newOutageRun(t, lateness)
		r.live(between(files, begin, stop), begin, stop)
		r.live(others, stop, again)
		late := r.c.stats.late
		records := inOrder(its)
		for _, one := range records {
			r.take(one)
		}
		got := 100 * float64(r.c.stats.late-late) / float64(len(records))
		t.Logf("%-66s %5.1f %% late", fmt.Sprintf("only one account and Region of 20 stopped, allowed_lateness %v", lateness), got)
		if lateness > time.Hour && got > 0 {
			t.Errorf("with %v of lateness %.1f %% are late", lateness, got)
		}
	}
}
