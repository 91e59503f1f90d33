package sigma

// The fields that index rules: nearly all rules name an operation, and most of them a
// service.
const (
	pathName   = "eventName"
	pathSource = "eventSource"
)

// index finds the candidate rules of an event, as bit sets: the rules that its eventName
// and those that its eventSource allow.
type index struct {
	words              int
	byName, bySource   map[string]set // in lower case
	anyName, anySource set            // for values in neither map
	nameTop, sourceTop int
}

// set has bit i for rule i.
type set []uint64

func newIndex(rules []*Rule) index {
	x := index{words: (len(rules) + 63) / 64}
	x.byName, x.anyName = x.sets(rules, pathName)
	x.bySource, x.anySource = x.sets(rules, pathSource)
	return x
}

// sets returns, per text that rules require at path, the rules that it allows, including
// those without a requirement, and these alone.
func (x *index) sets(rules []*Rule, path string) (byText map[string]set, others set) {
	byText, others = map[string]set{}, make(set, x.words)
	for i, r := range rules {
		needs := r.expr.needs(path)
		if needs == nil {
			others[i/64] |= 1 << (i % 64)
		}
		for text := range needs {
			if byText[text] == nil {
				byText[text] = make(set, x.words)
			}
			byText[text][i/64] |= 1 << (i % 64)
		}
	}
	for _, s := range byText {
		for w := range s {
			s[w] |= others[w]
		}
	}
	return byText, others
}

// all returns the set of all n rules.
func all(n int) set {
	s := make(set, (n+63)/64)
	for i := range n {
		s[i/64] |= 1 << (i % 64)
	}
	return s
}

// meet reports whether any rule is in both.
func meet(a, b set) bool {
	for w := range a {
		if a[w]&b[w] != 0 {
			return true
		}
	}
	return false
}
