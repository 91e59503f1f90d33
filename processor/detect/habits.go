package detect

import (
	"math"
	"slices"

	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

// Habits are what is remembered of an entity beside its baseline. The zero value
// remembers nothing. Everything in it has a bound.
type Habits struct {
	Tops     tops     // most calls in a window; scopes key and principal
	Gap      float32  // most calls that were expected in a silence, faded; scope key
	Users    int      // principals that have used the KMS key; scope key
	Accounts []uint32 // their accounts, by hash; scope key
	Networks []uint32 // where calls came from, by hash; scope principal
	Clients  []uint32 // programs that made them, by hash; scope principal
	Fresh    int      // of Users, those that first did in the window at FreshAt
	FreshAt  int64
	Keys     []uint32  // KMS keys used, by hash; scope principal
	Day      int64     // the day of Objects, in days since 1970; scope principal
	Days     int       // days with objects before it
	Objects  []uint64  // a bit for each different object of the day; nil or of maxBits
	DayPeak  float32   // most different objects of a day, faded
	Calls    callDays  // scope principal
	Ongoing  []Ongoing // anomalies that may go on
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

// habits has an entity remember a window that closed.
func (e *Engine) habits(ent *Entity, w *Window) {
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
		h.Calls.add(w)
	}
	if ent.Since != 0 && w.Start < ent.Seen {
		return // a late first call of a window: what lies between is known already
	}
	age := w.Start - ent.Seen
	if ent.Since == 0 {
		age = 0
	}
	one := float64(toJudge(&w.Partial))
	two := one
	if before := ent.find(w.Start - e.cfg.Size); before != nil {
		two += float64(toJudge(&before.Partial))
	}
	h.Tops.add(w.Start/day, one, two)
	// A silence that was told is none of its habits, unless it has lasted for a day.
	if ent.Since != 0 && ent.Scope == wire.ScopeKey && (age >= day || !ent.silenceTold()) {
		h.Gap = float32(max(faded(h.Gap, age), ent.missed(w.Start, e.cfg.Size)))
	}
}

// user counts a pair that closes its first window among the users of its KMS key.
func (e *Engine) user(pair *Entity, start int64) {
	if pair.Since != 0 || pair.KeyARN == kms.NoEntity {
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
