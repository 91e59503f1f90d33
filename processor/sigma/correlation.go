package sigma

import (
	"slices"
	"strings"

	"keytrail/schemas/decoding"
)

// Kind is what a correlation counts. Source: Sigma correlation rules specification
// 2.1, "Correlation Types".
type Kind uint8

// The kinds.
const (
	EventCount      Kind = iota // events
	ValueCount                  // different values of a field
	Temporal                    // different rules
	TemporalOrdered             // rules that match one after another
)

var kindNames = []string{"event_count", "value_count", "temporal", "temporal_ordered"}

func (k Kind) String() string { return kindNames[min(int(k), len(kindNames)-1)] }

// Correlation judges how often rules match in a time. It never changes and is safe for
// concurrent use.
type Correlation struct {
	Meta
	// Index is its place in Rules.Correlations.
	Index int
	Kind  Kind
	// Rules are those whose matches count. An Observation names one by its place here.
	Rules    []*Rule
	GroupBy  []string // fields, or aliases of fields; without any all events are one group
	Field    []string // of ValueCount
	Timespan int64    // ns
	Generate bool     // the rules' matches are findings as well
	// Fingerprint changes when the correlation or one of its rules does: tallies from
	// before are of something else then.
	Fingerprint uint64

	bounds []bound
	panes  int64 // in a timespan
	keep   int   // distinct values that tell on which side of all bounds a count is
}

// bound is one line of a correlation's condition.
type bound struct {
	op string // gt, gte, lt, lte, eq, neq
	n  int64
}

// holds reports whether a count satisfies the condition.
func (c *Correlation) holds(count int64) bool {
	for _, b := range c.bounds {
		ok := false
		switch b.op {
		case "gt":
			ok = count > b.n
		case "gte":
			ok = count >= b.n
		case "lt":
			ok = count < b.n
		case "lte":
			ok = count <= b.n
		case "eq":
			ok = count == b.n
		case "neq":
			ok = count != b.n
		}
		if !ok {
			return false
		}
	}
	return true
}

// growing reports whether more matches can only help the condition.
func (c *Correlation) growing() bool {
	return !slices.ContainsFunc(c.bounds, func(b bound) bool { return b.op != "gt" && b.op != "gte" })
}

// Observation is one match that a correlation counts, in one group.
type Observation struct {
	Correlation *Correlation
	Rule        int // its place in Correlation.Rules
	// Group holds the values to group by; see Correlation.Values. At the most maxGroup
	// bytes. A view into the Matcher's memory, valid until its next call.
	Group string
	// Value stands for the values of the fields that a ValueCount counts: 64 bits of
	// their SHA-256. 0 for other kinds.
	Value uint64
}

// separator stands between the values of a group. A value that has one itself is
// replaced by its hash, so that groups are different where their values are.
const separator = "\x1f"

// Values returns the values of a group, in the order of GroupBy.
func (c *Correlation) Values(group string) []string {
	if len(c.GroupBy) == 0 {
		return nil
	}
	return strings.Split(group, separator)
}

// Bounds of correlations.
const (
	maxCorrelated = 64 // rules of one: a bit for each
	maxGroupBy    = 8
	maxGroupValue = 256
	// maxGroup bounds an Observation's group in bytes.
	maxGroup = maxGroupBy * (maxGroupValue + 1)
	// maxGroups bounds the groups for which one match counts, where fields have
	// several values. The first count, in the order of the event.
	maxGroups = 16
	// maxValues bounds the number to which different values are counted: the values of
	// a pane are 80 kB then.
	maxValues = 10_000
	maxCount  = 1_000_000_000
)

// depth bounds how deep a Matcher enters an event: as the decoder does.
var depth = decoding.Limits{}.WithDefaults().Depth
