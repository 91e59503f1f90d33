package keypolicy

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// condition is one condition of a statement: an operator over the values of one
// condition key. Names of operators and keys ignore case.
type condition struct {
	key      string // in lower case
	operator string // in lower case, without what surrounds it; a negated one without "not"
	negated  bool
	ifExists bool
	forAll   bool // ForAllValues
	forAny   bool // ForAnyValue
	values   []string
}

func parseCondition(operator, key string, values []string) condition {
	c := condition{key: strings.ToLower(key), operator: strings.ToLower(operator), values: values}
	c.operator, c.forAll = strings.CutPrefix(c.operator, "forallvalues:")
	if !c.forAll {
		c.operator, c.forAny = strings.CutPrefix(c.operator, "foranyvalue:")
	}
	c.operator, c.ifExists = strings.CutSuffix(c.operator, "ifexists")
	if plain := strings.Replace(c.operator, "not", "", 1); plain != c.operator {
		c.operator, c.negated = plain, true
	}
	return c
}

// holds reports whether the condition holds for a request in which its key has these
// values; none is a key that the request does not have.
func (c *condition) holds(request []string) bool {
	switch {
	case c.operator == "null":
		absent := strconv.FormatBool(len(request) == 0)
		return slices.ContainsFunc(c.values, func(v string) bool { return strings.EqualFold(v, absent) })
	case len(request) == 0:
		return c.ifExists || c.forAll || c.negated && !c.forAny
	case c.forAll:
		return !slices.ContainsFunc(request, func(v string) bool { return !c.one(v) })
	}
	return slices.ContainsFunc(request, c.one)
}

// one reports whether one value of the request meets the condition: a value of the list,
// or, where the operator is negated, none of them.
func (c *condition) one(v string) bool {
	return c.negated != slices.ContainsFunc(c.values, func(want string) bool { return c.compare(v, want) })
}

// compare reports whether a value of a request is as the operator, taken without its
// negation, wants it. An operator that does not exist wants nothing.
func (c *condition) compare(v, want string) bool {
	switch c.operator {
	case "stringequals", "binaryequals":
		return v == want
	case "stringequalsignorecase", "bool":
		return strings.EqualFold(v, want)
	case "stringlike":
		return like(want, v)
	case "arnequals", "arnlike":
		return likeARN(want, v)
	case "ipaddress":
		return inRange(want, v)
	}
	if order, ok := strings.CutPrefix(c.operator, "numeric"); ok {
		a, err := strconv.ParseFloat(v, 64)
		b, wrong := strconv.ParseFloat(want, 64)
		return err == nil && wrong == nil && ordered(order, a, b)
	}
	if order, ok := strings.CutPrefix(c.operator, "date"); ok {
		a, known := parseDate(v)
		b, right := parseDate(want)
		return known && right && ordered(order, float64(a.Unix()), float64(b.Unix()))
	}
	return false
}

func ordered(order string, a, b float64) bool {
	switch order {
	case "equals":
		return a == b
	case "lessthan":
		return a < b
	case "lessthanequals":
		return a <= b
	case "greaterthan":
		return a > b
	case "greaterthanequals":
		return a >= b
	}
	return false
}

// parseDate reads the forms of a date in a policy: ISO 8601, or seconds since 1970.
func parseDate(s string) (time.Time, bool) {
	for _, form := range [...]string{time.RFC3339, "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05", "2006-01-02"} {
		if t, err := time.Parse(form, s); err == nil {
			return t, true
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return time.Unix(n, 0), err == nil
}

func parseRange(s string) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return netip.Prefix{}, false
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	return p.Masked(), true
}

func inRange(want, v string) bool {
	p, ok := parseRange(want)
	a, err := netip.ParseAddr(v)
	return ok && err == nil && p.Contains(a)
}

// like reports whether s is as a pattern with the wildcards * and ? wants it.
func like(pattern, s string) bool {
	at, star, from := 0, -1, 0
	for i := 0; i < len(s); {
		switch {
		case at < len(pattern) && pattern[at] == '*':
			star, from = at, i
			at++
		case at < len(pattern) && (pattern[at] == '?' || pattern[at] == s[i]):
			at, i = at+1, i+1
		case star >= 0: // the last star takes one more
			from++
			at, i = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(pattern[at:], "*") == ""
}

// likeARN is like for ARNs, each of whose six parts has to match by itself.
func likeARN(pattern, arn string) bool {
	if strings.Trim(pattern, "*") == "" {
		return true
	}
	want, has := strings.SplitN(pattern, ":", 6), strings.SplitN(arn, ":", 6)
	if len(want) != 6 || len(has) != 6 {
		return false
	}
	for i := range want {
		if !like(want[i], has[i]) {
			return false
		}
	}
	return true
}
