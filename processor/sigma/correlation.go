package sigma

import (
	"slices"
	"strings"

	"keytrail/schemas/decoding"
)

// Kind is the kind of count of a correlation. Source: Sigma correlation rules
// specification 2.1, "Correlation Types".
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

// Correlation judges how often rules match within a timespan. It is immutable and safe
// for concurrent use.
type Correlation struct {
	Meta
	// Index is its index in Rules.Correlations.
	Index int
	Kind  Kind
	// Rules are the rules whose matches count. An Observation refers to one by its index here.
	Rules    []*Rule
	GroupBy  []string // fields or aliases of fields; if empty, all events are one group
	Field    []string // of ValueCount
	Timespan int64    // ns
	Generate bool     // the rules' matches are findings, too
	// Fingerprint changes with the correlation or any of its rules, which invalidates
	// earlier tallies.
	Fingerprint uint64

	bounds []bound
	panes  int64 // in a timespan
	keep   int   // number of distinct values that decides all bounds
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

// Observation is one match counted by a correlation, in one group.
type Observation struct {
	Correlation *Correlation
	Rule        int // index in Correlation.Rules
	// Group contains the values to group by; see Correlation.Values. At most maxGroup
	// bytes. A view into the Matcher's memory, valid until its next call.
	Group string
	// Value identifies the counted values of a ValueCount: 64 bits of their SHA-256. 0
	// for other kinds.
	Value uint64
}

// separator separates the values of a group. A value that contains it is replaced by its
// hash, so that different values give different groups.
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
	// maxGroups bounds the groups in which one match counts if fields have several
	// values. The first ones in the event's order count.
	maxGroups = 16
	// maxValues bounds the number of distinct values that are counted: the values of a
	// pane then take 80 kB.
	maxValues = 10_000
	maxCount  = 1_000_000_000
)

// depth bounds how deep a Matcher descends into an event, like the decoder.
var depth = decoding.Limits{}.WithDefaults().Depth
