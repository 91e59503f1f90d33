package detect

import (
	"math"
	"slices"

	"keytrail/schemas/normalize"
	"keytrail/schemas/wire"
)

// Habits are what is remembered of an entity beside its baseline. The zero value
// remembers nothing. Everything in it has a bound.
type Habits struct {
	Peak      float32  // most calls in a window, faded; scopes key and principal
	PeakOfTwo float32  // the same of two windows in a row
	Gap       float32  // longest silence between windows with calls, in windows, faded; scope key
	Users     int      // principals that have used the KMS key; scope key
	Accounts  []uint32 // their accounts, by hash; scope key
	Networks  []uint32 // where calls came from, by hash; scope principal
	Clients   []uint32 // programs that made them, by hash; scope principal
	Fresh     int      // of Users, those that first did in the window at FreshAt
	FreshAt   int64
	Keys      []uint32  // KMS keys used, by hash; scope principal
	Day       int64     // the day of Objects, in days since 1970; scope principal
	Days      int       // days with objects before it
	Objects   []uint64  // a bit for each different object of the day; nil or of maxBits
	DayPeak   float32   // most different objects of a day, faded
	CallDay   int64     // the day of Calls, in days since 1970; scope principal
	CallDays  int       // days with calls before it
	Calls     float32   // of the day
	CallPeak  float32   // most calls of a day, faded
	Ongoing   []Ongoing // anomalies that may go on
}

// Ongoing is an anomaly that goes on with the next window that has it, unless too much
// time lies between.
type Ongoing struct {
	Code        uint8 // of the detector
	Start, Last int64 // starts of its first and last window
}

// maxKeys bounds what is remembered of a principal's KMS keys.
const maxKeys = 64

// maxKnown bounds what is remembered of networks, programs and accounts: the newest.
const maxKnown = 16

// peakHalfLife is how fast a peak is forgotten: four weeks, so that what comes once a
// month is still half of what it was.
const peakHalfLife = 28 * day

func faded(v float32, age int64) float64 {
	if v == 0 || age <= 0 {
		return float64(v)
	}
	return float64(v) * math.Exp2(-float64(age)/float64(peakHalfLife))
}

// ongoing returns the start of the first window of the anomaly that a detector found in
// the window at start, and whether that is an earlier one.
func (h *Habits) ongoing(d *detector, start int64) (began int64, again bool) {
	for i := range h.Ongoing {
		o := &h.Ongoing[i]
		if o.Code != d.code {
			continue
		}
		if start >= o.Start && start-o.Last <= d.lasts {
			again = start > o.Start
			o.Last = max(o.Last, start)
			return o.Start, again
		}
		*o = Ongoing{d.code, start, start}
		return start, false
	}
	if d.lasts > 0 { // one for each detector
		h.Ongoing = append(h.Ongoing, Ongoing{d.code, start, start})
	}
	return start, false
}

// began is what ongoing would return.
func (h *Habits) began(d *detector, start int64) (began int64, again bool) {
	for _, o := range h.Ongoing {
		if o.Code == d.code && start >= o.Start && start-o.Last <= d.lasts {
			return o.Start, start > o.Start
		}
	}
	return start, false
}

// rated says whether a window has more calls than its entity's rate allows.
type rated uint8

const (
	usual rated = iota
	begins
	goesOn
)

// peak returns the peak after a window: what is anomalous may become normal, but not at
// once.
func (is rated) peak(peak, calls float64) float32 {
	switch is {
	case begins:
		calls = min(calls, 4*peak)
	case goesOn:
		calls = 0
	}
	return float32(max(peak, calls))
}

// habits has an entity remember a window that closed.
func (e *Engine) habits(ent *Entity, w *Window, is rated) {
	h := &ent.Habits
	switch ent.Scope {
	case wire.ScopePair:
		e.user(ent, w.Start)
		return
	case wire.ScopePrincipal:
		h.Networks = know(h.Networks, &w.Sets[wire.SetNetworks], maxKnown)
		h.Clients = know(h.Clients, &w.Sets[wire.SetClients], maxKnown)
		h.Keys = know(h.Keys, &w.Sets[wire.SetPeers], maxKeys)
		h.objects(w)
		h.calls(w)
	}
	if ent.Since != 0 && w.Start < ent.Seen {
		return // a late first call of a window: what lies between is known already
	}
	age := w.Start - ent.Seen
	if ent.Since == 0 {
		age = 0
	}
	calls := float64(toJudge(&w.Partial))
	h.Peak = is.peak(faded(h.Peak, age), calls)
	if before := ent.find(w.Start - e.cfg.Size); before != nil {
		calls += float64(toJudge(&before.Partial))
	}
	h.PeakOfTwo = is.peak(faded(h.PeakOfTwo, age), calls)
	// A silence that was told is none of its habits, unless it has lasted for a day.
	if gap := float32(age/e.cfg.Size - 1); ent.Since != 0 && (age >= day || !ent.silenceTold()) {
		h.Gap = max(float32(faded(h.Gap, age)), gap)
	}
}

// user counts a pair that closes its first window among the users of its KMS key.
func (e *Engine) user(pair *Entity, start int64) {
	if pair.Since != 0 || pair.KeyARN == normalize.NoEntity {
		return
	}
	i, ok := e.store.find(wire.Entity{Scope: wire.ScopeKey, KeyARN: pair.KeyARN})
	if !ok {
		return
	}
	key := e.store.get(i)
	key.fade(start, e.cfg.Retention) // its own window closes after those of its pairs
	if key.Habits.Users++; key.Habits.FreshAt != start {
		key.Habits.Fresh, key.Habits.FreshAt = 0, start
	}
	key.Habits.Fresh++
	if account := accountOf(pair.Principal); !slices.Contains(key.Habits.Accounts, account) {
		key.Habits.Accounts = newest(key.Habits.Accounts, account, maxKnown)
	}
	e.touch(key)
}

// know adds the values of a set to those known.
func know(known []uint32, s *wire.Set, most int) []uint32 {
	for _, v := range s.Values {
		if !slices.Contains(known, uint32(v.Hash)) {
			known = newest(known, uint32(v.Hash), most)
		}
	}
	return known
}

// newest adds a value, in place of the oldest when there are too many.
func newest(known []uint32, value uint32, most int) []uint32 {
	if len(known) >= most {
		known = known[:copy(known, known[1:])]
	}
	return append(known, value)
}

// faded returns a peak of the entity as it is at start.
func (ent *Entity) faded(peak float32, start int64) float64 { return faded(peak, start-ent.Seen) }

// objects adds the objects of a window to those of its day.
func (h *Habits) objects(w *Window) {
	if len(w.Sets[wire.SetObjects].Values) == 0 {
		return
	}
	switch today := w.Start / day; {
	case h.Objects == nil:
		h.Objects, h.Day = make([]uint64, words), today
	case today < h.Day:
		return // late
	case today > h.Day:
		h.endDay(today)
	}
	mark(h.Objects, w)
}

// endDay remembers how many objects the day had that is over.
func (h *Habits) endDay(today int64) {
	n, high := linear(ones(h.Objects)), faded(h.DayPeak, (today-h.Day)*day)
	if h.Days >= dripDays && high > 0 { // it may become normal, but not at once
		n = min(n, 2*high)
	}
	h.DayPeak, h.Day, h.Days = float32(max(n, high)), today, h.Days+1
	clear(h.Objects)
}

// calls adds the calls of a window to those of its day.
func (h *Habits) calls(w *Window) {
	today := w.Start / day
	switch {
	case h.CallDay == 0:
		h.CallDay = today
	case today < h.CallDay:
		return // late
	case today > h.CallDay:
		n, high := float64(h.Calls), faded(h.CallPeak, (today-h.CallDay)*day)
		if h.CallDays >= dripDays && high > 0 { // it may become normal, but not at once
			n = min(n, 2*high)
		}
		h.CallPeak, h.CallDay, h.CallDays, h.Calls = float32(max(n, high)), today, h.CallDays+1, 0
	}
	h.Calls += float32(toJudge(&w.Partial))
}

// callsWith returns how many calls the window's day has so far, it included.
func (h *Habits) callsWith(w *Window) float64 {
	n := float64(toJudge(&w.Partial))
	if w.Start/day == h.CallDay {
		n += float64(h.Calls)
	}
	return n
}

// callPeak returns the most calls of a day before the day of start.
func (h *Habits) callPeak(start int64) float64 {
	high := faded(h.CallPeak, (start/day-h.CallDay)*day)
	if start/day > h.CallDay {
		high = max(high, float64(h.Calls))
	}
	return high
}

// objectsWith returns how many objects the window's day has so far, it included.
func (h *Habits) objectsWith(w *Window) float64 {
	var all [words]uint64
	if w.Start/day == h.Day {
		copy(all[:], h.Objects)
	}
	mark(all[:], w)
	return linear(ones(all[:]))
}

// dayPeak returns the most different objects of a day before the day of start.
func (h *Habits) dayPeak(start int64) float64 {
	high := faded(h.DayPeak, (start/day-h.Day)*day)
	if start/day > h.Day && h.Objects != nil {
		high = max(high, linear(ones(h.Objects)))
	}
	return high
}

// mark sets the bits of a window's objects.
func mark(bitmap []uint64, w *Window) {
	for _, v := range w.Sets[wire.SetObjects].Values {
		bit := v.Hash >> 32 % maxBits
		bitmap[bit/64] |= 1 << (bit % 64)
	}
}
