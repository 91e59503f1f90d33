package sigma

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// twoRules are rules for correlations to refer to.
const twoRules = `title: Refused
id: 11111111
name: refused
level: low
logsource: {product: aws, service: cloudtrail}
detection: {s: {errorCode: AccessDenied}, condition: s}
---
title: Deleted
id: 22222222
name: deleted
level: high
logsource: {product: aws, service: cloudtrail}
detection: {s: {eventName: Delete}, condition: s}
---
`

// correlation returns a document with a correlation section, indented by two. The section
// begins in line 17, after twoRules.
func correlation(section string) string {
	return twoRules + "title: a correlation\ncorrelation:\n  " + strings.ReplaceAll(strings.TrimSpace(section), "\n", "\n  ") + "\n"
}

func TestCorrelationProblems(t *testing.T) {
	f := func(section string, line int, want string) {
		t.Helper()
		_, problems := problemsOf(correlation(section))
		if len(problems) != 1 || problems[0].Line != line || !strings.Contains(problems[0].Text, want) {
			t.Errorf("%s\nhas the problems %v, want one at line %d with %q", section, problems, line, want)
		}
	}
	const rest = "\nrules: [refused]\ntimespan: 5m\ngroup-by: [a]\ncondition: {gte: 5}"
	for _, kind := range []string{"value_sum", "value_avg", "value_percentile"} {
		f("type: "+kind+rest, 17, "the type "+kind+" is not supported")
	}
	f("type: events"+rest, 17, "is unknown; Keytrail has event_count")
	f("rules: [refused]\ntimespan: 5m", 17, "has no type")
	f("type: event_count\nrules: [refused]\ncondition: {gte: 5}", 17, "has no timespan")
	f("type: event_count\nrules: [refused]\ntimespan: 5m", 17, "has no condition")
	f("type: event_count"+rest+"\nwindow: 5m", 22, `has no key "window"`)
	f("type: event_count\nrules: [nobody]\ntimespan: 5m\ncondition: {gte: 5}", 18, `no rule has the name or the id "nobody"`)
	f("type: event_count\nrules: []\ntimespan: 5m\ncondition: {gte: 5}", 18, "rules has 0 entries")
	f("type: event_count\nrules: [refused, refused]\ntimespan: 5m\ncondition: {gte: 5}", 18, "twice")
	f("type: event_count\nrules: [refused, 11111111]\ntimespan: 5m\ncondition: {gte: 5}", 18, "by its name and by its id")
	f("type: event_count\nrules: [a correlation]\ntimespan: 5m\ncondition: {gte: 5}", 18, "correlations of correlations are not supported")
	for _, span := range []string{"5", "5w", "m", "0s", "31d", "-5m", "1.5h", "5 m", "M5"} {
		f("type: event_count\nrules: [refused]\ntimespan: '"+span+"'\ncondition: {gte: 5}", 19, "timespan is")
	}
	f("type: event_count\nrules: [refused]\ntimespan: 5m\ncondition: {}", 20, "no number that holds")
	f("type: event_count\nrules: [refused]\ntimespan: 5m\ncondition: {ge: 5}", 20, `has no key "ge"`)
	f("type: event_count\nrules: [refused]\ntimespan: 5m\ncondition: {gte: five}", 20, "write a whole number")
	f("type: event_count\nrules: [refused]\ntimespan: 5m\ncondition: {gte: -1}", 20, "write a whole number")
	f("type: event_count\nrules: [refused]\ntimespan: 5m\ncondition: {gte: 5, field: a}", 20, "field belongs to")
	f("type: value_count\nrules: [refused]\ntimespan: 5m\ncondition: {gte: 5}", 20, "has no field")
	f("type: value_count\nrules: [refused]\ntimespan: 5m\ncondition: {field: a, gte: 10001}", 20, "from 0 to 10000")
	f("type: temporal_ordered\nrules: [refused, deleted]\ntimespan: 5m\ncondition: {gte: 2}", 20, "is not supported")
	f("type: event_count\nrules: [refused]\ntimespan: 5m\ngroup-by: [a, a]\ncondition: {gte: 5}", 20, "twice")
	f("type: event_count\nrules: [refused]\ntimespan: 5m\ngroup-by: [a..b]\ncondition: {gte: 5}", 20, "empty part")
	f("type: event_count\nrules: [refused]\ntimespan: 5m\ngroup-by: [a,b,c,d,e,f,g,h,i]\ncondition: {gte: 5}", 20, "at most 8")
	alias := "type: event_count\nrules: [refused, deleted]\ntimespan: 5m\ncondition: {gte: 5}\ngroup-by: [who]\naliases:\n"
	f(alias+"  who: {refused: a}", 23, `says nothing of the rule "Deleted"`)
	f(alias+"  who: {refused: a, deleted: b}\n  other: {refused: a}", 24, `the alias "other" is not used`)
	f(alias+"  who: {refused: a, deleted: b, third: c}", 23, "not one of the correlation's rules")
	f(alias+"  who: name", 23, `the alias "who" is "name"`)
	broken := strings.Replace(correlation("type: event_count\nrules: [refused]\ntimespan: 5m\ncondition: {gte: 5}"), "{errorCode: AccessDenied}", "{'errorCode|expand': x}", 1)
	if _, problems := problemsOf(broken); len(problems) != 2 || !strings.Contains(problems[1].Text, `the rule "refused" is wrong itself`) {
		t.Errorf("a correlation of a broken rule has the problems %v", problems)
	}
	skipped := strings.Replace(broken, "product: aws", "product: okta", 1)
	if rules, problems := problemsOf(skipped); len(problems) != 0 || len(rules.Skipped) != 2 || len(rules.Correlations) != 0 || !strings.Contains(rules.Skipped[1].Reason, "refused") {
		t.Errorf("a correlation of a rule that is left out: %v, %+v", problems, rules.Skipped)
	}
}

// TestCorrelationMeta checks loaded correlations.
func TestCorrelationMeta(t *testing.T) {
	load := func(text string) *Rules { return loadText(t, text) }
	section := "type: event_count\nrules: [refused, 22222222]\ntimespan: 90m\ngroup-by: [a]\ncondition: {gt: 5, lte: 10}"
	rules := load(correlation(section))
	c := rules.Correlations[0]
	if c.Timespan != int64(90*time.Minute) || c.Panes() != 1 || len(c.Rules) != 2 || c.Rules[1].Title != "Deleted" || c.Level != High || c.Kind.String() != "event_count" {
		t.Errorf("the correlation is %+v", c)
	}
	if !rules.List[0].Silent || !rules.List[1].Silent {
		t.Error("rules that only count are not silent")
	}
	for _, text := range []string{correlation(section) + "generate: true\n", correlation(section + "\ngenerate: true")} {
		if again := load(text); again.List[0].Silent || !again.Correlations[0].Generate {
			t.Errorf("generate does not let the rules speak in\n%s", text)
		}
	}
	if c := load(correlation("type: event_count\nrules: [refused]\ntimespan: 90m\ncondition: {gte: 5}") + "level: critical\n").Correlations[0]; c.Level != Critical || c.Panes() != 4 || c.PaneSize() != int64(90*time.Minute)/4 {
		t.Errorf("the correlation is %+v", c)
	}
	if c := load(correlation("type: event_count\nrules: [refused]\ntimespan: 90m\ncondition: {gt: 5, neq: 9}")).Correlations[0]; c.Panes() != 1 {
		t.Errorf("windows overlap although fewer matches can satisfy %+v", c.bounds)
	}
	if c := load(correlation("type: event_count\nrules: [refused]\ntimespan: 90m\ncondition: {gt: 5}")).Correlations[0]; c.Panes() != 4 {
		t.Errorf("windows do not overlap although only more matches can satisfy %+v", c.bounds)
	}
	if again := load(correlation(section)).Correlations[0]; again.Fingerprint != c.Fingerprint {
		t.Error("the same text has another fingerprint")
	}
	if other := load(strings.Replace(correlation(section), "AccessDenied", "Denied", 1)).Correlations[0]; other.Fingerprint == c.Fingerprint {
		t.Error("another rule has the same fingerprint")
	}
}

// TestObservations checks the observations of a match.
func TestObservations(t *testing.T) {
	f := func(section, event string, want ...string) {
		t.Helper()
		rules := loadText(t, correlation(section))
		m := rules.NewMatcher()
		r, err := m.Match([]byte(event))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		values := map[uint64]int{}
		for _, o := range r.Observations {
			text := fmt.Sprintf("%d %s", o.Rule, strings.Join(o.Correlation.Values(o.Group), "|"))
			if o.Correlation.Kind == ValueCount {
				if _, had := values[o.Value]; !had {
					values[o.Value] = len(values)
				}
				text += fmt.Sprintf(" v%d", values[o.Value])
			}
			got = append(got, text)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s\nwith %s gives %q, want %q", section, event, got, want)
		}
	}
	count := "type: event_count\nrules: [refused, deleted]\ntimespan: 5m\ncondition: {gte: 5}\ngroup-by: "
	f(count+"[a.b, c]", `{"errorCode":"AccessDenied","a":{"b":"X"},"c":5}`, "0 X|5")
	f(count+"[a.b, c]", `{"errorCode":"AccessDenied","a":{"b":"X"},"c":null}`)
	f(count+"[a.b, c]", `{"errorCode":"AccessDenied","a":{"b":"X"}}`)
	f(count+"[a.b, c]", `{"errorCode":"other","a":{"b":"X"},"c":5}`)
	f(count+"[a]", `{"errorCode":"AccessDenied","eventName":"delete","a":true}`, "0 true", "1 true")
	f(count+"[a, c]", `{"eventName":"Delete","a":["x","y","x"],"c":[1,2]}`, "1 x|1", "1 x|2", "1 y|1", "1 y|2")
	f(count+"[a]", `{"eventName":"Delete","a":{"k": "v\"w" }}`, `1 {"k":"v"w"}`)
	f("type: event_count\nrules: [refused]\ntimespan: 5m\ncondition: {gte: 5}", `{"errorCode":"AccessDenied"}`, "0 ")
	long := strings.Repeat("é", 300)
	sum := "1 " + strings.Repeat("é", 64) + "...sha256:"
	rules := loadText(t, correlation(count+"[a]"))
	r, err := rules.NewMatcher().Match([]byte(`{"eventName":"Delete","a":"` + long + `"}`))
	if err != nil || len(r.Observations) != 1 || !strings.HasPrefix("1 "+r.Observations[0].Group, sum) || len(r.Observations[0].Group) > maxGroup {
		t.Errorf("a long value gives %+v, %v", r.Observations, err)
	}
	f(count+"[a, b]", `{"eventName":"Delete","a":"x\u001fy","b":"z"}`, "1 x y...sha256:adbbc83fffe5c8ca4ebdb1c5071be05f|z")
	f(count+"[a]", `{"eventName":"Delete","a":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18]}`,
		"1 1", "1 2", "1 3", "1 4", "1 5", "1 6", "1 7", "1 8", "1 9", "1 10", "1 11", "1 12", "1 13", "1 14", "1 15", "1 16")
	values := "type: value_count\nrules: [deleted]\ntimespan: 5m\ncondition: {field: "
	f(values+"a, gte: 5}", `{"eventName":"Delete","a":["x","y","x"]}`, "0  v0", "0  v1")
	f(values+"[a, b], gte: 5}\ngroup-by: [g]", `{"eventName":"Delete","a":["x","xy"],"b":["yz","z"],"g":"G"}`, "0 G v0", "0 G v1", "0 G v2", "0 G v3")
	f(values+"a, gte: 5}", `{"eventName":"Delete"}`)
	f("type: temporal\nrules: [refused, deleted]\ntimespan: 5m\ngroup-by: [who]\naliases:\n  who: {refused: userIdentity.arn, deleted: requestParameters.user}",
		`{"errorCode":"AccessDenied","eventName":"Delete","userIdentity":{"arn":"A"},"requestParameters":{"user":"B"}}`, "0 A", "1 B")
}

// plainFirings judges windows directly from the matches, without tallies.
func plainFirings(c *Correlation, list []timed) (got []string) {
	groups := map[string][]timed{}
	for _, x := range list {
		groups[x.Group] = append(groups[x.Group], x)
	}
	step := c.PaneSize()
	for group, list := range groups {
		slices.SortFunc(list, func(a, b timed) int { return int(a.at - b.at) })
		fires := func(start int64) bool {
			var in []timed
			for _, x := range list {
				if x.at >= start && x.at < start+c.Timespan {
					in = append(in, x)
				}
			}
			return len(in) > 0 && plainHolds(c, in)
		}
		for start := list[0].at/step*step - 4*step; start <= list[len(list)-1].at; start += step {
			if !fires(start) {
				continue
			}
			period := max(int64(24*time.Hour), c.Timespan)
			if c.panes == 1 || !fires(start-step) || start/period != (start-step)/period {
				got = append(got, fmt.Sprint(group, " ", start))
			}
		}
	}
	slices.Sort(got)
	return got
}

func plainHolds(c *Correlation, in []timed) bool {
	values, rules := map[uint64]bool{}, map[int]bool{}
	for _, x := range in {
		values[x.Value], rules[x.Rule] = true, true
	}
	n := len(in)
	switch c.Kind {
	case ValueCount:
		n = len(values)
	case Temporal:
		if n = len(rules); c.bounds == nil {
			return n == len(c.Rules)
		}
	case TemporalOrdered:
		// Matches in one slot of time are in any order: keep only the count.
		piece, next := (c.PaneSize()+63)/64, 0
		for i := 0; i < len(in); {
			together := map[int]bool{}
			from := i
			at := func(x timed) int64 { return x.at/c.PaneSize()*1000 + x.at%c.PaneSize()/piece }
			for ; i < len(in) && at(in[i]) == at(in[from]); i++ {
				together[in[i].Rule] = true
			}
			for together[next] {
				next++
			}
		}
		return next == len(c.Rules)
	}
	return c.holds(int64(n))
}

// timed is a match at a time.
type timed struct {
	Observation
	at int64
}

// TestCounting compares counting, in any order and split in any way, with plainFirings.
func TestCounting(t *testing.T) {
	third := strings.Replace(twoRules, "title: Refused\nid: 11111111\nname: refused", "title: Third\nid: 33333333\nname: third", 1)[:strings.Index(twoRules, "---")-4]
	sections := []string{
		"type: event_count\nrules: [refused, deleted]\ntimespan: 10m\ncondition: {gte: 6}\ngroup-by: [a]",
		"type: event_count\nrules: [refused, deleted]\ntimespan: 7h\ncondition: {gt: 1}\ngroup-by: [a]",
		"type: event_count\nrules: [refused, deleted]\ntimespan: 10m\ncondition: {gt: 3, lt: 6}\ngroup-by: [a]",
		"type: event_count\nrules: [refused, deleted]\ntimespan: 2d\ncondition: {neq: 3}\ngroup-by: [a]",
		"type: value_count\nrules: [refused, deleted]\ntimespan: 10m\ncondition: {gte: 4, field: b}\ngroup-by: [a]",
		"type: value_count\nrules: [refused, deleted]\ntimespan: 1d\ncondition: {eq: 2, field: b}\ngroup-by: [a]",
		"type: temporal\nrules: [refused, deleted, third]\ntimespan: 5m\ngroup-by: [a]",
		"type: temporal\nrules: [refused, deleted, third]\ntimespan: 5m\ngroup-by: [a]\ncondition: {gte: 2}",
		"type: temporal_ordered\nrules: [refused, deleted, third]\ntimespan: 6m\ngroup-by: [a]",
		"type: temporal_ordered\nrules: [deleted, refused]\ntimespan: 1h\ngroup-by: [a]",
	}
	for i, section := range sections {
		rules := loadText(t, third+"\n---\n"+correlation(section))
		c := rules.Correlations[0]
		fired := 0
		for seed := range uint64(200) {
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			var list []timed
			span := c.Timespan * int64(1+r.IntN(12)) / 2
			for range r.IntN(40) {
				at := int64(1_700_000_000) + r.Int64N(span/1e9+1) // whole seconds, as events have them
				list = append(list, timed{Observation{c, r.IntN(len(c.Rules)), fmt.Sprint(r.IntN(2)), uint64(r.IntN(6)) << 61}, at * 1e9})
			}
			want := plainFirings(c, list)
			fired += len(want)
			for range 2 {
				r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
				if got := countedSplit(t, r, c, list); !slices.Equal(got, want) {
					t.Fatalf("%s\nseed %d: %v fire, want %v", section, seed, got, want)
				}
			}
		}
		if fired < 100 {
			t.Errorf("%s fires %d times only", section, fired)
		}
	}
}

// countedSplit counts in three places, sends the tallies as bytes, merges them in any
// order, and judges.
func countedSplit(t *testing.T, r *rand.Rand, c *Correlation, list []timed) (got []string) {
	t.Helper()
	var parts [3]Counter
	for i := range list {
		if err := parts[r.IntN(3)].Add(&list[i].Observation, list[i].at); err != nil {
			t.Fatal(err)
		}
	}
	var whole Counter
	whole.tallies = map[tallyKey]map[int64]*Tally{}
	for _, part := range r.Perm(3) {
		for key, panes := range parts[part].tallies {
			if whole.tallies[key] == nil {
				whole.tallies[key] = map[int64]*Tally{}
			}
			for start, tally := range panes {
				sent, rest, err := c.DecodeTally(tally.Append(nil))
				if err != nil || len(rest) > 0 {
					t.Fatalf("a tally does not come back: %v", err)
				}
				if whole.tallies[key][start] == nil {
					whole.tallies[key][start] = &Tally{}
				}
				whole.tallies[key][start].Merge(c, &sent)
			}
		}
	}
	for _, f := range whole.Firings() {
		got = append(got, fmt.Sprint(f.Group, " ", f.Start))
	}
	slices.Sort(got)
	return got
}

// TestWindows checks that a pane is used by exactly the windows that contain it, until it
// expires.
func TestWindows(t *testing.T) {
	for _, condition := range []string{"{gte: 5}", "{lt: 5}"} {
		c := loadText(t, correlation("type: event_count\nrules: [refused]\ntimespan: 10m\ncondition: "+condition)).Correlations[0]
		for _, at := range []int64{0, 1, -1, 1_700_000_123 * 1e9} {
			pane := c.Pane(at)
			if pane > at || at-pane >= c.PaneSize() || pane%c.PaneSize() != 0 {
				t.Errorf("%d lies in the pane at %d", at, pane)
			}
			asked := map[int64]bool{}
			for start := pane - 20*c.PaneSize(); start < pane+20*c.PaneSize(); start += c.PaneSize() {
				c.Reports(start, func(p int64) *Tally {
					if asked[start] = asked[start] || p == pane; p == pane && start+c.Timespan > c.Expires(pane) {
						t.Errorf("the window at %d asks for the pane at %d, which has expired", start, pane)
					}
					return &Tally{Count: 2}
				})
			}
			for start := range c.Windows(pane) {
				if !asked[start] || at < start || at >= start+c.Timespan {
					t.Errorf("the window at %d does not hold %d", start, at)
				}
			}
			if n := len(slices.Collect(c.Windows(pane))); n != c.Panes() {
				t.Errorf("%d windows hold a pane, want %d", n, c.Panes())
			}
		}
	}
}

// FuzzTally decodes arbitrary bytes: a valid tally encodes to the same bytes, and can be
// judged and merged.
func FuzzTally(f *testing.F) {
	values := loadText(f, correlation("type: value_count\nrules: [refused, deleted]\ntimespan: 5m\ncondition: {gte: 3, field: b}")).Correlations[0]
	ordered := loadText(f, correlation("type: temporal_ordered\nrules: [refused, deleted]\ntimespan: 5m")).Correlations[0]
	f.Add((&Tally{Count: 5, Values: []uint64{1, 7}}).Append(nil))
	f.Add((&Tally{Count: 2, Seen: 3, Slots: []uint64{1, 1 << 63}}).Append(nil))
	f.Add((&Tally{Count: 2, Seen: 4}).Append(nil))
	f.Add((&Tally{Values: []uint64{7, 1}}).Append(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, c := range []*Correlation{values, ordered} {
			tally, rest, err := c.DecodeTally(data)
			if err != nil {
				continue
			}
			again, more, err := c.DecodeTally(append(tally.Append(nil), rest...))
			if err != nil || fmt.Sprint(again) != fmt.Sprint(tally) || len(more) != len(rest) {
				t.Errorf("%+v comes back as %+v, %v", tally, again, err)
			}
			again.Merge(c, &tally)
			c.Reports(0, func(int64) *Tally { return &again })
		}
	})
}
