package sigma

import (
	"cmp"
	"strconv"
)

// number is a number of a rule or an event. Integers are compared exactly, for account
// ids and sizes; others as floating point.
type number struct {
	whole bool
	n     int64
	f     float64
}

// parseNumber parses a JSON number (RFC 8259, section 6). It also accepts a string that
// contains one: CloudTrail writes some numbers as strings.
func parseNumber(text string) (number, bool) {
	whole, ok := isNumber(text)
	if !ok {
		return number{}, false
	}
	if whole {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return number{whole: true, n: n, f: float64(n)}, true
		}
	}
	f, err := strconv.ParseFloat(text, 64)
	return number{f: f}, err == nil
}

// isNumber reports whether text is a number, and whether it has neither fraction nor exponent.
func isNumber(text string) (whole, ok bool) {
	i := 0
	digits := func() bool {
		from := i
		for i < len(text) && text[i]-'0' <= 9 {
			i++
		}
		return i > from
	}
	if i < len(text) && text[i] == '-' {
		i++
	}
	zero := i < len(text) && text[i] == '0'
	from := i
	if !digits() || zero && i > from+1 {
		return false, false
	}
	whole = true
	if i < len(text) && text[i] == '.' {
		i++
		if whole = false; !digits() {
			return false, false
		}
	}
	if i < len(text) && (text[i] == 'e' || text[i] == 'E') {
		i++
		if i < len(text) && (text[i] == '+' || text[i] == '-') {
			i++
		}
		if whole = false; !digits() {
			return false, false
		}
	}
	return whole, i == len(text)
}

func (a number) compare(b number) int {
	if a.whole && b.whole {
		return cmp.Compare(a.n, b.n)
	}
	return cmp.Compare(a.f, b.f)
}
