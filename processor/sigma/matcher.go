package sigma

import (
	"errors"
	"fmt"
	"math/bits"

	"keytrail/schemas/aws/cloudtrail"
)

// Matcher matches events with a set of rules, one after another. It reuses its memory.
// Not safe for concurrent use; make one per goroutine.
type Matcher struct {
	rules *Rules
	every set // of all rules

	w      cloudtrail.Walker
	tops   []int    // position of each top-level member's value; -1 if missing
	read   []bool   // whether the slots below a top-level member are filled
	whole  bool     // whether the slot of all values is filled
	values []values // by slot
	err    error

	scratch []byte // texts that do not appear in the event verbatim
	hits    []*Rule
	seen    []Observation
}

// Result is the matches of one event. The slices and the groups belong to the Matcher and
// are valid until its next call.
type Result struct {
	Hits []*Rule // in the order of Rules.List, including silent ones
	// Observations are the hits that correlations count.
	Observations []Observation
}

// NewMatcher returns a Matcher.
func (r *Rules) NewMatcher() *Matcher {
	return &Matcher{
		rules: r, every: all(len(r.List)),
		tops: make([]int, len(r.paths.tops)), read: make([]bool, len(r.paths.tops)),
		values: make([]values, len(r.paths.bySlot)),
	}
}

// keepBytes bounds the memory that a Matcher keeps for texts; most events need less than
// their own size.
const keepBytes = 256 << 10

// Match matches one event: CloudTrail's JSON, which has already been decoded (package
// schemas/aws/cloudtrail), so it is valid and without duplicate names. Otherwise it
// returns an error. Match does not keep or change event.
func (m *Matcher) Match(event []byte) (Result, error) {
	if len(m.rules.List) == 0 {
		return Result{}, nil
	}
	m.hits, m.seen, m.err, m.whole = m.hits[:0], m.seen[:0], nil, false
	if m.scratch = m.scratch[:0]; cap(m.scratch) > keepBytes {
		m.scratch = nil
	}
	names, sources := m.top(event)
	for w := range names {
		for both := names[w] & sources[w]; both != 0; both &= both - 1 {
			r := m.rules.List[w*64+bits.TrailingZeros64(both)]
			if !m.eval(r.expr) {
				continue
			}
			m.hits = append(m.hits, r)
			for i := range r.uses {
				m.observe(&r.uses[i])
			}
		}
	}
	if m.err != nil {
		return Result{}, m.err
	}
	return Result{m.hits, m.seen}, nil
}

// Wants reports whether any rule may match an event with this eventSource and eventName.
// A caller that knows these two saves Match the scan of the event: Wants takes about 30
// ns.
func (m *Matcher) Wants(source, name string) bool {
	x := &m.rules.index
	names, sources := x.anyName, x.anySource
	m.scratch = appendLower(m.scratch[:0], name)
	if s, ok := x.byName[string(m.scratch)]; ok {
		names = s
	}
	m.scratch = appendLower(m.scratch[:0], source)
	if s, ok := x.bySource[string(m.scratch)]; ok {
		sources = s
	}
	return meet(names, sources)
}

// top scans the top-level members of the event, notes the positions of those that rules
// need, and returns the rules that its eventName and its eventSource allow. It skips
// nested members: most rules need few. Once both are known and no candidate is left, it
// stops.
func (m *Matcher) top(event []byte) (names, sources set) {
	for i := range m.tops {
		m.tops[i], m.read[i] = -1, false
	}
	w, x := &m.w, &m.rules.index
	w.Reset(event, depth)
	pos, c := w.At(0)
	if c != '{' {
		m.err = errors.New("sigma: an event is no JSON object")
		return nil, nil
	}
	for pos = w.Enter(pos); pos >= 0; {
		name, value, more := w.Member(pos)
		if !more {
			pos = value
			break
		}
		if b := m.rules.paths.root.child(name); b != nil {
			m.tops[b.top] = value
			if (b.top == x.nameTop || b.top == x.sourceTop) && m.tops[x.nameTop] >= 0 && m.tops[x.sourceTop] >= 0 {
				if names, sources = m.candidates(); !meet(names, sources) {
					return nil, nil
				}
			}
		}
		pos = w.Over(value)
	}
	if pos < 0 {
		m.fail()
		return nil, nil
	}
	if names == nil {
		names, sources = m.candidates()
	}
	return names, sources
}

func (m *Matcher) candidates() (names, sources set) {
	x := &m.rules.index
	return m.find(x.nameTop, x.byName, x.anyName), m.find(x.sourceTop, x.bySource, x.anySource)
}

func (m *Matcher) fail() error {
	m.err = fmt.Errorf("sigma: an event cannot be read: %w", m.w.Err())
	return m.err
}

// find returns the rules that the value of a top-level member allows. If it is not a
// string, the maps do not apply and all rules are candidates.
func (m *Matcher) find(top int, byText map[string]set, others set) set {
	pos := m.tops[top]
	if pos < 0 {
		return others
	}
	pos, c := m.w.At(pos)
	if c != '"' {
		return m.every
	}
	text, end := m.w.String(pos)
	if end < 0 {
		m.fail()
		return others
	}
	from := len(m.scratch)
	m.scratch = appendLower(m.scratch, text)
	s, ok := byText[string(m.scratch[from:])]
	m.scratch = m.scratch[:from]
	if !ok {
		return others
	}
	return s
}
