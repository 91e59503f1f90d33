package stream

import (
	"cmp"
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
	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/otellog"
	"keytrail/schemas/wire"
)

const outagePartitions = 8

// outageFile is one file of a trail, which shippers read as a whole.
type outageFile struct {
	lane      string // account and Region
	delivered time.Time
	records   []*kgo.Record // without offsets and times
}

// outageTrail makes a trail of five accounts in four Regions with very different volumes,
// and returns its files in order of delivery.
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
	tools := newTools(t)
	for o, err := range source.InOrder(source.Objects([]string{filepath.Join(dir, "AWSLogs")})) {
		if err != nil {
			t.Fatal(err)
		}
		delivered, err := time.Parse("20060102T1504Z", source.Delivered(o.Name))
		if err != nil {
			t.Fatal(err)
		}
		f := outageFile{delivered: delivered, lane: filepath.Dir(filepath.Dir(filepath.Dir(filepath.Dir(o.Name))))}
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

// outageLog is the shippers' output to the events, in order of time.
type outageLog []*kgo.Record

// write appends n records, the i-th at begin plus i/n of takes.
func (l *outageLog) write(records []*kgo.Record, begin time.Time, takes time.Duration) {
	for i, one := range records {
		r := *one
		r.Timestamp = begin.Add(takes * time.Duration(i) / time.Duration(len(records)))
		*l = append(*l, &r)
	}
}

// ship writes files at the time of their delivery, or at a given time if they were delivered before.
func (l *outageLog) ship(files []outageFile, from time.Time) {
	for _, f := range files {
		at := f.delivered
		if at.Before(from) {
			at = from
		}
		l.write(f.records, at, time.Second)
	}
}

// numbered sorts the records by time, and assigns offsets.
func (l outageLog) numbered() outageLog {
	slices.SortStableFunc(l, func(a, b *kgo.Record) int { return a.Timestamp.Compare(b.Timestamp) })
	var next [outagePartitions]int64
	for _, r := range l {
		r.Offset = next[r.Partition]
		next[r.Partition]++
	}
	return l
}

// outageRun is the real stage count, with its own clock.
type outageRun struct {
	t     *testing.T
	c     *counter
	now   time.Time
	ends  map[int32]int64
	dedup []*kgo.Record
	late  []string // the places of late calls
	held  int      // restarts during a hold
}

func newOutageRun(t *testing.T, lateness time.Duration) *outageRun {
	r := &outageRun{t: t, ends: map[int32]int64{}}
	p := pipeline(t, nil)
	tools := newTools(t)
	p.flows, p.Telemetry = tools.flows, tools.telemetry
	p.Window.IdleAfter, p.Window.Detect.Lateness = int64(time.Minute), int64(lateness)
	p.mostBytes, p.mostBehind = frameBytes, mostBehind
	p.Partitions = map[string]int32{p.Topics.Partials: 2, p.Topics.Events: outagePartitions}
	p.now = func() time.Time { return r.now }
	p.readLog = func(_ context.Context, _ string, _ []int32, f func(*kgo.Record) error) error {
		for _, one := range r.dedup {
			if err := f(one); err != nil {
				return err
			}
		}
		return nil
	}
	r.c = newCounter(p)
	r.restart()
	return r
}

// restart ends the process and starts another, which restores its state.
func (r *outageRun) restart() {
	r.t.Helper()
	newest := map[string]int{} // the compacted log
	for i, one := range r.dedup {
		newest[fmt.Sprint(one.Partition, string(one.Key))] = i
	}
	var left []*kgo.Record
	for i, one := range r.dedup {
		if newest[fmt.Sprint(one.Partition, string(one.Key))] == i && one.Value != nil {
			left = append(left, one)
		}
	}
	r.dedup, r.c = left, newCounter(r.c.p)
	var all []int32
	for q := range int32(outagePartitions) {
		all = append(all, q)
	}
	if err := r.c.Assign(r.t.Context(), all); err != nil {
		r.t.Fatal(err)
	}
	for _, task := range r.c.tasks {
		if task.progress.Holding() {
			r.held++
		}
	}
}

// take processes a record.
func (r *outageRun) take(one *kgo.Record) {
	if err := r.c.Process(one); err != nil {
		r.t.Fatal(err)
	}
	if r.c.tasks[one.Partition].isLate(r.c.call.Time, r.c.p) {
		r.late = append(r.late, fmt.Sprintf("%d %07d", one.Partition, one.Offset))
	}
	r.ends[one.Partition] = one.Offset + 1
}

// commit ends a transaction.
func (r *outageRun) commit() {
	behind := map[int32]int64{}
	for q := range int32(outagePartitions) {
		behind[q] = 0
		r.ends[q] += 0
	}
	r.c.saw(kafka.Seen{Ends: maps.Clone(r.ends)})
	r.c.Lag(behind)
	if _, err := r.c.Output(r.now, func(one *kgo.Record) {
		if one.Topic == r.c.p.Topics.Dedup {
			r.dedup = append(r.dedup, one)
		}
	}); err != nil {
		r.t.Fatal(err)
	}
}

// read processes the log: live if written before down or after up, with a restart after
// each time in restart, and all at once in between.
func (r *outageRun) read(log outageLog, down, up time.Time, restart time.Duration) {
	r.now = log[0].Timestamp
	began := r.now
	for _, one := range log {
		if at := one.Timestamp; !at.Before(down) && at.Before(up) {
			r.now = up
		} else {
			for at.Sub(r.now) > 30*time.Second {
				r.now = r.now.Add(30 * time.Second)
				r.commit()
			}
			if at.After(r.now) {
				r.now = at
			}
		}
		if restart > 0 && r.now.Sub(began) > restart {
			began = r.now
			r.commit()
			r.restart()
		}
		r.take(one)
	}
	r.commit()
}

// between returns the files delivered from one time on, before another.
func between(files []outageFile, from, to time.Time) (list []outageFile) {
	for _, f := range files {
		if !f.delivered.Before(from) && f.delivered.Before(to) {
			list = append(list, f)
		}
	}
	return list
}

// inOrder, sideBySide and shuffled are the orders in which a backlog arrives: from one
// shipper; from one per account and Region, all at the same speed, so that small lanes
// finish hours before large ones; and from a queue without order.
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

// outage is one way in which shippers stop for three hours and resume.
type outage struct {
	what    string
	ordered bool
	log     outageLog
	calls   int // of these hours
	most    [2]float64
}

// outages makes all of them. most is the maximum share, in %, of late calls, with an
// allowed lateness of one hour and of four.
func outages(files []outageFile, begin time.Time) (list []outage) {
	stop, again, end := begin.Add(3*time.Hour), begin.Add(6*time.Hour), begin.Add(7*time.Hour)
	backlog := between(files, stop, again)
	for _, c := range []struct {
		what  string
		order func([]outageFile) []*kgo.Record
		most  float64
	}{
		{"one shipper, in order of delivery", inOrder, 0},
		{"one shipper for each account and Region, side by side", sideBySide, 30},
		{"a queue, in no order", shuffled, 40},
	} {
		for _, takes := range []time.Duration{10 * time.Minute, 40 * time.Minute} {
			var l outageLog
			l.ship(between(files, begin, stop), begin)
			records := c.order(backlog)
			l.write(records, again, takes)
			l.ship(between(files, again, end), again.Add(takes))
			most := c.most
			if takes < 15*time.Minute {
				most = 0
			}
			list = append(list, outage{fmt.Sprintf("%s, in %v", c.what, takes), len(list) < 2, l.numbered(), len(records), [2]float64{most, 0}})
		}
	}
	one := backlog[0].lane
	its := inOrder(slices.DeleteFunc(slices.Clone(backlog), func(f outageFile) bool { return f.lane != one }))
	var l outageLog
	l.ship(slices.DeleteFunc(between(files, begin, again), func(f outageFile) bool { return f.lane == one && !f.delivered.Before(stop) }), begin)
	l.write(its, again, 10*time.Minute)
	l.ship(between(files, again, end), again)
	return append(list, outage{"one shipper of 20, while the others went on", false, l.numbered(), len(its), [2]float64{60, 0}})
}

// Shippers stop for three hours and resume: the share of late calls of these hours.
// docs/operations.md has the printed figures. The same calls are late whenever stage
// count reads them, and however often it restarts.
func TestThreeHoursWithoutShippers(t *testing.T) {
	begin := time.Date(2026, 3, 2, 6, 0, 0, 0, time.UTC)
	stop, again, never := begin.Add(3*time.Hour), begin.Add(6*time.Hour), begin.Add(100*time.Hour)
	restarts := 0
	for _, o := range outages(outageTrail(t, begin), begin) {
		for i, lateness := range []time.Duration{time.Hour, 4 * time.Hour} {
			live := newOutageRun(t, lateness)
			live.read(o.log, never, never, 0)
			got := 100 * float64(len(live.late)) / float64(o.calls)
			t.Logf("%-68s allowed_lateness %v: %5.1f %% late", o.what, lateness, got)
			if got > o.most[i] || got == 0 && o.most[i] > 0 {
				t.Errorf("%s: %.1f %% are late, want at most %v %%", o.what, got, o.most[i])
			}
			if i > 0 || o.ordered || testing.Short() && got == 0 {
				continue
			}
			for _, c := range []struct {
				what     string
				down, up time.Time
				restart  time.Duration
			}{
				{"restarted every 4 min", never, never, 4 * time.Minute},
				{"down until 5 min after the shippers' return", stop, again.Add(5 * time.Minute), 0},
				{"down until an hour after the shippers' return, restarted", stop, again.Add(time.Hour), 10 * time.Minute},
				{"begun a week later", begin, never.Add(72 * time.Hour), 0},
			} {
				r := newOutageRun(t, lateness)
				r.read(o.log, c.down, c.up, c.restart)
				restarts += r.held
				if !slices.Equal(r.late, live.late) {
					t.Errorf("%s, stage count %s: %d calls are late, and %d where it runs", o.what, c.what, len(r.late), len(live.late))
				}
			}
			r := newOutageRun(t, lateness)
			mixed := slices.Clone(o.log) // partition after partition
			slices.SortStableFunc(mixed, func(a, b *kgo.Record) int { return cmp.Compare(a.Partition, b.Partition) })
			r.read(mixed, begin, never.Add(72*time.Hour), 0)
			if slices.Sort(live.late); !slices.Equal(r.late, live.late) {
				t.Errorf("%s, read partition after partition: %d calls are late, and %d where it runs", o.what, len(r.late), len(live.late))
			}
		}
	}
	if restarts < 8 {
		t.Errorf("%d restarts in a hold: this tests too little", restarts)
	}
}
