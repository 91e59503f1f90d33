package sigma

import (
	"fmt"
	"slices"
	"strings"
)

// Level is how bad it is what a rule finds. Source: Sigma rules specification 2.1,
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

// Score is the level on the scale of the anomalies' scores, -log10 of a probability:
// 2 for informational, 4, 6, 8, and 10 for critical, as the always-on rules have it.
func (l Level) Score() float64 { return 2 + 2*float64(l) }

// Meta is what a rule or a correlation says of itself. Its strings are the loader's
// and never change.
type Meta struct {
	// ID names it in anomalies and stored state: its id; without one its name, and
	// without that its title. No two of a set have the same.
	ID    string
	Name  string // by which correlations may refer to it; "" without
	Title string
	Level Level    // medium where the file says nothing
	Tags  []string // as written
	// Techniques are the MITRE ATT&CK ids among the tags: T1530 of attack.t1530.
	Techniques []string
	File       string // where it stands
	Line       int    // the first of its document, from 1
}

// Rule is one rule that judges single events.
type Rule struct {
	Meta
	// Index is its place in Rules.List.
	Index int
	// Silent reports that a match alone is not a finding: correlations refer to the
	// rule, and none of them says generate. Its matches only count for those.
	Silent bool

	expr *expr
	uses []use // by which correlations it is counted
}

// use is what one correlation wants of a rule's matches.
type use struct {
	c        *Correlation
	position int // of the rule in the correlation
	// the fields to group by, and those whose values are counted, and their slots
	groupPaths, valuePaths []string
	group, value           []int
}

// Rules is a set of rules, compiled. It never changes and is safe for concurrent use.
type Rules struct {
	List         []*Rule        // in the order of files and documents
	Correlations []*Correlation // in the same order
	Skipped      []Skipped
	// Notes are about rules that are loaded and may not do what their author meant.
	Notes []Problem

	paths paths
	index index
}

// Skipped is a document that was left out for a reason that is not a mistake.
type Skipped struct {
	File   string
	Line   int
	Title  string
	Reason string
}

// Problem is one thing that is wrong in the rules.
type Problem struct {
	File string
	Line int    // from 1; 0 where the file as a whole is meant
	Text string // what is wrong, and what to do
}

// String returns "file:line: what; what to do".
func (p Problem) String() string {
	if p.Line == 0 {
		return p.File + ": " + p.Text
	}
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text)
}

// Bounds of what is loaded.
const (
	MaxRules     = 1000    // rules and correlations of a set: what an event may be compared with
	MaxFiles     = 20_000  // of a directory: twice what the largest public collection has
	MaxFileBytes = 1 << 20 // a rule has 2 kB; a list of known bad values, some hundred
	MaxProblems  = 1000    // that are kept; one more says so
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
