// Package incident groups the anomalies of one act into incidents: the unit that wakes a
// person. It is pure.
//
// An account's incidents are a function of the set of its anomalies, whatever their order,
// and however often each is published (Fold). So a restart, a rebalance, late calls and
// another number of partitions change nothing in the end. Publications in between
// depend on the order of arrival; the last publication of an incident does not.
package incident

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"keytrail/processor/anomaly"
	"keytrail/schemas/cloud"
	"keytrail/schemas/kms"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
	"keytrail/schemas/wire"
)

// Part is what an incident needs to know of an anomaly. Times are nanoseconds since 1970.
type Part struct {
	ID         string   `json:"id"`
	Revision   int64    `json:"revision"`
	Kind       string   `json:"kind"`
	Detector   string   `json:"detector"`
	Name       string   `json:"name"` // of the rule, for people
	Score      float64  `json:"score"`
	Reason     string   `json:"reason"`
	Key        string   `json:"key,omitempty"` // "" for none
	Principal  string   `json:"principal,omitempty"`
	Calls      []string `json:"calls,omitempty"` // ids of some
	Techniques []string `json:"techniques,omitempty"`
	Began      int64    `json:"began"`
	First      int64    `json:"first"` // when it was first found: the end of a window, or a call
	At         int64    `json:"at"`    // when it was last found
	// Until is when it ends unless it is found again. Others that are found by then belong
	// to the same incident if they share a name or a call with it.
	Until int64 `json:"until"`
}

// FromRecord returns the part of an anomaly's record, and the account that its incident
// belongs to: that of the KMS key, or without one the principal's; "" if neither shows one.
// An open anomaly ends at until, an ended one has its own time. The strings are copies.
func FromRecord(rec *otellog.Record, until int64) (p Part, account string, err error) {
	text := func(name string) string { return strings.Clone(rec.Str(name)) }
	list := func(name string) (copies []string) {
		if a := rec.Get(name); a != nil {
			for _, s := range a.Strs {
				copies = append(copies, strings.Clone(s))
			}
		}
		return copies
	}
	p = Part{ID: text(semconv.KeytrailAnomalyID), Kind: text(semconv.KeytrailAnomalyKind),
		Detector: text(semconv.KeytrailAnomalyDetector), Name: text(semconv.SecurityRuleName),
		Reason: text(semconv.KeytrailAnomalyReason), Key: cmp.Or(text(semconv.AWSKMSKeyARN), text(semconv.AWSKMSAliasARN)),
		Principal: text(semconv.KeytrailPrincipalID), Calls: list(semconv.KeytrailAnomalyCalls),
		Techniques: list(semconv.KeytrailAnomalyTechniques), First: rec.Time, At: rec.Time, Until: until}
	if a := rec.Get(semconv.KeytrailAnomalyScore); a != nil {
		p.Score = a.Num
	}
	if a := rec.Get(semconv.KeytrailAnomalyRevision); a != nil {
		p.Revision = a.Int
	}
	began, err := time.Parse(time.RFC3339, rec.Str(semconv.KeytrailAnomalyBegan))
	if err != nil || p.ID == "" {
		return Part{}, "", fmt.Errorf("the anomaly %q began at %q, which is not a time", p.ID,
			rec.Str(semconv.KeytrailAnomalyBegan))
	}
	p.Began = began.UnixNano()
	if rec.Str(semconv.KeytrailAnomalyState) == anomaly.StateEnded {
		p.First, p.At, p.Until = math.MaxInt64, math.MinInt64, rec.Time // found by an earlier record
	}
	for _, name := range [...]*string{&p.Key, &p.Principal} {
		if *name == kms.NoEntity || cloud.IsOthers(wire.Entity{Key: *name, Principal: *name}) {
			*name = ""
		}
	}
	if _, account, _ = cloud.Place(p.Key); account == "" {
		account = cloud.Account(p.Principal)
	}
	return p, strings.Clone(account), nil
}

// Join returns what two records of an anomaly tell together. It is commutative, associative
// and idempotent. Either may be nil.
func Join(a, b *Part) *Part {
	if a == nil || b == nil {
		return cmp.Or(a, b)
	}
	p := a.join(*b)
	return &p
}

func (p Part) join(o Part) Part {
	began, first, at := min(p.Began, o.Began), min(p.First, o.First), max(p.At, o.At)
	if cmp.Or(cmp.Compare(o.Revision, p.Revision), cmp.Compare(o.Until, p.Until), cmp.Compare(o.Score, p.Score),
		strings.Compare(o.Reason, p.Reason)) > 0 {
		p = o
	}
	p.Began, p.First, p.At = began, first, at
	return p
}

// equal reports whether two states of an anomaly are the same to an incident.
func (p *Part) equal(o *Part) bool {
	return p.Revision == o.Revision && p.First == o.First && p.At == o.At && p.Until == o.Until && p.Score == o.Score &&
		p.Reason == o.Reason && p.Began == o.Began
}

// names are what parts of one incident share: a principal, a KMS key or a call.
func (p *Part) names() []string {
	list := make([]string, 0, 2+len(p.Calls))
	if p.Key != "" {
		list = append(list, p.Key)
	}
	if p.Principal != "" {
		list = append(list, p.Principal)
	}
	return append(list, p.Calls...)
}

// order is the order in which parts were first found.
func order(a, b *Part) int { return cmp.Or(cmp.Compare(a.First, b.First), strings.Compare(a.ID, b.ID)) }

// distinct returns the names without "" and repetition, in order.
func distinct(names []string) []string {
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) > 0 && names[0] == "" {
		names = names[1:]
	}
	return names
}
