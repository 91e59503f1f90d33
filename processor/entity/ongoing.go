package entity

// Ongoing is an anomaly that continues with its next window, unless that is too late.
type Ongoing struct {
	Code        uint8 // of the detector
	Start, Last int64 // starts of its first and last window
}

// Continue notes that the detector with a code found an anomaly in the window at start.
// Its anomalies continue for lasts ns after their last window. Continue returns the start
// of the anomaly's first window, whether that is an earlier one, and whether the anomaly
// was found in a later window before.
func (h *Habits) Continue(code uint8, lasts, start int64) (began int64, again, passed bool) {
	o := h.ongoing(code)
	switch {
	case o == nil:
		if lasts > 0 {
			h.Ongoing = append(h.Ongoing, Ongoing{code, start, start})
		}
	case start >= o.Start && start-o.Last <= lasts:
		again, passed = start > o.Start, start < o.Last
		o.Last = max(o.Last, start)
		return o.Start, again, passed
	default:
		*o = Ongoing{code, start, start}
	}
	return start, false, false
}

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
	h.Ongoing = append(h.Ongoing, Ongoing{code, start, start})
}

func (h *Habits) ongoing(code uint8) *Ongoing {
	for i := range h.Ongoing {
		if h.Ongoing[i].Code == code {
			return &h.Ongoing[i]
		}
	}
	return nil
}
