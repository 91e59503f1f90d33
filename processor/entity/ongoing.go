package entity

// Ongoing is an anomaly that continues with its next window, unless that is too late.
type Ongoing struct {
	Code        uint8 // of the detector
	Start, Last int64 // starts of its first and last window
	// Said is the start of the last published window, with its observed value and score.
	Said            int64
	Observed, Score float32
}

// grown is how many times the observed value of the last publication is news.
const grown = 3

// Continue notes that the detector with a code found an anomaly in the window at start.
// Its anomalies continue for lasts ns after their last window. Continue returns the start
// of the anomaly's first window, whether that is an earlier one, and whether the anomaly
// was found in a later window before.
func (h *Habits) Continue(code uint8, lasts, start int64) (began int64, again, passed bool) {
	o := h.ongoing(code)
	switch {
	case o == nil:
		if lasts > 0 {
			h.Ongoing = append(h.Ongoing, Ongoing{Code: code, Start: start, Last: start})
		}
	case start >= o.Start && start-o.Last <= lasts:
		again, passed = start > o.Start, start < o.Last
		o.Last = max(o.Last, start)
		return o.Start, again, passed
	default:
		*o = Ongoing{Code: code, Start: start, Last: start}
	}
	return start, false, false
}

// News reports whether a finding of the window at start is worth another publication of
// its anomaly, and notes it then: it is the first one, its observed value has tripled,
// its score has reached another severity, or half of the time has passed after which the
// anomaly would end.
func (h *Habits) News(code uint8, lasts, start int64, observed, score float64) bool {
	o := h.ongoing(code)
	if o == nil {
		return true
	}
	if o.Said != 0 && observed < grown*float64(o.Observed) && level(score) <= level(float64(o.Score)) &&
		start-o.Said < lasts/2 {
		return false
	}
	o.Said, o.Observed, o.Score = start, float32(observed), float32(score)
	return true
}

// level returns the severity of a score as a number.
func level(score float64) int { return int(min(score, 10) / 2) }

// Began returns the result of Continue without noting anything.
func (h *Habits) Began(code uint8, lasts, start int64) (began int64, again bool) {
	if o := h.ongoing(code); o != nil && start >= o.Start && start-o.Last <= lasts {
		return o.Start, start > o.Start
	}
	return start, false
}

// Has reports whether an anomaly of a detector goes on in the window at start, or begins
// in it.
func (h *Habits) Has(code uint8, lasts, start int64) bool {
	o := h.ongoing(code)
	return o != nil && start >= o.Start && start-o.Last <= lasts
}

// Told returns the start of the last window with an anomaly of a detector; ok is false if
// there was none.
func (h *Habits) Told(code uint8) (last int64, ok bool) {
	o := h.ongoing(code)
	if o == nil {
		return 0, false
	}
	return o.Last, true
}

// Tell notes an anomaly of a detector whose anomalies never continue.
func (h *Habits) Tell(code uint8, start int64) {
	if o := h.ongoing(code); o != nil {
		o.Start, o.Last = start, start
		return
	}
	h.Ongoing = append(h.Ongoing, Ongoing{Code: code, Start: start, Last: start})
}

func (h *Habits) ongoing(code uint8) *Ongoing {
	for i := range h.Ongoing {
		if h.Ongoing[i].Code == code {
			return &h.Ongoing[i]
		}
	}
	return nil
}
