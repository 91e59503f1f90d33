package usage

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Digests are the result of comparing the input with CloudTrail's digests.
type Digests struct {
	// Checked is the number of digests that were compared with the files that they name, and
	// Unchecked that of digests for which this failed.
	Checked   int64 `json:"checked"`
	Unchecked int64 `json:"unchecked"`
	// Findings are the first of FindingCount differences, in order of time.
	FindingCount int64     `json:"finding_count"`
	Findings     []Finding `json:"findings"`
}

// Finding is a difference between a trail and its digests.
type Finding struct {
	Kind    string    `json:"kind"` // of package digest, such as LogFileMissing
	At      time.Time `json:"at"`   // the end of the digest's time
	Account string    `json:"account"`
	Region  string    `json:"region"`
	Object  string    `json:"object"`
	Detail  string    `json:"detail"`
}

// maxFindings bounds the findings that are kept: 1,000 of some 500 bytes.
const maxFindings = 1000

// Add adds the result of one digest.
func (d *Digests) Add(findings []Finding) {
	d.Checked++
	d.FindingCount += int64(len(findings))
	d.Findings = append(d.Findings, findings...)
	slices.SortFunc(d.Findings, func(a, b Finding) int {
		return cmp.Or(a.At.Compare(b.At), strings.Compare(a.Object, b.Object), strings.Compare(a.Kind, b.Kind))
	})
	d.Findings = d.Findings[:min(len(d.Findings), maxFindings)]
}

// objections states what speaks against a trail that has the whole use of a key.
func (d *Digests) objections(against func(string, ...any)) {
	if d == nil {
		return
	}
	if d.FindingCount > 0 {
		f := &d.Findings[0]
		against("%d files of the trail are missing, changed or unknown to its digests, the first on %s: %s of %s.",
			d.FindingCount, minute(f.At.Unix()), f.Kind, f.Object)
	}
	if d.Unchecked > 0 {
		against("%d digests of the trail could not be checked.", d.Unchecked)
	}
}
