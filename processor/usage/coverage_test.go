package usage

import (
	"strings"
	"testing"
	"time"

	"keytrail/processor/keyledger"
)

// TestSafeNeedsAll: neither a short gap beside many longer ones, nor a change of a trail
// beside many others, of the organization's account, or beyond a bound, is forgotten by the
// verdict.
func TestSafeNeedsAll(t *testing.T) {
	const account, region = "111122223333", "eu-central-1"
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	hours := func(from, to int) Gap {
		return Gap{begin.Add(time.Duration(from) * time.Hour), begin.Add(time.Duration(to) * time.Hour)}
	}
	const days = 300
	for name, c := range map[string]struct {
		gaps  []Gap
		blind []Blind
		cut   bool
		want  string // "" if the key is safe to disable
	}{
		"covered":  {},
		"long ago": {gaps: []Gap{hours(10, 100)}, blind: []Blind{{At: begin.Add(time.Hour), Account: account}}},
		"short and recent": {gaps: func() (list []Gap) {
			for i := range 20 {
				list = append(list, hours(100*i, 100*i+48))
			}
			return append(list, hours(24*days-100, 24*days-75))
		}(), want: "no event from 2026-10-"},
		"one of many changes": {blind: func() (list []Blind) {
			for i := range 20 {
				list = append(list, Blind{At: begin.Add(time.Duration(i) * time.Hour), Account: account})
			}
			return append(list, Blind{At: begin.AddDate(0, 0, days-2), Account: account, Operation: "StopLogging", Trail: "all"})
		}(), want: "the trail all may lack events of KMS"},
		"the organization's": {blind: []Blind{{At: begin.AddDate(0, 0, days-2), Account: "999988887777", Trail: "org"}},
			want: "by account 999988887777: if the trail org is the organization's"},
		"beyond the bounds": {cut: true, want: "more days or changes"},
	} {
		coverage := NewCoverage()
		for h := range 24 * days {
			at, missing := begin.Add(time.Duration(h)*time.Hour), false
			for _, g := range c.gaps {
				missing = missing || !at.Before(g.From) && at.Before(g.To)
			}
			if !missing {
				coverage.Mark(account, region, at.UnixNano())
			}
		}
		coverage.blind, coverage.Cut = c.blind, c.cut
		from, to := begin.UnixNano(), begin.AddDate(0, 0, days).UnixNano()
		j := judgment{key: &keyledger.Key{}, place: coverage.place(account, region, from, to), idleAfter: 30 * 24 * time.Hour}
		verdict, reasons := j.verdict()
		if text := strings.Join(reasons, " "); (verdict == SafeToDisable) != (c.want == "") || !strings.Contains(text, c.want) {
			t.Errorf("%s: %s because of %q, want %q", name, verdict, reasons, c.want)
		}
		if p := j.place; len(p.Gaps) > maxGaps || len(p.Blind) > maxGaps || p.GapCount != len(c.gaps) {
			t.Errorf("%s: %d gaps of %d, %d changes", name, len(p.Gaps), p.GapCount, len(p.Blind))
		}
	}
}
