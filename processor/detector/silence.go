package detector

import (
	"fmt"
	"math"

	"keytrail/processor/anomaly"
	"keytrail/processor/entity"
	"keytrail/processor/eventtime"
)

// Silence asks: does a KMS key in steady use have no more calls? The engine asks it at
// the time of SilenceDue, because a silence has no window that closes.
//
// Method: silences are measured in the calls that the baseline expects in them rather than in
// hours, because an hour at night weighs less than one at noon (time rescaling: Brown and
// others 2002, "The time-rescaling theorem and its application to neural spike train data
// analysis"). SilenceFactor times as many calls must be missing as in any silence of the last
// weeks, and at least SilenceCalls. The silence must last for at least four windows, and by the
// lower tails of the negative binomials, one per window, it must be less likely than Threshold.
// The time when that will hold is known as soon as the last call is counted, so each key waits
// for one moment, and none is looked at in between.
//
// When everything is silent, the cause is not a key: trails are cut off, or a collector
// has stopped. The engine reports that once, with the first missed key, and silences
// start over when calls return.
//
// State: the baseline, the most calls missed in a silence, the moment. Warm-up: a week.
// Known false positives: services that are turned off.
var Silence = Detector{"silence", 12, anomaly.KindSilence, []string{"T1562.008", "T1489"}, 0, nil}

// shortest is the minimum length of a silence in windows.
const shortest = 4

// Missing is what a silence lacks.
type Missing struct {
	Since int64   // when it began, in ns
	Calls float64 // expected in it
	LogP  float64 // the natural logarithm of its probability
}

// SilenceDue returns when the silence of a KMS key will be an anomaly. The silence begins with
// the key's last call, or with resumed, the start of the first window with calls after
// everything was silent. ok is false if it is more than a day away, or the key is too young.
func SilenceDue(v View, key *entity.Entity, resumed int64) (due int64, m Missing, ok bool) {
	s, size := v.Settings(), v.Size()
	m.Since = max(key.Seen+size, resumed)
	if !key.WatchedFor(key.Seen, longWarmUp*int64(s.WarmUp)) ||
		key.Baseline.Mean(size)*float64(day/size) < s.SilenceCalls {
		return 0, m, false
	}
	least := max(s.SilenceCalls, s.SilenceFactor*float64(key.Habits.Gap))
	a, limit := key.Baseline.Dispersion(), math.Log(s.Threshold)
	mu, of := 0.0, int64(-1)
	for k := range int(day / size) {
		at := m.Since + int64(k)*size
		if h := at / hour; h != of {
			mu, of = key.Baseline.Expected(at, size), h
		}
		m.Calls += mu
		m.LogP -= math.Log1p(a*mu) / a
		if k+1 >= shortest && m.Calls >= least && m.LogP <= limit {
			return eventtime.Start(at, size) + size, m, true
		}
	}
	return 0, m, false
}

// Silent returns the finding for a silence whose last window is w.
func Silent(v View, key *entity.Entity, w *entity.Window, m Missing) Finding {
	longest := "the last weeks had no silence"
	if key.Habits.Gap >= 1 {
		longest = "the longest silence of the last weeks missed " + expected(float64(key.Habits.Gap))
	}
	p := math.Exp(m.LogP)
	return Finding{Score: min(max(surprise(p), 6), 9), Observed: 0, Expected: m.Calls, Reason: fmt.Sprintf(
		"%s: not used since %s, where %s are expected by %s (probability %s); %s; learned since %s.",
		subject(v, key, w), date(m.Since), expected(m.Calls)+" uses", date(w.Start+v.Size()), likelihood(p), longest,
		date(key.Since))}
}

// SilenceTold reports whether the silence of a KMS key after its last calls has been
// reported.
func SilenceTold(key *entity.Entity) bool {
	last, ok := key.Habits.Told(Silence.Code)
	return ok && last > key.Seen
}
