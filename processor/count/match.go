package count

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"unsafe"

	"keytrail/processor/sigma"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// Matcher judges calls by the user's own rules, which read the event itself: the body of its
// log record. It reuses its memory from one call to the next. A nil Matcher judges no call. It
// is not safe for concurrent use.
type Matcher struct {
	match *sigma.Matcher
	found []*sigma.Rule
}

// NewMatcher returns a Matcher for rules; nil for no rules, so that they cost nothing.
func NewMatcher(rules *sigma.Rules) *Matcher {
	if rules == nil || len(rules.List) == 0 {
		return nil
	}
	return &Matcher{match: rules.NewMatcher()}
}

// MaxFindings bounds the rules of one call that get their own anomaly, to those of the
// highest levels: a transaction of 20,000 calls with as many matches has 320 MB of them.
// Windows count all.
const MaxFindings = 16

// ErrNoBody says that a log record lacks the event, although rules may have matched it.
var ErrNoBody = errors.New("the log record has no body: its normalizer left the event out")

// Found holds the findings of the rules for one call. Its slices belong to the Matcher and
// are valid until its next call.
type Found struct {
	// Rules are the matching rules that are findings themselves, at most MaxFindings.
	Rules []*sigma.Rule
	// Observations are the matches that correlations count.
	Observations []sigma.Observation
}

// Match judges the call c of the log record rec, and sets c.Matched. The collector's own
// calls match no rule. An error says that the rules could not read the event: ErrNoBody, or
// that the body is not an event.
func (m *Matcher) Match(rec *otellog.Record, c *Call) (Found, error) {
	c.Matched = 0
	if m == nil || c.Self {
		return Found{}, nil
	}
	// Most calls are of operations that no rule asks for. An attribute shows that without
	// reading the event.
	service, operation, _ := strings.Cut(rec.Str(semconv.RPCMethod), "/")
	if !m.match.Wants(service, operation) {
		return Found{}, nil
	}
	if rec.Body == "" {
		return Found{}, ErrNoBody
	}
	// The matcher reads the body in place: copying it would cost more than matching.
	result, err := m.match.Match(unsafe.Slice(unsafe.StringData(rec.Body), len(rec.Body)))
	if err != nil {
		return Found{}, err
	}
	m.found = m.found[:0]
	for _, r := range result.Hits {
		if !r.Silent {
			m.found = append(m.found, r)
		}
	}
	c.Matched = uint16(len(m.found))
	if len(m.found) > MaxFindings {
		slices.SortStableFunc(m.found, func(a, b *sigma.Rule) int { return cmp.Compare(b.Level, a.Level) })
		m.found = m.found[:MaxFindings]
	}
	return Found{m.found, result.Observations}, nil
}
