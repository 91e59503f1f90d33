// Package family makes the trails of organizations that differ in arrivals, in the graph of
// KMS keys and principals, in the life of identities and in the calendar, with attacks in
// them. A Family is one kind of organization, an Attack one kind of act, and any attack can
// be planted in any family.
//
// An author of a family or an attack needs this package alone: see the package comment of
// processor/internal/quality for the steps. Everything follows from the seed: take chance
// from Org.Rand, and never range over a map.
package family

import (
	"cmp"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"time"
)

// Family is one kind of organization.
type Family struct {
	Name string // a word, unique
	// About says what sets it apart, one sentence each: arrivals, graph, identities, calendar.
	About string
	// Unseen means that its author has not read the detectors.
	Unseen bool
	// Build makes the organization's principals and KMS keys and all calls of its everyday
	// life from Org.Start to Org.End.
	Build func(o *Org)
}

// Attack is one kind of act that should be found.
type Attack struct {
	Name   string
	About  string // one sentence
	Unseen bool   // its author has not read the detectors
	// Plant plants it once, from Act.Start on, and reports whether the organization has what
	// it needs. It may look at Org.Habits.
	Plant func(o *Org, a *Act) bool
}

// Size selects the size of a trail.
type Size struct {
	Keys  int // KMS keys in use, about
	Days  int // all days
	Quiet int // of them the first ones, without attacks, from which detectors learn
}

// Label is the truth about one attack.
type Label struct {
	Attack     string
	Start, End time.Time // [Start, End)
	// Principals and Keys are the names (keytrail.principal.id, keytrail.key.arn) of all that
	// took part. A KMS key that is silent is in Keys alone.
	Principals, Keys []string
	Note             string
	Calls            int
}

// Trail is one organization with its attacks.
type Trail struct {
	Family            *Family
	Seed              uint64
	Start, Quiet, End time.Time
	Labels            []Label // by start
	KeyDays           int     // sum over the days from Quiet on of the KMS keys with calls
	calls             []*Call // by time
	mutes             []mute
}

// begin is when all trails begin: a Monday.
var begin = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)

// New makes the trail of a seed. It plants each attack once, at a random time after the
// quiet days; attacks for which the organization lacks something are left out.
func (f *Family) New(seed uint64, size Size, attacks []Attack) *Trail {
	h := fnv.New64a()
	h.Write([]byte(f.Name))
	o := &Org{Rand: rand.New(rand.NewPCG(seed, h.Sum64())), Keys: size.Keys, Start: begin,
		Quiet: begin.AddDate(0, 0, size.Quiet), End: begin.AddDate(0, 0, size.Days)}
	f.Build(o)
	t := &Trail{Family: f, Seed: seed, Start: o.Start, Quiet: o.Quiet, End: o.End}
	t.Labels = o.plant(attacks)
	t.calls, t.mutes = o.sorted(), o.mutes
	t.KeyDays = keyDays(t.calls, t.Quiet)
	return t
}

// Accounts returns the trail's size in accounts of 50 KMS keys in use.
func (t *Trail) Accounts() float64 { return t.AccountDays() / (t.End.Sub(t.Quiet).Hours() / 24) }

// AccountDays returns the days of such accounts from Quiet on.
func (t *Trail) AccountDays() float64 { return float64(t.KeyDays) / 50 }

// keyDays counts the KMS keys with calls, for each day from a time on.
func keyDays(calls []*Call, from time.Time) (n int) {
	seen, today := map[*Key]bool{}, int64(0)
	for _, c := range calls {
		if c.At.Before(from) || c.Key == nil || c.Key.Account == Stranger {
			continue
		}
		if day := c.At.Unix() / 86400; day != today {
			clear(seen)
			today = day
		}
		if !seen[c.Key] {
			seen[c.Key] = true
			n++
		}
	}
	return n
}

// plant plants every attack once, in random order, each in its own part of the time after
// Quiet. No principal and no KMS key is in two of them unless the organization has too few.
func (o *Org) plant(attacks []Attack) (labels []Label) {
	o.learn()
	order := o.Rand.Perm(len(attacks))
	part := o.End.Add(-4*24*time.Hour).Sub(o.Quiet) / time.Duration(max(1, len(attacks)))
	for i, k := range order {
		after := time.Duration((float64(i) + o.Rand.Float64()) * float64(part))
		a := &Act{org: o, Start: o.Quiet.Add(after).Truncate(time.Second)}
		if !attacks[k].Plant(o, a) {
			continue
		}
		l := Label{Attack: attacks[k].Name, Start: a.first, End: a.last.Add(time.Second), Note: a.Note,
			Calls: len(a.calls)}
		for _, p := range a.who {
			l.Principals = append(l.Principals, p.names()...)
			o.spent[p] = true
		}
		for _, k := range a.keys {
			l.Keys = append(l.Keys, k.ARN)
			o.taken[k] = true
		}
		labels = append(labels, l)
	}
	slices.SortStableFunc(labels, func(a, b Label) int { return a.Start.Compare(b.Start) })
	return labels
}

// sorted returns all calls in order of time.
func (o *Org) sorted() []*Call {
	list := make([]*Call, 0, o.made)
	for _, block := range o.blocks {
		for i := range block {
			if c := &block[i]; !c.At.Before(o.Start) && c.At.Before(o.End) {
				list = append(list, c)
			}
		}
	}
	slices.SortStableFunc(list, func(a, b *Call) int { return cmp.Compare(a.At.Unix(), b.At.Unix()) })
	return list
}
