package sigma

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strings"

	"keytrail/schemas/view"
)

// eval reports whether the event matches e.
func (m *Matcher) eval(e *expr) bool {
	switch e.op {
	case opTest:
		return m.test(e.test)
	case opNot:
		return !m.eval(e.list[0])
	}
	for _, x := range e.list {
		if m.eval(x) != (e.op == opAnd) {
			return e.op == opOr
		}
	}
	return e.op == opAnd
}

func (m *Matcher) test(t *test) bool {
	v := m.at(t.slot)
	switch t.kind {
	case testNull:
		return v.null || len(v.list) == 0
	case testExists:
		return v.exists == (t.number.n == 1)
	}
	for i := range v.list {
		if m.one(t, &v.list[i]) {
			return true
		}
	}
	return false
}

// one tests one value.
func (m *Matcher) one(t *test, v *value) bool {
	switch t.kind {
	case testSet:
		text := m.folded(v, t.cased)
		if t.set == nil {
			return text == t.one
		}
		_, ok := t.set[text]
		return ok
	case testPattern:
		return t.pattern.match(m.folded(v, t.pattern.cased))
	case testRegexp:
		return t.re.MatchString(m.text(v))
	case testCIDR:
		return v.kind == valueString && inPrefix(t.prefix, v.text)
	case testField:
		return m.sameAs(t, v)
	}
	if v.kind != valueNumber && v.kind != valueString {
		return false
	}
	n, ok := parseNumber(v.text)
	return ok && t.compares(n.compare(t.number))
}

// folded returns the text of a value for comparison.
func (m *Matcher) folded(v *value, cased bool) string {
	if cased {
		return m.text(v)
	}
	return m.low(v)
}

func (t *test) compares(order int) bool {
	switch t.kind {
	case testGreater:
		return order > 0
	case testGreaterEqual:
		return order >= 0
	case testLess:
		return order < 0
	case testLessEqual:
		return order <= 0
	}
	return order == 0
}

// sameAs compares a value with those of another field.
func (m *Matcher) sameAs(t *test, v *value) bool {
	text := m.folded(v, t.cased)
	refs := m.at(t.refSlot)
	for i := range refs.list {
		other := m.folded(&refs.list[i], t.cased)
		switch {
		case t.front && t.back:
			if strings.Contains(text, other) {
				return true
			}
		case t.front:
			if strings.HasSuffix(text, other) {
				return true
			}
		case t.back:
			if strings.HasPrefix(text, other) {
				return true
			}
		case text == other:
			return true
		}
	}
	return false
}

// inPrefix reports whether text is an address in the network. It first rejects texts that
// cannot be one: an error of netip costs an allocation, and the address field often has a
// service's name.
func inPrefix(prefix netip.Prefix, text string) bool {
	if len(text) < 2 || strings.IndexByte(text, ':') < 0 && (text[0]-'0' > 9 || text[len(text)-1]-'0' > 9) {
		return false
	}
	addr, err := netip.ParseAddr(text)
	return err == nil && prefix.Contains(addr.Unmap().WithZone(""))
}

// combination selects one value of each field of a use.
type combination [2 * maxGroupBy]int

// field returns the values of field i; the fields to group by come first.
func (m *Matcher) field(u *use, i int) []value {
	if i < len(u.group) {
		return m.at(u.group[i]).list
	}
	return m.at(u.value[i-len(u.group)]).list
}

// observe makes the observations of one use of a matching rule: one per combination of
// distinct values to group by and to count. If a field has no value there is none,
// because there is no group, as the specification says.
func (m *Matcher) observe(u *use) {
	fields := len(u.group) + len(u.value)
	for i := range fields {
		list := m.field(u, i)
		if len(list) == 0 {
			return
		}
		for j := range list[:min(len(list), keepValues)] {
			m.text(&list[j]) // now, because it may use the scratch memory
		}
	}
	var at combination
	for range maxGroups {
		o := Observation{Correlation: u.c, Rule: u.position}
		from := len(m.scratch)
		for i := range u.group {
			if i > 0 {
				m.scratch = append(m.scratch, separator...)
			}
			m.appendGroup(m.field(u, i)[at[i]].text)
		}
		o.Group = view.String(m.scratch[from:])
		if from = len(m.scratch); len(u.value) > 0 {
			for i := len(u.group); i < fields; i++ {
				text := m.field(u, i)[at[i]].text
				m.scratch = append(binary.AppendUvarint(m.scratch, uint64(len(text))), text...)
			}
			sum := sha256.Sum256(m.scratch[from:])
			o.Value = binary.BigEndian.Uint64(sum[:])
			m.scratch = m.scratch[:from]
		}
		m.seen = append(m.seen, o)
		if !m.next(u, &at) {
			return
		}
	}
}

// next moves to the next combination of values, the last field first.
func (m *Matcher) next(u *use, at *combination) bool {
	for i := len(u.group) + len(u.value) - 1; i >= 0; i-- {
		list := m.field(u, i)
		list = list[:min(len(list), keepValues)]
		for at[i]++; at[i] < len(list) && stands(list[:at[i]], list[at[i]].text); at[i]++ {
		}
		if at[i] < len(list) {
			return true
		}
		at[i] = 0
	}
	return false
}

func stands(list []value, text string) bool {
	for i := range list {
		if list[i].text == text {
			return true
		}
	}
	return false
}

// appendGroup appends a value of a group. A value that is too long or contains the
// separator is cut and gets its hash.
func (m *Matcher) appendGroup(text string) {
	if len(text) <= maxGroupValue && !strings.Contains(text, separator) {
		m.scratch = append(m.scratch, text...)
		return
	}
	sum := sha256.Sum256([]byte(text))
	head := strings.ToValidUTF8(strings.ReplaceAll(text[:min(len(text), 128)], separator, " "), "")
	m.scratch = append(append(m.scratch, head...), "...sha256:"...)
	m.scratch = hex.AppendEncode(m.scratch, sum[:16])
}
