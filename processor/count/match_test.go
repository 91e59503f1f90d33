package count

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"testing"

	"keytrail/processor/sigma"
	"keytrail/schemas/aws/normalize"
	"keytrail/schemas/otellog"
	"keytrail/schemas/wire"
)

// rulesOf loads rules whose detections these are, of rising levels.
func rulesOf(t testing.TB, detections ...string) *sigma.Rules {
	t.Helper()
	var l sigma.Loader
	for i, d := range detections {
		l.File(fmt.Sprint(i, ".yml"), fmt.Appendf(nil, "title: Rule %d\nid: r%d\nlevel: %s\nlogsource: {product: aws, service: cloudtrail}\ndetection: {s: {%s}, condition: s}\n", i, i, sigma.Level(i*5/len(detections)), d))
	}
	rules, problems := l.Rules()
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return rules
}

func TestMatcher(t *testing.T) {
	f := func(event string, o normalize.Options, rules *sigma.Rules, want ...string) (Call, error) {
		t.Helper()
		rec, call := record(t, event, o), Call{}
		FromRecord(rec, &call)
		found, err := NewMatcher(rules).Match(rec, &call)
		var got []string
		for _, r := range found.Rules {
			got = append(got, r.ID)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("rules %q, want %q", got, want)
		}
		return call, err
	}
	principal := "arn:aws:iam::111122223333:role/payments"
	all := rulesOf(t, "eventName: Decrypt", "sourceIPAddress: 192.0.2.7", "eventName: Encrypt")
	for _, c := range []struct {
		o       normalize.Options
		event   string // "" is decrypt
		rules   *sigma.Rules
		want    []string
		matched uint16
		err     error
	}{
		{rules: nil},
		{rules: rulesOf(t, "eventName: Encrypt")},
		{rules: all, want: []string{"r0", "r1"}, matched: 2},
		{rules: all, o: normalize.Options{SelfPrincipals: []string{principal}}, event: change(t, `"SecretARN"`, `"aws:cloudtrail:arn"`)}, // the collector's own
		{rules: all, o: normalize.Options{SelfPrincipals: []string{principal}}, want: []string{"r0", "r1"}, matched: 2},                  // no file of a trail
		{rules: all, o: normalize.Options{OmitBody: true}, err: ErrNoBody},
		{rules: rulesOf(t, "eventName: Encrypt"), o: normalize.Options{OmitBody: true}}, // none would have matched
	} {
		if call, err := f(cmp.Or(c.event, decrypt), c.o, c.rules, c.want...); call.Matched != c.matched || !errors.Is(err, c.err) || c.err == nil && err != nil {
			t.Errorf("%d rules matched, %v; want %d, %v", call.Matched, err, c.matched, c.err)
		}
	}
	// A body that is not an event, as of a foreign producer, is an error and matches no rule.
	rec, call := record(t, decrypt, normalize.Options{}), Call{}
	rec.Body = "no event"
	if _, err := NewMatcher(all).Match(rec, &call); err == nil || call.Matched != 0 {
		t.Errorf("a body that is no JSON: %v, %d rules", err, call.Matched)
	}
}

// A call that matches more rules than are told keeps those of the highest levels, and
// counts all.
func TestManyFindings(t *testing.T) {
	var detections []string
	for range 100 {
		detections = append(detections, "eventName: Decrypt")
	}
	rec, call := record(t, decrypt, normalize.Options{}), Call{}
	found, err := NewMatcher(rulesOf(t, detections...)).Match(rec, &call)
	if err != nil || call.Matched != 100 || len(found.Rules) != MaxFindings {
		t.Fatalf("%v: %d of %d rules", err, len(found.Rules), call.Matched)
	}
	for i, r := range found.Rules {
		if r.Level != sigma.Critical || r.ID != fmt.Sprint("r", 80+i) {
			t.Errorf("rule %d is %s of level %s", i, r.ID, r.Level)
		}
	}
}

// Rules of the user count where the always-on rules do, and what was counted can be
// taken back.
func TestMatchedCount(t *testing.T) {
	table := NewTable(int64(300e9))
	call := Call{IDText: "a", Time: 1, Key: "key", Principal: "p", Rules: 1, Matched: 3}
	table.Add(&call, 1)
	if table.Len() != 3 {
		t.Fatalf("%d partials", table.Len())
	}
	for p := range table.All() {
		if n := Get(p, wire.CounterRule); n != 4 {
			t.Errorf("%s: %d rules, want 4", p.Scope, n)
		}
	}
	table.Add(&call, -1)
	for p := range table.All() {
		if !NoCounts(p) {
			t.Errorf("%s: what was taken back is still counted: %+v", p.Scope, p.Counters)
		}
	}
}

// A call that matches nothing costs no memory, with the rules looking into its body or
// not.
func TestMatchAllocatesNothing(t *testing.T) {
	for _, detection := range []string{"eventName: Encrypt", "eventName: Decrypt, userAgent|contains: nobody"} {
		m, rec, call := NewMatcher(rulesOf(t, detection)), record(t, decrypt, normalize.Options{}), Call{}
		match := func(rec *otellog.Record) {
			if _, err := m.Match(rec, &call); err != nil || call.Matched != 0 {
				t.Fatalf("%v, %d rules", err, call.Matched)
			}
		}
		match(rec)
		if n := testing.AllocsPerRun(100, func() { match(rec) }); n != 0 {
			t.Errorf("%s: %v allocations for an event", strings.TrimSpace(detection), n)
		}
	}
}
