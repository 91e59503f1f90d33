package incident

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

const hour = int64(3600e9)

// randomParts makes the records of some anomalies of an account, in the order of time in
// which they are found: some are found again, and some end early.
func randomParts(rng *rand.Rand) (list []Part) {
	for n := range 1 + rng.IntN(25) {
		t := rng.Int64N(60) * hour / 2
		p := Part{ID: fmt.Sprint("a", n), Kind: [...]string{"rate", "first_seen", "rule"}[rng.IntN(3)], Detector: fmt.Sprint("d", rng.IntN(3)),
			Score: float64(rng.IntN(100)) / 10, Reason: "r", Began: t, First: t + hour/4, At: t + hour/4}
		if rng.IntN(3) > 0 {
			p.Key = fmt.Sprint("k", rng.IntN(4))
		}
		if rng.IntN(3) > 0 {
			p.Principal = fmt.Sprint("p", rng.IntN(4))
		}
		for range rng.IntN(3) {
			p.Calls = append(p.Calls, fmt.Sprint("c", rng.IntN(40)))
		}
		p.Until = p.At + hour*int64(1+rng.IntN(2)*rng.IntN(20))
		list = append(list, p)
		for range rng.IntN(3) {
			p.Revision += 2
			p.At = min(p.At+hour/2, p.Until)
			p.Until = max(p.Until, p.At+hour)
			p.Score += float64(rng.IntN(3))
			list = append(list, p)
		}
	}
	return list
}

// want are the incidents of all parts at once.
func want(list []Part) []string {
	all := NewSet()
	for _, p := range list {
		all.Put("1", p)
	}
	var texts []string
	all.Final = true
	all.Advance(1<<62, func(p *Publication) { texts = append(texts, text(p)) })
	slices.Sort(texts)
	return texts
}

// text is what must be the same of an incident.
func text(p *Publication) string {
	var ids []string
	for _, part := range p.Parts {
		ids = append(ids, fmt.Sprint(part.ID, "/", part.Revision))
	}
	return fmt.Sprint(p.ID, p.State, p.Severity, p.Began, p.At, p.Until, p.Risk, p.Keys, p.Principals, p.Calls, p.Kinds, ids)
}

// Whatever the order in which the records of anomalies arrive, once or twice, and whenever
// the process is killed, the incidents end as if all had been there at once. Each is
// published at most five times, unless a late record divides it.
func TestOrderChangesNothing(t *testing.T) {
	most, merged, ended := 0, 0, 0
	for seed := range uint64(3000) {
		rng := rand.New(rand.NewPCG(seed, 7))
		list := randomParts(rng)
		texts := want(list)
		// Late lags behind what is still to come by at least nothing.
		arrivals := slices.Clone(list)
		jitter := map[string]int64{}
		slices.SortStableFunc(arrivals, func(a, b Part) int {
			return cmp.Compare(a.At+jitterOf(rng, jitter, a), b.At+jitterOf(rng, jitter, b))
		})
		s := NewSet()
		stored := map[string][]byte{}
		published, last := map[string]int{}, map[string]string{}
		revisions := map[string]int64{}
		emit := func(p *Publication) {
			published[p.ID]++
			if p.Revision < revisions[p.ID] || p.Revision == revisions[p.ID] && published[p.ID] > 1 {
				t.Fatalf("seed %d: revision %d of %s after %d", seed, p.Revision, p.ID, revisions[p.ID])
			}
			revisions[p.ID] = p.Revision
			last[p.ID] = text(p)
			if p.Into != "" {
				last[p.ID] = ""
				merged++
			} else if p.State == Ended {
				ended++
			}
		}
		commit := func() {
			s.Changes(func(key string, value []byte) {
				if delete(stored, key); value != nil {
					stored[key] = value
				}
			})
		}
		for i, p := range arrivals {
			s.Put("1", p)
			if rng.IntN(4) == 0 {
				s.Put("1", arrivals[rng.IntN(i+1)])
			}
			if rng.IntN(3) == 0 {
				late := int64(1 << 62)
				for _, q := range arrivals[i+1:] {
					late = min(late, q.First-1, q.At-1)
				}
				if i+1 < len(arrivals) {
					s.Advance(late, emit)
				}
				commit()
			}
			if rng.IntN(10) == 0 { // killed after the commit
				commit()
				at := s.late
				s = NewSet()
				s.Resume(at)
				for key, value := range stored {
					if err := s.Restore(key, value); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		s.Advance(1<<62, emit)
		commit()
		if len(stored) > 0 || len(s.accounts) > 0 {
			t.Fatalf("seed %d: %d pieces of state remain, %d accounts", seed, len(stored), len(s.accounts))
		}
		var got []string
		for id, text := range last {
			if most = max(most, published[id]); text != "" {
				got = append(got, text)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, texts) {
			t.Fatalf("seed %d: incidents\n%s\nwant\n%s", seed, strings.Join(got, "\n"), strings.Join(texts, "\n"))
		}
	}
	if merged == 0 || ended == 0 {
		t.Errorf("%d incidents ended, %d were taken in: this tests too little", ended, merged)
	}
	t.Logf("%d ended, %d taken in, at most %d publications", ended, merged, most)
}

func jitterOf(rng *rand.Rand, of map[string]int64, p Part) int64 {
	key := fmt.Sprint(p.ID, p.Revision)
	if _, ok := of[key]; !ok {
		of[key] = rng.Int64N(3 * hour)
	}
	return of[key]
}

// A join of states is commutative, associative and idempotent.
func TestJoin(t *testing.T) {
	for seed := range uint64(2000) {
		rng := rand.New(rand.NewPCG(seed, 3))
		part := func() Part {
			return Part{ID: "a", Revision: rng.Int64N(3), Score: float64(rng.IntN(2)), Began: rng.Int64N(2), First: rng.Int64N(3),
				At: rng.Int64N(3), Until: rng.Int64N(3), Reason: fmt.Sprint(rng.IntN(2))}
		}
		a, b, c := part(), part(), part()
		same := func(x, y Part) {
			t.Helper()
			if !x.equal(&y) {
				t.Fatalf("seed %d: %+v and %+v", seed, x, y)
			}
		}
		same(a.join(a), a)
		same(a.join(b), b.join(a))
		same(a.join(b).join(c), a.join(b.join(c)))
	}
}

// Acts that a person sees as one are one incident; others are not.
func TestFold(t *testing.T) {
	part := func(id string, hours float64, key, principal string, calls ...string) Part {
		at := int64(hours * float64(hour))
		return Part{ID: id, Kind: "rate", Score: 7, Key: key, Principal: principal, Calls: calls, Began: at, First: at, At: at, Until: at + hour}
	}
	audit := []Part{part("p", 0.1, "", "auditor")}
	for i := range 120 {
		audit = append(audit, part(fmt.Sprint("k", i), float64(i)/60, fmt.Sprint("key", i), "auditor"))
	}
	for _, c := range []struct {
		name  string
		parts []Part
		want  string // the sizes
	}{
		{"an audit of 120 keys", audit, "121"},
		{"many probe one key", []Part{part("a", 0, "k", "p1"), part("b", 0.2, "k", "p2"), part("c", 0.4, "k", "p3")}, "3"},
		{"a key and a principal without their pair, by a call", []Part{part("a", 0, "k", "", "call1"), part("b", 0, "", "p", "call1")}, "2"},
		{"two actors on two keys", []Part{part("a", 0, "k1", "p1"), part("b", 0, "k2", "p2")}, "1 1"},
		{"the same actor two hours later", []Part{part("a", 0, "k1", "p1"), part("b", 2, "k2", "p1")}, "1 1"},
		{"an act of many hours", []Part{part("a", 0, "k1", "p1"), part("b", 1, "k2", "p1"), part("c", 2, "k3", "p1")}, "3"},
		{"a third joins two", []Part{part("a", 0, "k1", "p1"), part("b", 0.1, "k2", "p2"), part("c", 0.2, "k1", "p2")}, "3"},
		{"nothing lasts longer than a day", func() (list []Part) {
			for i := range 30 {
				list = append(list, part(fmt.Sprintf("%02d", i), float64(i), "k", "p"))
			}
			return list
		}(), "25 5"},
	} {
		var parts []*Part
		for i := range c.parts {
			parts = append(parts, &c.parts[i])
		}
		var sizes []string
		for _, i := range Fold("1", parts) {
			sizes = append(sizes, fmt.Sprint(len(i.Parts)))
		}
		if got := strings.Join(sizes, " "); got != c.want {
			t.Errorf("%s: incidents of %s, want %s", c.name, got, c.want)
		}
	}
}

// Each call adds to the risk once, and each class of evidence once.
func TestRisk(t *testing.T) {
	part := func(kind, detector string, score float64, calls ...string) *Part {
		return &Part{ID: kind + detector + fmt.Sprint(score, calls), Kind: kind, Detector: detector, Score: score, Calls: calls}
	}
	for _, c := range []struct {
		parts []*Part
		want  float64
	}{
		{[]*Part{part("rate", "rate", 7, "1", "2")}, 7},
		{[]*Part{part("rate", "rate", 7, "1", "2"), part("first_seen", "x", 6, "1")}, 7},
		{[]*Part{part("rate", "rate", 7, "1", "2"), part("first_seen", "x", 6, "3")}, 7.5},
		{[]*Part{part("rate", "rate", 7, "1"), part("rate", "rate", 7, "2")}, 7},
		{[]*Part{part("rule", "a", 7, "1"), part("rule", "b", 7, "2"), part("silence", "s", 6)}, 8},
		{[]*Part{part("rule", "a", 9, "1"), part("rule", "b", 9, "2"), part("rule", "c", 9, "3"), part("rule", "d", 9, "4"),
			part("rule", "e", 9, "5"), part("rule", "f", 9, "6")}, 11},
	} {
		if got := risk(c.parts); got != c.want {
			b, _ := json.Marshal(c.parts)
			t.Errorf("risk %v, want %v: %s", got, c.want, b)
		}
	}
}

// A set is bounded: of too many anomalies those with the highest scores stay.
func TestBounds(t *testing.T) {
	s := NewSet()
	for i := range MaxParts + 50 {
		s.Put("1", Part{ID: fmt.Sprint(i), Kind: "rate", Score: float64(i), Until: hour, Principal: "p"})
	}
	if s.Len() != MaxParts || s.Unkept != 50 || s.accounts["1"].parts["49"] != nil {
		t.Errorf("%d parts, %d unkept", s.Len(), s.Unkept)
	}
	s.All = MaxParts + 10
	for i := range 50 {
		s.Put("2", Part{ID: fmt.Sprint(i), Kind: "rate", Score: float64(i), Until: hour, Principal: "p"})
	}
	if s.Len() != s.All || s.Unkept != 90 || s.accounts["2"].parts["39"] != nil {
		t.Errorf("two accounts: %d parts, %d unkept", s.Len(), s.Unkept)
	}
	s.Advance(2*hour, func(*Publication) {})
	if s.Len() != 0 || s.size != 0 {
		t.Errorf("%d parts, %d counted, after all have ended", s.Len(), s.size)
	}
	for _, value := range []string{"", "{", `[]`} {
		for _, key := range []string{partKey("1", "2"), toldKey("3"), "x"} {
			if err := s.Restore(key, []byte(value)); err == nil {
				t.Errorf("restored %q from %q", key, value)
			}
		}
	}
}
