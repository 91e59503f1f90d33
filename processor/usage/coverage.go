package usage

import (
	"cmp"
	"maps"
	"math/bits"
	"slices"
	"strings"
	"time"

	"keytrail/schemas/cloud"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// Coverage is what shows that the input has the trail of an account and Region: the hours of
// its events and the hours that stand in the names of its files. It is a set, so the order
// of the input does not matter. It is not safe for concurrent use.
type Coverage struct {
	hours map[place]map[int64]uint32 // a bit per hour of a day, by days since 1970
	days  int
	blind []Blind
	// Cut reports whether the bounds left something out.
	Cut bool
}

type place struct{ account, region string }

// Blind is a change after which a trail lacks events of KMS.
type Blind struct {
	At        time.Time `json:"at"`
	Account   string    `json:"account"`
	Trail     string    `json:"trail,omitempty"`
	Operation string    `json:"operation"`
	KMSEvents string    `json:"kms_events,omitempty"`
}

// Bounds: 4 million days of some 30 bytes are 11,000 places for a year, and take 120 MB.
const (
	maxDays  = 4_000_000
	maxBlind = 10_000
)

// NewCoverage returns an empty Coverage.
func NewCoverage() *Coverage { return &Coverage{hours: map[place]map[int64]uint32{}} }

// Mark notes that the input has an event, or a file, of an account and Region at a time in
// ns since 1970.
func (c *Coverage) Mark(account, region string, ns int64) {
	if account == "" || region == "" {
		return
	}
	p, hour := place{account, region}, ns/int64(time.Hour)
	days := c.hours[p]
	if bit := uint32(1) << (hour % 24); days[hour/24]&bit == 0 {
		if days[hour/24] == 0 {
			if c.days++; c.days > maxDays {
				c.Cut = true
				return
			}
		}
		if days == nil {
			days = map[int64]uint32{}
			c.hours[place{strings.Clone(account), strings.Clone(region)}] = days
		}
		days[hour/24] |= bit
	}
}

// Record notes what a log record shows of the trail.
func (c *Coverage) Record(rec *otellog.Record) {
	var p place
	for i := range rec.Resource {
		switch r := &rec.Resource[i]; r.Key {
		case semconv.CloudAccountID:
			p.account = r.Str
		case semconv.CloudRegion:
			p.region = r.Str
		}
	}
	c.Mark(p.account, p.region, rec.Time)
	if rec.EventName != semconv.EventAWSCloudTrailTrailChange || rec.Str(semconv.KeytrailOutcome) != "ok" {
		return
	}
	_, operation, _ := strings.Cut(rec.Str(semconv.RPCMethod), "/")
	events := rec.Str(semconv.KeytrailTrailKMSEvents)
	stops := strings.HasPrefix(operation, "Stop") || strings.HasPrefix(operation, "Delete")
	if !stops && (events == "" || events == "all") {
		return
	}
	if len(c.blind) >= maxBlind {
		c.Cut = true
		return
	}
	b := Blind{time.Unix(0, rec.Time).UTC(), strings.Clone(p.account), strings.Clone(rec.Str(semconv.AWSCloudTrailTrail)),
		strings.Clone(operation), strings.Clone(events)}
	if !slices.Contains(c.blind, b) {
		c.blind = append(c.blind, b)
	}
}

// Place is the coverage of one account and Region in a period.
type Place struct {
	Account string    `json:"account"`
	Region  string    `json:"region"`
	From    time.Time `json:"from"`
	To      time.Time `json:"to"`
	// Days is the number of days, in UTC, with events or files, at most those from From
	// to To.
	Days int `json:"days"`
	// Gaps are the spans of minGap and more without events and files, the longest
	// maxGaps of them, in order of time; GapCount has their number.
	Gaps     []Gap `json:"gaps"`
	GapCount int   `json:"gap_count"`
	// Blind are the newest maxGaps changes of trails, in order of time: those of the account,
	// and those of other accounts, since one of them may own the organization's trail.
	Blind []Blind `json:"blind,omitempty"`

	// Verdicts rest on all of both, in order of time, and on whether the bounds of Coverage
	// left something out.
	allGaps  []Gap
	allBlind []Blind
	cut      bool
}

// Gap is a span without events and files.
type Gap struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

const (
	minGap  = 24 // hours
	maxGaps = 16
)

// Period returns the first and the last hour of all places, as [from, to), in ns since 1970.
func (c *Coverage) Period() (from, to int64) {
	for _, days := range c.hours {
		for day, hours := range days {
			first := day*24 + int64(bits.TrailingZeros32(hours))
			last := day*24 + int64(bits.Len32(hours))
			if from == 0 && to == 0 || first < from {
				from = first
			}
			to = max(to, last)
		}
	}
	return from * int64(time.Hour), to * int64(time.Hour)
}

// Places returns the accounts and Regions that the input has, in order.
func (c *Coverage) Places() []string {
	var list []string
	for p := range c.hours {
		list = append(list, p.account+" "+p.region)
	}
	slices.Sort(list)
	return list
}

// Of returns the coverage of the account and Region of a key in a period of whole hours,
// [from, to) in ns since 1970.
func (c *Coverage) Of(key string, from, to int64) Place {
	_, account, region := cloud.Place(key)
	return c.place(account, region, from, to)
}

func (c *Coverage) place(account, region string, from, to int64) Place {
	p := Place{Account: account, Region: region, From: time.Unix(0, from).UTC(), To: time.Unix(0, to).UTC(), Gaps: []Gap{}}
	first, end := from/int64(time.Hour), (to+int64(time.Hour)-1)/int64(time.Hour)
	hours := c.hours[place{account, region}]
	gap := func(a, b int64) {
		if b-a >= minGap {
			p.allGaps = append(p.allGaps, Gap{time.Unix(a*3600, 0).UTC(), time.Unix(b*3600, 0).UTC()})
		}
	}
	at := first // the end of what is covered so far
	for _, day := range slices.Sorted(maps.Keys(hours)) {
		seen := false
		for bit := range int64(24) {
			h := day*24 + bit
			if hours[day]>>bit&1 == 0 || h < first || h >= end {
				continue
			}
			gap(at, h)
			at, seen = h+1, true
		}
		if seen {
			p.Days++
		}
	}
	gap(at, end)
	p.GapCount, p.cut = len(p.allGaps), c.Cut
	p.Gaps = append(p.Gaps, p.allGaps...)
	slices.SortStableFunc(p.Gaps, func(a, b Gap) int { return cmp.Compare(b.To.Sub(b.From), a.To.Sub(a.From)) })
	p.Gaps = p.Gaps[:min(len(p.Gaps), maxGaps)]
	slices.SortFunc(p.Gaps, func(a, b Gap) int { return a.From.Compare(b.From) })
	for _, b := range c.blind {
		if !b.At.Before(p.From) && b.At.Before(p.To) {
			p.allBlind = append(p.allBlind, b)
		}
	}
	slices.SortFunc(p.allBlind, func(a, b Blind) int {
		return cmp.Or(a.At.Compare(b.At), strings.Compare(a.Trail, b.Trail), strings.Compare(a.Operation, b.Operation),
			strings.Compare(a.Account, b.Account))
	})
	p.Blind = p.allBlind[max(0, len(p.allBlind)-maxGaps):]
	return p
}
