package family

import (
	"math"
	"slices"
	"time"
)

// Act is one attack while it is planted.
type Act struct {
	Start time.Time // begin here, or later on the same day
	Note  string    // what happens, with numbers

	org         *Org
	first, last time.Time
	who         []*Principal
	keys        []*Key
	calls       []*Call
}

// Do makes a call of the attack.
func (a *Act) Do(at time.Time, who *Principal, op string, key *Key, object int) *Call {
	c := a.org.Do(at, who, op, key, object)
	a.calls = append(a.calls, c)
	a.extend(c.At, c.At)
	a.Touch(who, key)
	return c
}

// Spread makes n calls of the attack at random times in [from, from+d); object numbers the
// objects from 0.
func (a *Act) Spread(from time.Time, d time.Duration, n int, who *Principal, op string, key *Key,
	object func(i int) int) {
	for i := range n {
		after := (float64(i) + a.org.Rand.Float64()) / float64(n) * float64(d)
		a.Do(from.Add(time.Duration(after)), who, op, key, object(i))
	}
}

// Touch adds a principal and a KMS key, or nil, to those that take part.
func (a *Act) Touch(who *Principal, key *Key) {
	if who != nil && !slices.Contains(a.who, who) {
		a.who = append(a.who, who)
	}
	if key != nil && !slices.Contains(a.keys, key) {
		a.keys = append(a.keys, key)
	}
}

// Silence takes away all calls of a KMS key in [from, to).
func (a *Act) Silence(key *Key, from, to time.Time) {
	a.org.mutes = append(a.org.mutes, mute{key, from.Unix(), to.Unix()})
	a.Touch(nil, key)
	a.extend(from, to)
}

// Fail makes all everyday calls that use a KMS key in [from, to) fail with an error code,
// and returns their number.
func (a *Act) Fail(key *Key, from, to time.Time, code string) (n int) {
	for _, block := range a.org.blocks {
		for i := range block {
			c := &block[i]
			if c.Key != key || c.At.Before(from) || !c.At.Before(to) || c.Error != "" || !uses(c.Op) {
				continue
			}
			c.Error = code
			a.Touch(c.Who, key)
			n++
		}
	}
	a.extend(from, to)
	return n
}

func (a *Act) extend(from, to time.Time) {
	if a.first.IsZero() || from.Before(a.first) {
		a.first = from
	}
	if to.After(a.last) {
		a.last = to
	}
}

// Habit is what a principal does with a KMS key in everyday life.
type Habit struct {
	Who     *Principal
	Key     *Key
	Op      string    // the first one it used
	PerHour float64   // calls, over all hours of the quiet days
	Days    int       // quiet days with calls
	ByHour  [24]int   // calls in the quiet days by hour of day
	Since   time.Time // first call
	Objects int       // the highest number of an object so far
}

// Quiet reports whether the habit has less than a fifth of its average calls at an hour.
func (h *Habit) Quiet(hour int) bool {
	return float64(h.ByHour[hour])*24 < h.PerHour*24*float64(h.Days)/5
}

// learn computes the habits of the quiet days, in order of their first calls.
func (o *Org) learn() {
	o.spent, o.taken = map[*Principal]bool{}, map[*Key]bool{}
	type edge struct {
		who *Principal
		key *Key
	}
	index, last := map[edge]int{}, map[edge]int64{}
	for _, c := range o.sorted() {
		if c.Key == nil || !c.At.Before(o.Quiet) {
			continue
		}
		e := edge{c.Who, c.Key}
		i, known := index[e]
		if !known {
			i = len(o.habits)
			index[e] = i
			o.habits = append(o.habits, Habit{Who: c.Who, Key: c.Key, Op: c.Op, Since: c.At})
		}
		h := &o.habits[i]
		h.PerHour++
		h.ByHour[c.At.Hour()]++
		h.Objects = max(h.Objects, c.Object)
		if day := c.At.Unix()/86400 + 1; last[e] != day {
			last[e] = day
			h.Days++
		}
	}
	for i := range o.habits {
		o.habits[i].PerHour /= o.Quiet.Sub(o.Start).Hours()
	}
}

// Habits returns everyday life in the quiet days, by first call: what an attacker would see.
func (o *Org) Habits() []Habit { return o.habits }

// Choose returns a random habit that fits, of a principal and a KMS key that no attack has
// used; nil if none does.
func (o *Org) Choose(fits func(h *Habit) bool) *Habit {
	var list []*Habit
	for i := range o.habits {
		if h := &o.habits[i]; !o.spent[h.Who] && !o.taken[h.Key] && fits(h) {
			list = append(list, h)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return Pick(o, list)
}

// Near returns a fit for Choose: a program's role in daily use with so many calls an hour,
// within a factor of three.
func Near(perHour float64) func(h *Habit) bool {
	return func(h *Habit) bool {
		return h.Who.Kind == Role && h.Days >= 10 && math.Abs(math.Log(h.PerHour/perHour)) < math.Log(3)
	}
}
