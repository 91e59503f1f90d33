package sigma

import (
	"errors"
	"fmt"
	"math/bits"

	"keytrail/schemas/aws/cloudtrail"
)

// Matcher matches events with the rules of a set, one after another. It keeps its
// memory from one event to the next. Not safe for concurrent use; make one for each
// goroutine.
type Matcher struct {
	rules *Rules
	every set // of all rules

	w      cloudtrail.Walker
	tops   []int    // where the members at the top have their values; -1 where there are none
	read   []bool   // of the members at the top: whether the slots below are filled
	whole  bool     // the slot of all values is filled
	values []values // by slot
	err    error

	scratch []byte // texts that stand nowhere in the event as they are
	hits    []*Rule
	seen    []Observation
}

// Result is what one event matches. The slices and the groups are the Matcher's, valid
// until its next call.
type Result struct {
	Hits []*Rule // in the order of Rules.List, silent ones included
	// Observations are what correlations count of the hits.
	Observations []Observation
}

// NewMatcher returns a Matcher.
func (r *Rules) NewMatcher() *Matcher {
	return &Matcher{
		rules: r, every: all(len(r.List)),
		tops: make([]int, len(r.paths.tops)), read: make([]bool, len(r.paths.tops)), values: make([]values, len(r.paths.bySlot)),
	}
}

// keepBytes bounds the memory that a Matcher keeps for texts; most events need less
// than their size.
const keepBytes = 256 << 10

// Match matches one event: the JSON that CloudTrail wrote, which has been decoded
// before (package schemas/aws/cloudtrail), so that it is JSON and says nothing twice. An
// error says that it is not. Match does not keep event, and does not change it.
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
// Whoever knows these two already saves Match the way through the event: it answers
// in some 30 ns.
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

// top walks over the members at the top of the event and notes where the values
// begin that rules ask for, and returns the rules that its eventName and those that its
// eventSource allow. What is below is passed over: most rules need little of it. When the
// two are known and no rule is left, the rest of the event is not looked at.
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

// find returns the rules that the value of a member at the top allows. If it is not a
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
