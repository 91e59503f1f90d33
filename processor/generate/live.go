package generate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// LiveConfig selects a trail that goes on as time passes.
type LiveConfig struct {
	// Seed, Keys and Principals are those of Config.
	Seed       uint64
	Keys       int
	Principals int
	// History is the part of the trail before the first attack, 1 h to 100 days. It is also
	// how long files are kept.
	History time.Duration
	// Every is the time between two attacks, whole minutes from 1 min to 1 day.
	Every time.Duration
}

// LiveDuration is how long a live trail goes on, its history included.
const LiveDuration = 400 * 24 * time.Hour

// The files of a Live beside the trail: how far it has come, and the labels of the attacks
// that it has planted. Their dots keep readers of the trail from taking them for part of it.
const (
	LiveFile       = ".live.json"
	LiveLabelsFile = ".labels.ndjson"
)

// liveLag is how late the files of a live trail are: promptly, so that one can watch.
var liveLag = lag{10 * time.Second, 40 * time.Second}

// liveReach is longer than the time from an event to its last delivery: the lag, its
// rounding, and two files for a second delivery.
const liveReach = time.Hour

// liveHaste is how much faster than elsewhere the attacks of a live trail are, so that their
// first minutes show them.
const liveHaste = 8

// liveEffect is the longest time from an attack's begin to its last call.
const liveEffect = 30 * time.Minute / liveHaste

// Live writes a trail's files at the times at which they are due. It resumes: the files
// depend only on the configuration and on the time of the first start, so a process that
// was killed continues without a gap, and writes no file twice. It is not safe for
// concurrent use, and a folder has at most one of them.
type Live struct {
	dir     string
	state   liveState
	g       *Generator
	files   *fileWriter
	attacks map[uuid]Label // those whose first call is to come, by its id
}

// liveState is what LiveFile holds. A delivery writes its files, then the labels, then the
// state; after a crash in between it is done again.
type liveState struct {
	LiveConfig
	Start     time.Time // of the trail
	Delivered time.Time // all files until then are written
	Labels    int64     // the length of LiveLabelsFile in bytes
}

// OpenLive continues the live trail in dir, or begins one whose history ends at now. The
// error says which setting is not allowed, that the folder holds another trail, or which
// file cannot be used.
func OpenLive(dir string, c LiveConfig, now time.Time) (*Live, error) {
	if c.History < time.Hour || c.History > 100*24*time.Hour {
		return nil, fmt.Errorf("cannot generate a live trail: History is %v, allowed are 1h to 2400h", c.History)
	}
	if c.Every < time.Minute || c.Every > 24*time.Hour || c.Every%time.Minute != 0 {
		return nil, fmt.Errorf("cannot generate a live trail: Every is %v, allowed are whole minutes from 1m to 24h", c.Every)
	}
	l := &Live{dir: dir, attacks: map[uuid]Label{}, state: liveState{LiveConfig: c}}
	text, err := os.ReadFile(filepath.Join(dir, LiveFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		l.state.Start = now.UTC().Add(-c.History).Truncate(time.Minute)
		if err = prepare(dir); err == nil {
			err = l.save()
		}
	case err == nil:
		if err = json.Unmarshal(text, &l.state); err != nil {
			err = fmt.Errorf("cannot read %s in %q: %w; name an empty folder", LiveFile, dir, err)
		} else if l.state.LiveConfig != c {
			err = fmt.Errorf("%q holds a live trail of another configuration, %+v, want %+v; name an empty folder", dir,
				l.state.LiveConfig, c)
		} else {
			err = l.cutLabels()
		}
	}
	if err != nil {
		return nil, err
	}
	l.g, err = New(Config{Seed: c.Seed, Keys: c.Keys, Principals: c.Principals, Start: l.state.Start,
		Duration: LiveDuration, FileEvery: time.Minute, Scenarios: []string{}})
	if err != nil {
		return nil, err
	}
	l.g.lag, l.g.coarse = liveLag, l.state.Start.Add(c.History)
	l.files, err = newFileWriter(l.g, dir)
	return l, err
}

// Delivered returns the time of the last delivery; before the first it is zero.
func (l *Live) Delivered() time.Time { return l.state.Delivered }

// Run delivers the files that are due, and then each at its time. Before a delivery it
// calls wait with the time at which it is due, and after it planted with each attack whose
// first call it contains. Run returns when wait fails, with its error, when a file cannot
// be written, or after LiveDuration. It holds the records of one hour.
func (l *Live) Run(wait func(due time.Time) error, planted func(Label)) error {
	hours := l.state.Delivered.Add(-liveReach).Sub(l.state.Start) / time.Hour
	from := l.state.Start.Add(max(0, hours) * time.Hour)
	var calls []call
	for ; from.Before(l.g.end()); from = from.Add(time.Hour) {
		l.plan(from)
		l.g.recordHour(&calls, from, func(e Event) bool {
			label, first := l.attacks[e.call]
			delete(l.attacks, e.call)
			if !e.Delivered.After(l.state.Delivered) {
				return true
			}
			f := l.files.add(e)
			if first {
				f.labels = append(f.labels, label)
			}
			return true
		})
		if err := l.deliver(from.Add(time.Hour), wait, planted); err != nil {
			return err
		}
	}
	return fmt.Errorf("the live trail in %q has ended after %v; name an empty folder", l.dir, LiveDuration)
}

// plan plants the attacks that have calls in the hour after from.
func (l *Live) plan(from time.Time) {
	clear(l.attacks)
	l.g.planted = nil
	begin := l.state.Start.Add(l.state.History)
	every := l.state.Every
	first := max(0, from.Add(-liveEffect-every).Sub(begin)/every)
	for k := first; begin.Add(k * every).Before(from.Add(time.Hour)); k++ {
		p := l.attack(int64(k), begin.Add(k*every).Unix())
		calls, _ := p.result()
		l.g.planted = append(l.g.planted, calls...)
		for _, i := range p.incidents {
			if len(i.calls) > 0 && !i.Start.Before(from) {
				l.attacks[i.calls[0].id] = i.Label
			}
		}
	}
	slices.SortStableFunc(l.g.planted, func(a, b *call) int { return int(a.at - b.at) })
}

// attack plans the k-th attack, which begins in the first half of its time from at on. It
// depends on no other attack. Each round of attacks has every live scenario once.
func (l *Live) attack(k, at int64) *planner {
	list := slices.DeleteFunc(scenarios(), func(s scenario) bool { return !s.live })
	const rounds = 1 << 40 // above every attack's number
	n := int64(len(list))
	order := newRandom(l.state.Seed, streamLive+rounds+uint64(k/n)).Perm(len(list))
	r := newRandom(l.state.Seed, streamLive+uint64(k))
	p := newPlanner(l.g, r)
	p.n = int(k)
	for _, who := range p.w.principals { // so that it is not always the same
		p.spent[who] = r.chance(0.5)
	}
	for _, key := range p.w.keys {
		p.taken[key] = r.chance(0.5)
	}
	at += r.Int64N(int64(l.state.Every/time.Second) / 2)
	for i := range n {
		s := list[order[(k+i)%n]]
		p.scenario, p.incidents = s.name, nil
		s.plant(p, at)
		if len(p.incidents) > 0 && len(p.incidents[0].calls) > 0 {
			break // else this world has nobody for it
		}
	}
	for _, i := range p.incidents {
		for _, c := range i.calls {
			c.at = at + (c.at-at)/liveHaste
		}
	}
	return p
}

// deliver writes the waiting files that are due until a time, each delivery at its time.
func (l *Live) deliver(until time.Time, wait func(time.Time) error, planted func(Label)) error {
	for {
		stamp, found := l.files.earliest()
		due := time.Unix(stamp, 0).UTC()
		if !found || due.After(until) {
			return nil
		}
		if err := wait(due); err != nil {
			return err
		}
		if due.YearDay() != l.state.Delivered.YearDay() {
			if err := l.expire(due.Add(-l.state.History)); err != nil {
				return err
			}
		}
		var labels []Label
		for _, f := range l.files.take(stamp + 1) {
			if err := l.files.write(f); err != nil {
				return err
			}
			labels = append(labels, f.labels...)
		}
		if err := l.label(labels); err != nil {
			return err
		}
		l.state.Delivered = due
		if err := l.save(); err != nil {
			return err
		}
		for _, label := range labels {
			planted(label)
		}
	}
}

// save writes the state.
func (l *Live) save() error {
	text, err := json.Marshal(l.state)
	if err == nil {
		err = replaceFile(filepath.Join(l.dir, LiveFile), append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("cannot save how far the live trail is: %w", err)
	}
	return nil
}

// label appends labels to their file.
func (l *Live) label(labels []Label) error {
	if len(labels) == 0 {
		return nil
	}
	text, err := encodeLabels(labels)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(l.dir, LiveLabelsFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err == nil {
		_, err = f.Write(text)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return fmt.Errorf("cannot write labels: %w", err)
	}
	l.state.Labels += int64(len(text))
	return nil
}

// cutLabels removes labels whose delivery will be done again.
func (l *Live) cutLabels() error {
	path := filepath.Join(l.dir, LiveLabelsFile)
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		l.state.Labels = 0
		return nil
	case err != nil:
		return fmt.Errorf("cannot read labels: %w", err)
	case info.Size() > l.state.Labels:
		err = os.Truncate(path, l.state.Labels)
	}
	l.state.Labels = min(l.state.Labels, info.Size())
	return err
}

// expire removes the folders of days that ended before a time, and the labels of attacks
// that did.
func (l *Live) expire(before time.Time) error {
	days, err := filepath.Glob(filepath.Join(l.dir, "AWSLogs", "*", "CloudTrail", "*", "*", "*", "*"))
	if err != nil {
		return fmt.Errorf("cannot list the trail in %q: %w", l.dir, err)
	}
	clear(l.files.folders)
	for _, path := range days {
		day, err := time.Parse("2006/01/02", filepath.ToSlash(path[len(path)-len("2006/01/02"):]))
		if err != nil || !day.AddDate(0, 0, 1).Before(before) {
			continue // not a folder of ours, or not old enough
		}
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("cannot remove an old day of the trail: %w", err)
		}
	}
	path := filepath.Join(l.dir, LiveLabelsFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read labels: %w", err)
	}
	var kept []byte
	for line := range bytes.Lines(text) {
		var label Label
		if json.Unmarshal(line, &label) == nil && label.End.Before(before) {
			continue
		}
		kept = append(kept, line...)
	}
	if err := replaceFile(path, kept); err != nil {
		return fmt.Errorf("cannot remove old labels: %w", err)
	}
	l.state.Labels = int64(len(kept))
	return l.save() // labels that follow must not be taken for those that were removed
}
