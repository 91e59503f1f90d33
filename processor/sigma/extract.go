package sigma

import "keytrail/schemas/view"

// values are an event's values at one path.
type values struct {
	list   []value
	exists bool // there is a value, if only null or an empty list
	null   bool // one of them is null
}

// value is one string, number, boolean or object. A list is represented by its items.
type value struct {
	kind valueKind
	// text is the compared form: a string's characters, a number or boolean as written,
	// an object's JSON (see Matcher.text); low is its lower case.
	text, low    string
	ready, isLow bool // text and low are set
	from, to     int  // position of an object
}

type valueKind uint8

const (
	valueString valueKind = iota
	valueNumber
	valueBool
	valueObject
)

// keepValues bounds the memory that a Matcher keeps for one slot, in values.
const keepValues = 1024

func (v *values) reset() {
	v.exists, v.null = false, false
	if v.list = v.list[:0]; cap(v.list) > keepValues {
		v.list = nil
	}
}

// at returns the values of a slot; it reads the surrounding top-level member on first
// use.
func (m *Matcher) at(slot int) *values {
	v := &m.values[slot]
	if slot == everything {
		if !m.whole {
			m.whole = true
			v.reset()
			m.collect(m.start(), v)
		}
		return v
	}
	top := m.rules.paths.bySlot[slot]
	if m.read[top] {
		return v
	}
	m.read[top] = true
	for _, s := range m.rules.paths.tops[top] {
		m.values[s].reset()
	}
	if pos := m.tops[top]; pos >= 0 {
		m.extract(m.rules.paths.root.children[top], pos)
	}
	return v
}

func (m *Matcher) start() int {
	pos, _ := m.w.At(0)
	return pos
}

// extract reads the value at pos, at b's path, and below it, and returns the position
// after it, or -1.
func (m *Matcher) extract(b *branch, pos int) int {
	pos, c := m.w.At(pos)
	end := -1
	switch {
	case c == '{' && len(b.children) > 0:
		end = m.members(b, pos)
	case c == '[':
		if b.slot >= 0 {
			m.values[b.slot].exists = true
		}
		return m.items(b, pos)
	case b.slot >= 0 && c != '{':
		return m.scalar(&m.values[b.slot], pos, c)
	default:
		end = m.w.Over(pos)
	}
	if end < 0 {
		m.fail()
	} else if c == '{' && b.slot >= 0 {
		v := &m.values[b.slot]
		v.exists = true
		v.list = append(v.list, value{kind: valueObject, from: pos, to: end})
	}
	return end
}

// members reads the object at pos.
func (m *Matcher) members(b *branch, pos int) int {
	for pos = m.w.Enter(pos); pos >= 0; {
		name, at, more := m.w.Member(pos)
		if !more {
			return at
		}
		if child := b.child(name); child != nil {
			pos = m.extract(child, at)
		} else {
			pos = m.w.Over(at)
		}
	}
	return -1
}

// items reads the array at pos: each item as if it replaced the array.
func (m *Matcher) items(b *branch, pos int) int {
	for pos = m.w.Enter(pos); pos >= 0; {
		at, more := m.w.Item(pos)
		if !more {
			pos = at
			break
		}
		pos = m.extract(b, at)
	}
	if pos < 0 {
		m.fail()
	}
	return pos
}

// scalar appends the string, number, boolean or null at pos to v.
func (m *Matcher) scalar(v *values, pos int, c byte) int {
	v.exists = true
	end := -1
	switch c {
	case '"':
		var text string
		if text, end = m.w.String(pos); end >= 0 {
			v.list = append(v.list, value{kind: valueString, text: text, ready: true})
		}
	case 'n':
		end = m.w.Over(pos)
		v.null = true
	default:
		kind := valueNumber
		if c == 't' || c == 'f' {
			kind = valueBool
		}
		if end = m.w.Over(pos); end >= 0 {
			v.list = append(v.list, value{kind: kind, text: m.w.Raw(pos, end), ready: true})
		}
	}
	if end < 0 {
		m.fail()
	}
	return end
}

// collect appends all strings, numbers and booleans at and below pos to v, for keywords.
func (m *Matcher) collect(pos int, v *values) int {
	pos, c := m.w.At(pos)
	if c != '{' && c != '[' {
		return m.scalar(v, pos, c)
	}
	for pos = m.w.Enter(pos); pos >= 0; {
		at, more := 0, false
		if c == '{' {
			_, at, more = m.w.Member(pos)
		} else {
			at, more = m.w.Item(pos)
		}
		if !more {
			pos = at
			break
		}
		pos = m.collect(at, v)
	}
	if pos < 0 {
		m.fail()
	}
	return pos
}

// text returns the compared form of v. For an object that is its JSON without white space
// between tokens and with the escapes in its strings resolved: a policy in a string reads
// as its author wrote it.
func (m *Matcher) text(v *value) string {
	if !v.ready {
		from := len(m.scratch)
		m.objectText(v.from)
		v.text, v.ready = view.String(m.scratch[from:]), true
	}
	return v.text
}

// low returns the text in lower case.
func (m *Matcher) low(v *value) string {
	if !v.isLow {
		text := m.text(v)
		from := len(m.scratch)
		m.scratch = appendLower(m.scratch, text)
		v.low, v.isLow = view.String(m.scratch[from:]), true
	}
	return v.low
}

// objectText appends the text of the value at pos and returns the position after it.
func (m *Matcher) objectText(pos int) int {
	pos, c := m.w.At(pos)
	switch c {
	case '"':
		return m.stringText(pos)
	case '{', '[':
	default:
		end := m.w.Over(pos)
		if end < 0 {
			m.fail()
			return -1
		}
		m.scratch = append(m.scratch, m.w.Raw(pos, end)...)
		return end
	}
	m.scratch = append(m.scratch, c)
	first := true
	for pos = m.w.Enter(pos); pos >= 0; first = false {
		name, at, more := "", 0, false
		if c == '{' {
			name, at, more = m.w.Member(pos)
		} else {
			at, more = m.w.Item(pos)
		}
		if !more {
			pos = at
			break
		}
		if !first {
			m.scratch = append(m.scratch, ',')
		}
		if c == '{' {
			m.scratch = append(append(append(m.scratch, '"'), name...), '"', ':')
		}
		pos = m.objectText(at)
	}
	if pos < 0 {
		m.fail()
	}
	m.scratch = append(m.scratch, c+2) // '}' and ']' have the codes of '{' and '[' plus two
	return pos
}

func (m *Matcher) stringText(pos int) int {
	text, end := m.w.String(pos)
	if end < 0 {
		m.fail()
		return -1
	}
	m.scratch = append(append(append(m.scratch, '"'), text...), '"')
	return end
}
