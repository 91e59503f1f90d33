package main

import (
	"cmp"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"keytrail/processor/anomaly"
	"keytrail/processor/window"
	"keytrail/schemas/wire"
)

// profile is NAB's weights of a detector's results. Source: Lavin and Ahmad 2015,
// "Evaluating Real-time Anomaly Detection Algorithms: the Numenta Anomaly Benchmark",
// table of application profiles; true negatives have no weight.
type profile struct {
	name                    string
	found, missed, mistaken float64
}

var profiles = []profile{
	{"standard", 1, 1, 0.11},
	{"reward low false positives", 1, 1, 0.22},
	{"reward low false negatives", 1, 2, 0.11},
}

// series is one file of NAB, with a detector's scores.
type series struct {
	name    string
	at      []time.Time
	values  []float64
	scores  []float64 // of each value; 0: nothing
	windows []label   // the labelled anomalies
}

// label is a labelled anomaly, by the indexes of its first and last value.
type label struct{ first, last int }

// probation is the number of initial values that are not scored, for a detector to learn:
// 15 %, at most 750.
func (s *series) probation() int { return min(len(s.values)*15/100, 750) }

// sigmoid weighs a detection by its place: 1 at the beginning of a window of length 1, 0
// at its end (place 0), -1 far after it.
func sigmoid(place float64) float64 {
	if place > 3 {
		return -1
	}
	return 2/(1+math.Exp(5*place)) - 1
}

// place returns the window of value i, or -1 and the cost of a detection there as a share
// of an error: it grows with the distance after a window.
func (s *series) place(i int) (w int, cost float64) {
	w, _ = slices.BinarySearchFunc(s.windows, i, func(w label, i int) int { return cmp.Compare(w.last, i) })
	switch {
	case w < len(s.windows) && i >= s.windows[w].first:
		return w, 0
	case w == 0:
		return -1, -1
	}
	before := s.windows[w-1]
	return -1, sigmoid(float64(i-before.last) / math.Max(1, float64(before.last-before.first)))
}

// worth returns the value of a window's earliest detection, at value i: 1 for its first
// value.
func (w label) worth(i int) float64 {
	return sigmoid(-float64(w.last-i+1)/float64(w.last-w.first+1)) / sigmoid(-1)
}

// raw returns the file's score under a profile, before normalization: each window counts
// once, by its earliest detection, or as missed; every other detection costs.
func (s *series) raw(threshold float64, p profile) float64 {
	sum := 0.0
	found := make([]bool, len(s.windows))
	for i := s.probation(); i < len(s.scores); i++ {
		if s.scores[i] < threshold || s.scores[i] <= 0 {
			continue
		}
		w, cost := s.place(i)
		if w < 0 {
			sum += p.mistaken * cost
		} else if !found[w] {
			found[w] = true
			sum += p.found * s.windows[w].worth(i)
		}
	}
	for _, ok := range found {
		if !ok {
			sum -= p.missed
		}
	}
	return sum
}

// normalized returns the score of several files: 0 for a silent detector, 100 for a
// perfect one.
func normalized(list []*series, threshold float64, p profile) float64 {
	sum, windows := 0.0, 0
	for _, s := range list {
		sum += s.raw(threshold, p)
		windows += len(s.windows)
	}
	n := float64(windows)
	return 100 * (sum + p.missed*n) / ((p.found + p.missed) * n)
}

// optimal returns the best score under a profile and its threshold. NAB also chooses it
// on the scored files. It lowers the threshold from score to score and adds the change of
// each detection.
func optimal(list []*series, p profile) (score, threshold float64) {
	type detection struct {
		score float64
		s     *series
		i     int
	}
	var all []detection
	first, windows := map[*series][]int{}, 0 // the earliest detection of each window; -1: none
	for _, s := range list {
		windows += len(s.windows)
		first[s] = slices.Repeat([]int{-1}, len(s.windows))
		for i := s.probation(); i < len(s.scores); i++ {
			if s.scores[i] > 0 {
				all = append(all, detection{s.scores[i], s, i})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b detection) int { return cmp.Compare(b.score, a.score) })
	n := float64(windows)
	sum := 0.0 // relative to a silent detector
	score, threshold = 0, math.Inf(1)
	for k, d := range all {
		w, cost := d.s.place(d.i)
		if w < 0 {
			sum += p.mistaken * cost
		} else {
			switch f := &first[d.s][w]; {
			case *f < 0:
				sum += p.missed + p.found*d.s.windows[w].worth(d.i)
				*f = d.i
			case d.i < *f:
				sum += p.found * (d.s.windows[w].worth(d.i) - d.s.windows[w].worth(*f))
				*f = d.i
			}
		}
		last := k == len(all)-1 || all[k+1].score < d.score
		if got := 100 * sum / ((p.found + p.missed) * n); last && got > score {
			score, threshold = got, d.score
		}
	}
	return score, threshold
}

// leaveOut returns the score with a threshold for each file that is optimal for the other
// files.
func leaveOut(list []*series, p profile) float64 {
	sum, windows := 0.0, 0.0
	for i, s := range list {
		others := slices.Delete(slices.Clone(list), i, i+1)
		_, threshold := optimal(others, p)
		sum += s.raw(threshold, p)
		windows += float64(len(s.windows))
	}
	return 100 * (sum + p.missed*windows) / ((p.found + p.missed) * windows)
}

// nabResult is the result of NAB.
type nabResult struct {
	err                    error
	files, values, windows int
	rows                   []nabRow
}

// nabRow is one method's result by profile: its best score with that threshold, its score
// with thresholds from the other files, and with its usual threshold, if any.
type nabRow struct {
	name                      string
	scores, thresholds, usual []float64
	apart                     []float64 // with thresholds from the other files: see leaveOut
}

// runNAB scores the rate detector and the yardsticks on the files of realAWSCloudWatch.
func runNAB(data string) nabResult {
	list, err := readNAB(filepath.Join(data, "nab-realAWSCloudWatch"))
	if err != nil {
		return nabResult{err: err}
	}
	n := nabResult{files: len(list)}
	for _, s := range list {
		n.values += len(s.values)
		n.windows += len(s.windows)
	}
	row := func(name string, usual float64, score func(*series)) {
		r := nabRow{name: name}
		for _, s := range list {
			clear(s.scores)
			score(s)
		}
		for _, p := range profiles {
			best, threshold := optimal(list, p)
			r.scores, r.thresholds = append(r.scores, best), append(r.thresholds, threshold)
			r.apart = append(r.apart, leaveOut(list, p))
			if !math.IsNaN(usual) {
				r.usual = append(r.usual, normalized(list, usual, p))
			}
		}
		n.rows = append(n.rows, r)
	}
	row("Keytrail, rate", -math.Log10(window.DefaultConfig().Threshold), (*series).rate)
	for _, y := range yardsticks() {
		usual := y.threshold
		if y.fitted {
			usual = math.NaN() // fitted to other counts
		}
		row(y.name, usual, func(s *series) { s.measure(y) })
	}
	return n
}

// measure computes the scores of a yardstick, on the same counts as rate.
func (s *series) measure(y yardstick) {
	h, scale := &history{sorted: make([]int32, 0, histories)}, s.scale()
	for i, at := range s.at {
		start, calls := at.UnixNano()-at.UnixNano()%fiveMinutes, int64(math.Round(s.values[i]*scale))
		h.skip(start, fiveMinutes)
		if start-h.since >= warmUp {
			s.scores[i] = max(0, y.score(h, start, float64(calls)))
		}
		h.learn(start, fiveMinutes, calls)
	}
}

const fiveMinutes = int64(5 * time.Minute)

// scale turns values into counts: the median of the probation becomes 100.
func (s *series) scale() float64 {
	early := slices.Sorted(slices.Values(s.values[:max(1, s.probation())]))
	if median := early[len(early)/2]; median > 0 {
		return 100 / median
	}
	return 1
}

// rate computes the scores of Keytrail's rate detector: each scaled value is the number
// of calls on a KMS key in a window of five minutes.
func (s *series) rate() {
	cfg := window.DefaultConfig()
	cfg.Threshold, cfg.MinCount = 0.01, 1
	e := window.NewEngine(cfg, nil)
	scale := s.scale()
	index := map[int64]int{} // of the values, by the start of their window
	key := wire.Entity{Scope: wire.ScopeKey, Key: "arn:aws:kms:us-east-1:111122223333:key/" + s.name}
	for i, at := range s.at {
		start := at.UnixNano() - at.UnixNano()%cfg.Size
		index[start] = i
		if calls := int64(math.Round(s.values[i] * scale)); calls > 0 {
			e.Merge(&wire.Partial{Entity: key, Start: start, Counters: []wire.Counter{{ID: wire.CounterCalls, N: calls}}})
		}
		e.Advance(cfg.MarkAt(start+cfg.Size), math.MaxInt, func(r window.Result) {
			for _, a := range r.Anomalies {
				if i, ok := index[a.Start]; ok && a.Kind == anomaly.KindRate {
					s.scores[i] = max(s.scores[i], a.Score)
				}
			}
		})
		e.Changes(func(string, []byte) {}, func(string) {})
	}
}

const nabTime = "2006-01-02 15:04:05"

// readNAB reads all files of a folder and their labels.
func readNAB(dir string) ([]*series, error) {
	text, err := os.ReadFile(filepath.Join(dir, "anomaly_windows.json"))
	if err != nil {
		return nil, err
	}
	var labels map[string][][2]string
	if err := json.Unmarshal(text, &labels); err != nil {
		return nil, fmt.Errorf("cannot read anomaly_windows.json: %w", err)
	}
	var list []*series
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		s, err := readSeries(filepath.Join(dir, name), labels[name])
		if err != nil {
			return nil, fmt.Errorf("cannot read %s: %w", name, err)
		}
		list = append(list, s)
	}
	return list, nil
}

func readSeries(path string, labels [][2]string) (*series, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s := &series{name: filepath.Base(path)}
	rows := csv.NewReader(f)
	for line := 0; ; line++ {
		row, err := rows.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if line == 0 {
			continue // the heading
		}
		at, err := time.Parse(nabTime, row[0])
		if err != nil {
			return nil, err
		}
		value, err := strconv.ParseFloat(row[1], 64)
		if err != nil {
			return nil, err
		}
		s.at, s.values = append(s.at, at), append(s.values, value)
	}
	s.scores = make([]float64, len(s.values))
	for _, l := range labels {
		from, err := time.Parse(nabTime, l[0][:len(nabTime)])
		if err != nil {
			return nil, err
		}
		to, err := time.Parse(nabTime, l[1][:len(nabTime)])
		if err != nil {
			return nil, err
		}
		w := label{first: -1}
		for i, at := range s.at {
			if !at.Before(from) && !at.After(to) {
				if w.first < 0 {
					w.first = i
				}
				w.last = i
			}
		}
		if w.first < 0 {
			return nil, fmt.Errorf("no value lies in the window of %s", l[0])
		}
		s.windows = append(s.windows, w)
	}
	return s, nil
}
