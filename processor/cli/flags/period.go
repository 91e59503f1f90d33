package flags

import (
	"fmt"
	"math"
	"time"

	"github.com/spf13/cobra"
)

// Period is the time span [Since, Until) of --since and --until. A zero time does not
// bound it.
type Period struct{ Since, Until time.Time }

// Register registers both flags. what names the selected records, such as "calls". A duration
// counts back from now.
func (p *Period) Register(cmd *cobra.Command, now time.Time, what string) {
	parse := func(text string) (time.Time, error) {
		if t, err := time.Parse(time.RFC3339, text); err == nil {
			return t, nil
		}
		d, err := time.ParseDuration(text)
		if err == nil && d < 0 {
			err = fmt.Errorf("%s is negative", text)
		}
		return now.Add(-d), err
	}
	none := func(time.Time) string { return "" } // a default is a duration ago
	want := "a time such as 2026-11-20T09:00:00Z, or a duration ago such as 24h"
	Func(cmd, &p.Since, "since", what+" from this `time` on, RFC 3339 or a duration ago", want, parse, none)
	Func(cmd, &p.Until, "until", what+" before this `time`, RFC 3339 or a duration ago", want, parse, none)
}

// Check returns an error when nothing is between the two.
func (p *Period) Check() error {
	if !p.Until.IsZero() && !p.Since.Before(p.Until) {
		return fmt.Errorf("--since (%s) is not before --until (%s); give an earlier --since",
			p.Since.UTC().Format(time.RFC3339), p.Until.UTC().Format(time.RFC3339))
	}
	return nil
}

// Bounds returns the period in ns since 1970.
func (p *Period) Bounds() (since, until int64) {
	since, until = math.MinInt64, math.MaxInt64
	if !p.Since.IsZero() {
		since = p.Since.UnixNano()
	}
	if !p.Until.IsZero() {
		until = p.Until.UnixNano()
	}
	return since, until
}

// Has reports whether ns, in ns since 1970, is in the period.
func (p *Period) Has(ns int64) bool {
	since, until := p.Bounds()
	return ns >= since && ns < until
}
