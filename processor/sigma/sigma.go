package sigma

import (
	"fmt"
	"slices"
	"strings"
)

// Level is the severity of a rule's findings. Source: Sigma rules specification 2.1,
// "Level".
type Level uint8

// The levels.
const (
	Informational Level = iota
	Low
	Medium
	High
	Critical
)

var levelNames = []string{"informational", "low", "medium", "high", "critical"}

func (l Level) String() string { return levelNames[min(int(l), len(levelNames)-1)] }

// Score returns the level on the scale of anomaly scores, -log10 of a probability: 2 for
// informational, 4, 6, 8, and 10 for critical, like the always-on rules.
func (l Level) Score() float64 { return 2 + 2*float64(l) }

// Meta is the metadata of a rule or a correlation. Its strings belong to the loader and
// never change.
type Meta struct {
	// ID identifies it in anomalies and stored state: its id, else its name, else its
	// title. It is unique in a set.
	ID    string
	Name  string // for references by correlations; may be ""
	Title string
	Level Level    // medium by default
	Tags  []string // as written
	// Techniques are the MITRE ATT&CK ids among the tags: T1530 of attack.t1530.
	Techniques []string
	File       string // its place
	Line       int    // the first of its document, from 1
}

// Rule judges single events.
type Rule struct {
	Meta
	// Index is its index in Rules.List.
	Index int
	// Silent means that a match alone is not a finding: correlations refer to the rule,
	// and none of them sets generate. Its matches only count for those.
	Silent bool

	expr *expr
	uses []use // the correlations that count it
}

// use is a correlation's use of a rule's matches.
type use struct {
	c        *Correlation
	position int // of the rule in the correlation
	// the fields to group by and to count, and their slots
	groupPaths, valuePaths []string
	group, value           []int
}

// Rules is a compiled set of rules. It is immutable and safe for concurrent use.
type Rules struct {
	List         []*Rule        // in the order of files and documents
	Correlations []*Correlation // in the same order
	Skipped      []Skipped
	// Notes are about loaded rules that may not do what their author meant.
	Notes []Problem
	// Prints has one number per rule and correlation, ascending: two sets with the same
	// numbers have the same effect, whatever their files are called.
	Prints []uint64

	paths paths
	index index
}

// Skipped is a document that was skipped for a reason other than a mistake.
type Skipped struct {
	File   string
	Line   int
	Title  string
	Reason string
}

// Problem is one fault in the rules.
type Problem struct {
	File string
	Line int    // from 1; 0 for the file as a whole
	Text string // the fault, and what to do
}

// String returns "file:line: what; what to do".
func (p Problem) String() string {
	if p.Line == 0 {
		return p.File + ": " + p.Text
	}
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text)
}

// Bounds of a set of rules.
const (
	MaxRules     = 1000    // rules and correlations of a set
	MaxFiles     = 20_000  // of a directory: twice the largest public collection
	MaxFileBytes = 1 << 20 // a rule takes 2 kB; a list of known bad values, some hundred
	MaxProblems  = 1000    // that are kept; one more says that there are others
)

// techniques returns the ATT&CK ids among tags. Source: Sigma tags appendix 2.1:
// attack.tNNNN or attack.tNNNN.NNN in lower case; tactics, groups and software have
// other letters.
func techniques(tags []string) (list []string) {
	for _, tag := range tags {
		id, ok := strings.CutPrefix(strings.ToLower(tag), "attack.t")
		number, sub, hasSub := strings.Cut(id, ".")
		if !ok || !digits(number, 4) || hasSub && !digits(sub, 3) {
			continue
		}
		if id = "T" + id; !slices.Contains(list, id) {
			list = append(list, id)
		}
	}
	return list
}

func digits(text string, n int) bool {
	return len(text) == n && strings.Trim(text, "0123456789") == ""
}
