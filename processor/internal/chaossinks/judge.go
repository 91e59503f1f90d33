package main

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strconv"
	"strings"
	"time"

	"keytrail/processor/internal/chaostest"
)

// expected is what each receiver must hold.
type expected struct {
	windows   map[string]chaostest.Counts // the oracle's count of the files
	anomalies map[string]bool             // the ids of a scan of the files
	published map[string]published        // the committed records of Kafka, by id
}

// published is the last revision of a record in Kafka.
type published struct {
	revision int64
	sums     []uint64 // of its texts: a call may have several copies
	window   string   // the name of a window
}

// verdict is the result of the judge.
type verdict struct{ lost, doubled, stale, kills int }

func (v verdict) clean() bool { return v.lost == 0 && v.doubled == 0 && v.stale == 0 }

func (v verdict) line() string {
	return fmt.Sprintf("lost %d, doubled %d, stale %d, kills %d", v.lost, v.doubled, v.stale, v.kills)
}

// account is what a receiver holds, compared with what it must hold.
type account struct {
	newest map[string]newest
	kinds  map[string]int // how many different records, by the first word of their ids
	copies int            // that the receiver's ids tell

	lost, doubled, stale map[string]bool // what they are
}

// newest is the highest revision that a receiver holds of a record.
type newest struct {
	revision int64
	sum      uint64
	window   string
	counts   chaostest.Counts
}

var seed = maphash.MakeSeed()

func sum(text []byte) uint64 { return maphash.Bytes(seed, text) }

// take reads a receiver and compares.
func (w *expected) take(ctx context.Context, r receiver) (*account, error) {
	a := &account{newest: map[string]newest{}, kinds: map[string]int{}, lost: map[string]bool{},
		doubled: map[string]bool{}, stale: map[string]bool{}}
	err := r.read(ctx, func(f found) error { return a.add(f, r.upsert) })
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", r.name, err)
	}
	a.compare(w)
	return a, nil
}

// add adds one record of the receiver.
func (a *account) add(f found, upsert bool) error {
	own, err := decodeFlat(f.text)
	if err != nil {
		return fmt.Errorf("a record that is not JSON: %w: %.200q", err, f.text)
	}
	revision := int64(0)
	if f.revision != "" {
		if revision, err = strconv.ParseInt(f.revision, 10, 64); err != nil {
			return err
		}
	}
	if f.id != own.id() || revision != own.revision() {
		return fmt.Errorf("the receiver has the id %q with revision %q beside the record %.300s", f.id, f.revision, f.text)
	}
	if f.id == "" { // nothing tells its copies
		a.doubled[fmt.Sprintf("a record without an id: %.300s", f.text)] = true
		return nil
	}
	n := newest{revision: revision, sum: sum(f.text)}
	n.window, n.counts = own.window()
	old, again := a.newest[f.id]
	switch {
	case again && upsert:
		a.doubled[f.id] = true
	case again && old.revision == revision:
		a.copies++
	}
	if !again || revision > old.revision {
		a.newest[f.id] = n
	}
	return nil
}

// compare compares everything with what was published, and windows and anomalies with the
// independent counts.
func (a *account) compare(w *expected) {
	windows := map[string]chaostest.Counts{}
	for id, n := range a.newest {
		kind, _, _ := strings.Cut(id, " ")
		a.kinds[kind]++
		if _, ok := w.published[id]; !ok {
			a.doubled["never published: "+id] = true
		}
		if n.window == "" {
			continue
		}
		if _, ok := windows[n.window]; ok {
			a.doubled["under two ids: "+n.window] = true
		}
		windows[n.window] = n.counts
		if _, ok := w.windows[n.window]; !ok && !n.counts.Empty() {
			a.doubled["not in the count of the files: "+n.window] = true
		}
	}
	for id, p := range w.published {
		n, ok := a.newest[id]
		name := id
		if p.window != "" {
			name = p.window
		}
		switch {
		case !ok:
			a.lost[name] = true
		case n.revision < p.revision || n.revision == p.revision && !slices.Contains(p.sums, n.sum):
			a.stale[name] = true
		}
	}
	for name, want := range w.windows {
		if got, ok := windows[name]; !ok {
			a.lost[name] = true
		} else if got != want {
			a.stale[name] = true
		}
	}
	for id := range w.anomalies {
		if _, ok := a.newest[id]; !ok {
			a.lost[id] = true
		}
	}
}

// size is how much the receiver holds: it no longer changes when all is delivered.
func (a *account) size() int { return len(a.newest) + a.copies + len(a.stale) }

// quiet is how long the receivers must stay unchanged for the work to count as done. A
// paused sink asks its receiver again within a minute.
const quiet = 100 * time.Second

// judge waits until every receiver holds everything, or until nothing changes any more.
func (s *system) judge(ctx context.Context, w *expected) (v verdict, err error) {
	var accounts []*account
	for last, since := -1, time.Now(); ; {
		if err := s.published(ctx, w); err != nil {
			return v, err
		}
		size := len(w.published)
		v, accounts = verdict{kills: int(s.kills.Load())}, nil
		for _, r := range s.receivers {
			a, err := w.take(ctx, r)
			if err != nil {
				return v, err
			}
			accounts = append(accounts, a)
			v.lost, v.doubled, v.stale = v.lost+len(a.lost), v.doubled+len(a.doubled), v.stale+len(a.stale)
			size += a.size()
		}
		if v.clean() {
			break
		}
		if size != last {
			last, since = size, time.Now()
		} else if time.Since(since) > quiet {
			break
		}
		chaostest.Pause(ctx, 5*time.Second)
		if ctx.Err() != nil {
			return v, ctx.Err()
		}
	}
	for i, a := range accounts {
		a.show(s.receivers[i].name)
	}
	if refused, err := s.letters(ctx); err != nil || refused > 0 {
		return v, errors.Join(err, fmt.Errorf("the receivers refused %d records, which are dead letters", refused))
	}
	return v, nil
}

// show prints what a receiver holds, and some of the differences.
func (a *account) show(name string) {
	chaostest.Say("%s: %d events, %d windows, %d anomalies, %d copies told by their ids; lost %d, doubled %d, stale %d",
		name, a.kinds["event_id"], a.kinds["window_id"], a.kinds["anomaly_id"], a.copies, len(a.lost), len(a.doubled),
		len(a.stale))
	for what, list := range map[string]map[string]bool{"lost": a.lost, "doubled": a.doubled, "stale": a.stale} {
		left := 10
		for one := range list {
			if left--; left < 0 {
				break
			}
			chaostest.Say("%s: %s: %s", name, what, one)
		}
	}
}
