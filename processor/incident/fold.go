package incident

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"
)

// Longest bounds an incident: an anomaly that is found later than this after the first one
// begins another. Risk adds up over a day, and a day is what a person looks at.
const Longest = int64(24 * time.Hour)

// Incident is a group of anomalies of one account. Times are nanoseconds since 1970.
type Incident struct {
	ID      string
	Account string
	// Began is when its first anomaly began, which is the same in all publications of an id, and
	// At when an anomaly was last found.
	Began, At  int64
	Until      int64 // when its last anomaly ends
	Parts      []*Part
	Principals []string // in order, as are the following
	Keys       []string
	Calls      []string // some
	Kinds      []string
	Techniques []string
	Risk       float64
	// Strongest is the part with the highest score.
	Strongest *Part
}

// Fold groups parts into incidents. It takes them in the order in which they were first
// found. A part joins the incidents with which it shares a principal, a KMS key or a call and
// of which an anomaly has not ended by then, and makes them one; without such an incident it
// begins a new one. So a part that was found later than an incident has ended never changes
// it. The result is in the same order. It sorts parts.
func Fold(account string, parts []*Part) []*Incident {
	slices.SortFunc(parts, order)
	var groups []*group
	owner := map[string][]*group{} // the open groups in which a name occurs
	for _, p := range parts {
		var own *group
		for _, name := range p.names() {
			for _, g := range owner[name] {
				g = g.root()
				if g == own || p.First > g.until || p.First-g.parts[0].First > Longest {
					continue
				}
				own = merge(own, g)
			}
		}
		if own == nil {
			own = &group{}
			groups = append(groups, own)
		}
		own.parts = append(own.parts, p)
		own.until = max(own.until, p.Until)
		for _, name := range p.names() {
			open := slices.DeleteFunc(owner[name], func(g *group) bool { return g.root() == own || g.root().until < p.First })
			owner[name] = append(open, own)
		}
	}
	var list []*Incident
	for _, g := range groups {
		if g.into == nil {
			list = append(list, g.incident(account))
		}
	}
	slices.SortFunc(list, func(a, b *Incident) int { return order(a.Parts[0], b.Parts[0]) })
	return list
}

// group is an incident in the making.
type group struct {
	parts []*Part
	until int64
	into  *group // the group that it has become part of
}

func (g *group) root() *group {
	for g.into != nil {
		g = g.into
	}
	return g
}

// merge makes two groups one: that of the earlier first part. a may be nil.
func merge(a, b *group) *group {
	if a == nil {
		return b
	}
	if order(b.parts[0], a.parts[0]) < 0 {
		a, b = b, a
	}
	a.parts, a.until, b.into = append(a.parts, b.parts...), max(a.until, b.until), a
	return a
}

// incident describes a group.
func (g *group) incident(account string) *Incident {
	slices.SortFunc(g.parts, order)
	i := &Incident{ID: idOf(account, g.parts[0].ID), Account: account, Began: g.parts[0].Began, Until: g.until,
		Parts: g.parts}
	for _, p := range g.parts {
		i.At = max(i.At, p.At)
		i.Principals, i.Keys = append(i.Principals, p.Principal), append(i.Keys, p.Key)
		i.Calls, i.Kinds = append(i.Calls, p.Calls...), append(i.Kinds, p.Kind)
		i.Techniques = append(i.Techniques, p.Techniques...)
		if s := i.Strongest; s == nil || p.Score > s.Score {
			i.Strongest = p
		}
	}
	for _, names := range [...]*[]string{&i.Principals, &i.Keys, &i.Calls, &i.Kinds, &i.Techniques} {
		*names = distinct(*names)
	}
	i.Risk = risk(g.parts)
	return i
}

// idOf returns the id of the incident that an anomaly began.
func idOf(account, first string) string {
	sum := sha256.Sum256([]byte("incident\x00" + account + "\x00" + first))
	return hex.EncodeToString(sum[:16])
}

// The weight of further evidence. Scores are -log10 p, and would add if the evidence were
// independent; windows of one act never are. So the strongest counts whole, and each
// further class of evidence adds little.
const (
	furtherClass = 0.5
	mostFurther  = 2
)

// risk returns the risk of an incident on the scale of scores. Anomalies whose calls have
// all counted already, in another scope, clock or detector, add nothing; neither does a
// second one of the same class. A class is a kind of anomaly, and each rule is its own.
func risk(parts []*Part) float64 {
	byScore := slices.Clone(parts)
	slices.SortFunc(byScore, func(a, b *Part) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), strings.Compare(a.ID, b.ID))
	})
	classes, calls, further := map[string]bool{}, map[string]bool{}, 0.0
	for _, p := range byScore {
		class, own := p.Kind, len(p.Calls) == 0
		if p.Kind == "rule" {
			class = p.Detector
		}
		for _, id := range p.Calls {
			own = own || !calls[id]
		}
		if own && !classes[class] && len(classes) > 0 {
			further += furtherClass
		}
		if own {
			classes[class] = true
			for _, id := range p.Calls {
				calls[id] = true
			}
		}
	}
	return byScore[0].Score + min(further, mostFurther)
}
