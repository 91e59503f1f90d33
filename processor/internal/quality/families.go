package main

import (
	"cmp"
	"fmt"
	"iter"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"keytrail/processor/anomaly"
	"keytrail/processor/generate"
	"keytrail/processor/internal/quality/family"
	"keytrail/processor/window"
)

// contact is the result of one trail of a family.
type contact struct {
	family      *family.Family
	seed        uint64
	accounts    float64   // of 50 KMS keys in use
	days        float64   // judged
	first       []finding // anomalies of the first day
	outcomes    []met
	wrong       []finding // no attack's
	chance      float64   // recall of labels shifted in time
	records     int
	packed      int // bytes per entity that the engine keeps at the end
	publication int // of anomalies about attacks
}

// met is the result of one attack.
type met struct {
	family.Label
	score float64 // the highest of an anomaly about it; 0: none
	took  time.Duration
}

// familySize is the size of the measured trails.
var familySize = family.Size{Keys: 450, Days: 35, Quiet: 14}

// measureFamilies runs a trail per family and seed, concurrently on all processors.
func measureFamilies(list []*family.Family, seeds []uint64, size family.Size, cfg window.Config,
	progress func(*contact, time.Duration)) ([]*contact, error) {
	results, errs := make([]*contact, len(list)*len(seeds)), make([]error, len(list)*len(seeds))
	var wg sync.WaitGroup
	var mu sync.Mutex
	room := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i := range results {
		wg.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			began := time.Now()
			results[i], errs[i] = meet(list[i/len(seeds)], seeds[i%len(seeds)], size, cfg)
			if errs[i] == nil {
				mu.Lock()
				defer mu.Unlock()
				progress(results[i], time.Since(began))
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return results, nil
}

// meet runs one trail of a family.
func meet(f *family.Family, seed uint64, size family.Size, cfg window.Config) (*contact, error) {
	t := f.New(seed, size, family.Attacks)
	c := &contact{family: f, seed: seed, accounts: t.Accounts(), days: t.End.Sub(t.Quiet).Hours() / 24}
	known := newIncidents(labelsOf(t.Labels, 0, t))
	for _, l := range t.Labels {
		c.outcomes = append(c.outcomes, met{Label: l})
	}
	all, e := map[string]*finding{}, newEngine(cfg, nil)
	e.found = func(a *anomaly.Anomaly, published int64, _ bool) {
		g := finding{Entity: a.Entity, start: a.Start, end: a.End, published: published, score: a.Score,
			kind: string(a.Kind), detector: a.Detector, reason: a.Reason}
		g.Key, g.Principal = strings.Clone(g.Key), strings.Clone(g.Principal)
		if a.Start >= t.Quiet.UnixNano() {
			known.match(&g, func(int) { c.publication++ })
		}
		if old := all[a.ID]; old != nil {
			g.start, g.published = min(old.start, g.start), min(old.published, g.published)
			g.score = max(old.score, g.score)
		} else if a.Start < t.Start.Add(24*time.Hour).UnixNano() {
			c.first = append(c.first, g)
		}
		all[strings.Clone(a.ID)] = &g
	}
	if err := e.trail(deliveries(t)); err != nil {
		return nil, fmt.Errorf("family %s, seed %d: %w", f.Name, seed, err)
	}
	c.records, c.packed = e.totals.records, e.detect.Packed()/max(1, e.detect.Len())
	c.judge(all, known, t)
	return c, nil
}

// judge compares the findings with the labels.
func (c *contact) judge(all map[string]*finding, known *incidents, t *family.Trail) {
	var list []*finding
	for _, f := range all {
		if f.start >= t.Quiet.UnixNano() {
			list = append(list, f)
		}
	}
	slices.SortFunc(list, func(a, b *finding) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.StateKey(), b.StateKey()),
			cmp.Compare(a.detector, b.detector))
	})
	for _, f := range list {
		hit := false
		known.match(f, func(i int) {
			o := &c.outcomes[i]
			took := time.Duration(f.published - o.Start.UnixNano())
			if hit = true; o.score == 0 || took < o.took {
				o.took = took
			}
			o.score = max(o.score, f.score)
		})
		if !hit {
			c.wrong = append(c.wrong, *f)
		}
	}
	const shifts = 5
	met, labels := 0, 0
	for k := 1; k <= shifts; k++ {
		moved := newIncidents(labelsOf(t.Labels, float64(k)/(shifts+1), t))
		found := map[int]bool{}
		for _, f := range list {
			moved.match(f, func(i int) { found[i] = true })
		}
		met, labels = met+len(found), labels+len(t.Labels)
	}
	c.chance = ratio(met, labels)
}

// labelsOf converts labels, shifted in time around the judged days by a share of them.
func labelsOf(list []family.Label, share float64, t *family.Trail) (labels []generate.Label) {
	span := t.End.Sub(t.Quiet)
	for _, l := range list {
		at := t.Quiet.Add((l.Start.Sub(t.Quiet) + time.Duration(share*float64(span))) % span)
		labels = append(labels, generate.Label{Scenario: l.Attack, Keys: l.Keys, Principals: l.Principals,
			Start: at, End: at.Add(l.End.Sub(l.Start)), Note: l.Note})
	}
	return labels
}

func deliveries(t *family.Trail) iter.Seq[generate.Event] {
	return func(yield func(generate.Event) bool) {
		for e := range t.Events() {
			if !yield(generate.Event{Time: e.Time, Delivered: e.Delivered, JSON: e.JSON}) {
				return
			}
		}
	}
}

// sums are the results of several trails at a threshold of the score.
type sums struct {
	planted, found    int
	wrong, high       int     // false anomalies; those of high severity
	alarms            int     // false anomalies, those of an account within an hour together
	accountDays       float64 // accounts times judged days
	chance            float64 // mean over the trails
	trails, published int
	took              []time.Duration
}

func (s *sums) recall() float64 { return ratio(s.found, s.planted) }

// rate returns n per day and 100 accounts.
func (s *sums) rate(n int) float64 { return 100 * float64(n) / math.Max(1, s.accountDays) }

// together sums the results of trails; fits selects the attacks, nil all.
func together(list []*contact, threshold float64, fits func(*met) bool) (s sums) {
	for _, c := range list {
		s.trails++
		s.accountDays += c.accounts * c.days
		s.chance += c.chance / float64(len(list))
		s.published += c.publication
		for i := range c.outcomes {
			if o := &c.outcomes[i]; fits == nil || fits(o) {
				s.planted++
				if o.score > 0 && o.score >= threshold {
					s.found++
					s.took = append(s.took, o.took)
				}
			}
		}
		last := map[string]int64{}
		for i := range c.wrong {
			f := &c.wrong[i]
			if f.score < threshold {
				continue
			}
			s.wrong++
			if f.score >= 8 {
				s.high++
			}
			in := cmp.Or(account(f.Principal), account(f.Key))
			if at, again := last[in]; !again || f.start-at > int64(time.Hour) {
				s.alarms++
			}
			last[in] = f.start
		}
	}
	slices.Sort(s.took)
	return s
}
