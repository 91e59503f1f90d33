package main

import (
	"cmp"
	"math"
	"slices"
	"time"

	"keytrail/processor/generate"
)

// tally is one method's result on one or several trails.
type tally struct {
	name      string
	threshold float64 // findings of at least this score are anomalies
	floor     float64 // findings below this score are not kept
	scores    []scored
	incidents []outcome // one per incident, trail by trail
	days      float64   // days judged
	// entityDays counts the KMS keys, principals and pairs with calls, for each day.
	entityDays int
	benign     map[string]int // false anomalies by harmless scenario
}

// scored is one finding: whether it is about an incident.
type scored struct {
	score float64
	hit   bool
}

// outcome is a method's result for one incident.
type outcome struct {
	scenario string
	note     string
	label    *generate.Label
	volume   bool // the incident shows in numbers of calls
	// best is the highest score of an expected kind; 0: none.
	best float64
	// seen is the highest score of any kind.
	seen float64
	// took is the time from its first event to the first such anomaly; negative: none.
	took time.Duration
	// other are the unexpected kinds that were found.
	other []string
}

// join adds the tally of another trail.
func (t *tally) join(o *tally) {
	t.scores = append(t.scores, o.scores...)
	t.incidents = append(t.incidents, o.incidents...)
	t.days += o.days
	t.entityDays += o.entityDays
	for name, n := range o.benign {
		t.benign[name] += n
	}
}

// trial judges the findings of one method on one trail, one by one.
type trial struct {
	tally
	known *incidents
	index []int // of a label in tally.incidents; -1 for harmless ones
	from  int64 // windows that begin earlier are not judged
}

func newTrial(name string, threshold, floor float64, known *incidents, from int64) *trial {
	t := &trial{tally: tally{name: name, threshold: threshold, floor: floor, benign: map[string]int{}},
		known: known, from: from}
	for i, in := range known.list {
		if in.Benign {
			t.index = append(t.index, -1)
			continue
		}
		t.index = append(t.index, len(t.incidents))
		t.incidents = append(t.incidents, outcome{scenario: in.row(), note: in.Note, label: &known.list[i].Label, took: -1,
			volume: in.expects(string(generate.KindRate))})
	}
	return t
}

// add judges one finding: whether it is about no incident, and which harmless scenario it
// is about, if any. Add each finding once.
func (t *trial) add(f *finding) (wrong bool, benign string) {
	if f.start < t.from || f.score < t.floor {
		return false, ""
	}
	hit := false
	t.known.match(f, func(i int) {
		in := &t.known.list[i]
		if in.Benign {
			benign = in.Scenario
			return
		}
		hit = true
		o := &t.incidents[t.index[i]]
		o.seen = max(o.seen, f.score)
		if !in.expects(f.kind) {
			if !slices.Contains(o.other, f.kind) {
				o.other = append(o.other, f.kind)
			}
			return
		}
		o.best = max(o.best, f.score)
		took := time.Duration(f.published - in.start)
		if f.score >= t.threshold && (o.took < 0 || took < o.took) {
			o.took = max(took, 0)
		}
	})
	t.scores = append(t.scores, scored{f.score, hit})
	if !hit && benign != "" && f.score >= t.threshold {
		t.benign[benign]++
	}
	return !hit, benign
}

// figures are the results at one threshold.
type figures struct {
	threshold      float64
	found, planted int
	anomalies      int
	wrong          int // anomalies about no incident
}

func (f figures) recall() float64 { return ratio(f.found, f.planted) }

// precision is the share of anomalies about an incident; 1 without any anomaly.
func (f figures) precision() float64 {
	if f.anomalies == 0 {
		return 1
	}
	return 1 - ratio(f.wrong, f.anomalies)
}

func ratio(a, b int) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

// at returns the figures at a threshold. fits selects the incidents; nil: all.
func (t *tally) at(threshold float64, fits func(*outcome) bool) figures {
	f := figures{threshold: threshold}
	for i := range t.incidents {
		if o := &t.incidents[i]; fits == nil || fits(o) {
			f.planted++
			if o.best > 0 && o.best >= threshold {
				f.found++
			}
		}
	}
	for _, s := range t.scores {
		if s.score >= threshold {
			f.anomalies++
			if !s.hit {
				f.wrong++
			}
		}
	}
	return f
}

// curve returns the figures of every threshold that makes a difference, highest first.
// fits selects the incidents; nil: all.
func (t *tally) curve(fits func(*outcome) bool) []figures {
	all := slices.Clone(t.scores)
	slices.SortFunc(all, func(a, b scored) int { return cmp.Compare(b.score, a.score) })
	var best []float64
	for i := range t.incidents {
		if o := &t.incidents[i]; fits == nil || fits(o) {
			best = append(best, o.best)
		}
	}
	slices.SortFunc(best, func(a, b float64) int { return cmp.Compare(b, a) })
	var list []figures
	f := figures{planted: len(best)}
	for i := 0; i < len(all); {
		f.threshold = all[i].score
		for ; i < len(all) && all[i].score == f.threshold; i++ {
			f.anomalies++
			if !all[i].hit {
				f.wrong++
			}
		}
		for f.found < len(best) && best[f.found] > 0 && best[f.found] >= f.threshold {
			f.found++
		}
		list = append(list, f)
	}
	return list
}

// area returns the area under the precision-recall curve as average precision: the
// precision at every threshold times the recall that the threshold adds, without
// interpolation (Davis and Goadrich 2006 explain why not linear). Recall that no
// threshold reaches adds nothing.
func area(curve []figures) float64 {
	sum, before := 0.0, 0.0
	for _, f := range curve {
		sum += (f.recall() - before) * f.precision()
		before = f.recall()
	}
	return sum
}

// atRecall returns the figures of the highest threshold whose recall is at least r.
func atRecall(curve []figures, r float64) (figures, bool) {
	for _, f := range curve {
		if f.recall() >= r {
			return f, true
		}
	}
	return figures{}, false
}

// perThousand returns false anomalies per 1,000 entity-days.
func (t *tally) perThousand(f figures) float64 {
	return 1000 * float64(f.wrong) / math.Max(1, float64(t.entityDays))
}

// perDay returns false anomalies per day.
func (t *tally) perDay(f figures) float64 { return float64(f.wrong) / math.Max(1, t.days) }
