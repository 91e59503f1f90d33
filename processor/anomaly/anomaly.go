// Package anomaly represents the findings about a window: the anomalies of detectors and
// rules, the list of expected ones, the bound on published ones, and the log records of
// windows and anomalies. It is pure.
package anomaly

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"keytrail/processor/eventtime"
	"keytrail/schemas/wire"
)

// Kind is the kind of an anomaly: the value of keytrail.anomaly.kind.
type Kind string

// The kinds. Windows count each kind separately.
const (
	KindRate      Kind = "rate"
	KindFirstSeen Kind = "first_seen"
	KindFanOut    Kind = "fan_out"
	KindRefusals  Kind = "refusals"
	KindRule      Kind = "rule"
	KindSilence   Kind = "silence"
	KindBlindSpot Kind = "blind_spot"
)

// LedgerDetector begins the detectors of alarms of the ledgers of KMS keys.
const LedgerDetector = "ledger/"

// Kinds lists all kinds.
var Kinds = []Kind{KindRate, KindSilence, KindFirstSeen, KindFanOut, KindRefusals, KindRule, KindBlindSpot}

// Counter returns the window counter that counts anomalies of a kind. An unknown kind
// counts as a rule.
func (k Kind) Counter() wire.CounterID {
	switch k {
	case KindRate:
		return wire.CounterRate
	case KindFirstSeen:
		return wire.CounterFirstSeen
	case KindFanOut:
		return wire.CounterFanOut
	case KindRefusals:
		return wire.CounterRefusals
	case KindSilence:
		return wire.CounterSilence
	case KindBlindSpot:
		return wire.CounterBlindSpot
	}
	return wire.CounterRule
}

// Anomaly is one finding about one window of one entity. Times are nanoseconds since 1970.
type Anomaly struct {
	ID       string // the same whenever the same anomaly is found again
	Kind     Kind
	Detector string // the detector's or the rule's name
	Title    string // of a rule of the user, for people; "" elsewhere
	Score    float64
	Reason   string // the sentence
	Observed float64
	Expected float64
	Since    int64 // since when the entity has been watched; 0 in anomalies of rules
	// Contributors are what most of the calls have in common, each with its number,
	// largest first.
	Contributors []string
	Calls        []string // ids of some calls
	Techniques   []string // of MITRE ATT&CK
	// URL is its address in the page, or "".
	URL string
	// Rules is the digest of the rules and expected anomalies by which a stage judged; ""
	// outside of stages.
	Rules string
	wire.Entity
	// Bound is the binding of the KMS key, as in the anomaly's window. It is nil in
	// anomalies of rules, which are published before their window.
	Bound      *wire.Binding
	Start, End int64 // the window
	// At is when it happened: the time of a rule's call, else the end of the window.
	At int64
	// Began is when it began: the time of a rule's call, else the start of the first window.
	Began int64
	// Until is when it ends, unless it is found again before.
	Until int64
	// Revision tells the publications of the anomaly apart. The highest is the valid one.
	// Open anomalies have even revisions, and their ends the next odd one.
	//   - A detector's is 0 while the window is open. Once it has closed, the revision is 2,
	//     and two more for each window between Began and Start.
	//   - A rule's is twice the rank of the call's copy, because a better copy may come later.
	//   - A correlation's is twice the number of matches in its window, which later ones raise.
	//   - A ledger's is twice the event time, in s, at which the alarm was raised.
	Revision int64
	// Preview is how many anomalies an open window had at this publication; 0 once it has
	// closed. It tells publications with revision 0 apart.
	Preview int64
}

// Repeat is the shortest time, in ns, for which an anomaly stays open after it was last
// found: what began it may still go on, and a person who is called sees it as open.
const Repeat = eventtime.Hour

// uid returns the id of a publication: the id of what is published, its revision, and
// behind a point what an open window had to show.
func uid(id string, revision, preview int64) string {
	s := id + "-" + strconv.FormatInt(revision, 10)
	if preview > 0 {
		s += "." + strconv.FormatInt(preview, 10)
	}
	return s
}

// Severity returns the score in words.
func (a *Anomaly) Severity() string { return SeverityOf(a.Score) }

// SeverityOf returns a score in words: low, medium (from 6), high (from 8) or critical
// (from 10).
func SeverityOf(score float64) string {
	switch {
	case score >= 10:
		return "critical"
	case score >= 8:
		return "high"
	case score >= 6:
		return "medium"
	}
	return "low"
}

// ID returns the id of an anomaly of a detector in an entity, whose first window is at
// began.
func ID(e wire.Entity, began int64, detector string) string {
	return id("anomaly", e.StateKey(), strconv.FormatInt(began, 10), detector)
}

// WindowID returns the id of a window, which is the same for all revisions.
func WindowID(e wire.Entity, start, size int64) string {
	return id("window", e.StateKey(), strconv.FormatInt(start, 10), strconv.FormatInt(size, 10))
}

// id hashes its parts into an id: 128 bits of a SHA-256, in hexadecimal.
func id(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// counters are the counters that sum to a window's anomalies.
var counters = [...]wire.CounterID{
	wire.CounterRule, wire.CounterBlindSpot, wire.CounterRate, wire.CounterFirstSeen,
	wire.CounterFanOut, wire.CounterRefusals, wire.CounterSilence,
}

// Count returns the number of anomalies counted in p.
func Count(p *wire.Partial) int64 {
	n := int64(0)
	for _, c := range p.Counters {
		for _, id := range counters {
			if c.ID == id {
				n += c.N
			}
		}
	}
	return n
}

// Span writes a duration in ns for people: "5m", "1h".
func Span(ns int64) string {
	s := strings.TrimSuffix(time.Duration(ns).String(), "0s")
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func stamp(ns int64) string { return time.Unix(0, ns).UTC().Format(time.RFC3339) }
