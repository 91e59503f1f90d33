package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
	"keytrail/schemas/wire"
)

// verdict is the result of the judge.
type verdict struct {
	mismatches       int // windows that differ from the oracle's or the plain count, and violated balances
	lost, duplicated int // calls in the windows of keys and of a correlation, and log records
	kills, events    int
}

func (v verdict) clean() bool { return v.mismatches == 0 && v.lost == 0 && v.duplicated == 0 }

func (v verdict) line() string {
	return fmt.Sprintf("mismatches %d, lost %d, duplicated %d, kills %d, events %d", v.mismatches, v.lost,
		v.duplicated, v.kills, v.events)
}

// counts are the compared parts of a window.
type counts struct {
	calls, denied, failed int
	trail                 int // changes of trails, which are not calls
	final                 bool
	revision              int64
	firstSeen             int    // pairs' anomalies of this kind
	key, principal, start string // of a pair
}

func (c counts) same(d counts) bool {
	return c.calls == d.calls && c.denied == d.denied && c.failed == d.failed && c.trail == d.trail && c.final == d.final
}

// empty reports whether a window has no calls left: better copies credited them to
// another principal.
func (c counts) empty() bool { return c.calls == 0 && c.denied == 0 && c.failed == 0 && c.trail == 0 }

// quiet is how long the output must stay unchanged for the work to count as done.
const quiet = 45 * time.Second

// judge waits until the final windows equal the oracle's, or until nothing changes any
// more, and returns the differences.
func judge(ctx context.Context, brokers []string, l *load) (verdict, error) {
	want := expected(l)
	var v verdict
	for last, since := -1, time.Now(); ; {
		got, revisions, err := windows(ctx, brokers)
		if err != nil {
			return v, err
		}
		correlated, err := published(ctx, brokers)
		if err != nil {
			return v, err
		}
		v = compare(got, want)
		correlated.compare(l.operations, &v)
		v.events = len(l.records)
		if v.clean() {
			break
		}
		if revisions != last {
			last, since = revisions, time.Now()
		} else if time.Since(since) > quiet {
			explain(got, want)
			correlated.explain(l.operations)
			break
		}
		pause(ctx, 3*time.Second)
		if ctx.Err() != nil {
			return v, ctx.Err()
		}
	}
	return v, balance(ctx, brokers, l, &v)
}

// expected are the oracle's windows by name, and the roll-ups that sum them.
func expected(l *load) map[string]counts {
	want := map[string]counts{}
	for _, r := range l.want.Rows {
		want[name(r.Scope, r.Key, r.Principal, r.Start.UTC().Format(time.RFC3339))] = counts{calls: r.Calls,
			denied: r.Denied, failed: r.Failed, trail: r.Classes["trail"], final: true}
		n := name(r.Scope, r.Key, r.Principal, r.Start.UTC().Truncate(time.Hour).Format(time.RFC3339)) + hourly
		sum := want[n]
		want[n] = counts{calls: sum.calls + r.Calls, denied: sum.denied + r.Denied, failed: sum.failed + r.Failed,
			trail: sum.trail + r.Classes["trail"], final: true}
	}
	return want
}

// hourly ends the names of roll-ups.
const hourly = " for an hour"

func name(scope, key, principal, start string) string {
	return strings.Join([]string{scope, key, principal, start}, " ")
}

// windows reads the windows topic: the highest revision of each window, and the number of
// all revisions.
func windows(ctx context.Context, brokers []string) (got map[string]counts, revisions int, err error) {
	got = map[string]counts{}
	var rec otellog.Record
	err = read(ctx, brokers, topics.Windows, func(r *kgo.Record) error {
		revisions++
		if err := rec.Decode(r.Value); err != nil {
			return err
		}
		text := rec.Str(semconv.KeytrailWindowStart)
		// An alias keeps its windows, whatever key it refers to.
		key := cmp.Or(rec.Str(semconv.AWSKMSAliasARN), rec.Str(semconv.AWSKMSKeyARN))
		w := counts{
			calls: number(&rec, semconv.KeytrailWindowCallsTotal), denied: number(&rec, semconv.KeytrailWindowDenied),
			failed: number(&rec, semconv.KeytrailWindowFailed),
			trail:  number(&rec, semconv.KeytrailWindowCallsTrail),
			final:  rec.Str(semconv.KeytrailWindowState) == "final", revision: int64(number(&rec,
				semconv.KeytrailWindowRevision)),
		}
		w.firstSeen = number(&rec, semconv.KeytrailWindowAnomaliesFirstSeen)
		scope, principal := rec.Str(semconv.KeytrailWindowScope), rec.Str(semconv.KeytrailPrincipalID)
		n := name(scope, key, principal, text)
		if rec.Get(semconv.KeytrailWindowRollup) != nil {
			n += hourly
		} else if scope == "pair" {
			w.key, w.principal, w.start = strings.Clone(key), strings.Clone(principal), strings.Clone(text)
		}
		if old, ok := got[n]; !ok || w.revision >= old.revision {
			got[n] = w
		}
		return nil
	})
	return got, revisions, err
}

func number(rec *otellog.Record, key string) int {
	if a := rec.Get(key); a != nil {
		return int(a.Int)
	}
	return 0
}

// compare counts the differing windows, and the lost and duplicated calls in the windows
// of keys.
func compare(got, want map[string]counts) (v verdict) {
	differ := func(n string, g, w counts) {
		if g.same(w) {
			return
		}
		v.mismatches++
		if strings.HasPrefix(n, "key ") {
			v.lost += max(0, w.calls-g.calls)
			v.duplicated += max(0, g.calls-w.calls)
		}
	}
	for n, w := range want {
		differ(n, got[n], w)
	}
	for n, g := range got {
		if _, ok := want[n]; !ok && !g.empty() {
			differ(n, g, counts{})
		}
	}
	for n, sum := range shared(got) {
		if got[n].firstSeen != sum {
			v.mismatches++
		}
	}
	return v
}

// shared adds the first uses of pairs to the expected windows of their KMS keys and
// principals.
func shared(got map[string]counts) map[string]int {
	sums := map[string]int{}
	for _, g := range got {
		if g.start != "" {
			sums[name("key", g.key, "", g.start)] += g.firstSeen
			sums[name("principal", "", g.principal, g.start)] += g.firstSeen
		}
	}
	return sums
}

// explain prints some of the differences.
func explain(got, want map[string]counts) {
	for n, sum := range shared(got) {
		if got[n].firstSeen != sum {
			say("%s: %d first uses, its pairs have %d", n, got[n].firstSeen, sum)
		}
	}
	all := maps.Clone(want)
	maps.Copy(all, got)
	left := 20
	for n := range all {
		if g, w := got[n], want[n]; !g.same(w) && !(w == counts{} && g.empty()) && left > 0 {
			left--
			say("%s: got %+v, want %+v", n, g, w)
		}
	}
}

// balance checks that every sent record became one log record, a dead letter with its
// reason, or was filtered.
func balance(ctx context.Context, brokers []string, l *load, v *verdict) error {
	records := 0
	if err := read(ctx, brokers, topics.Events, func(*kgo.Record) error { records++; return nil }); err != nil {
		return err
	}
	v.lost += max(0, l.wanted-records)
	v.duplicated += max(0, records-l.wanted)
	letters := map[string]int{}
	err := read(ctx, brokers, topics.DeadLetter, func(r *kgo.Record) error {
		for _, h := range r.Headers {
			if h.Key == "reason" {
				letters[string(h.Value)]++
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	late := letters["late"] - l.letters["late"]
	letters["late"] = l.letters["late"]
	if records != l.wanted || !maps.Equal(letters, l.letters) || late < 0 || late > l.either {
		v.mismatches++
		say("%d log records, want %d; dead letters %v and %d that are late, want %v and up to %d", records, l.wanted,
			letters, late, l.letters, l.either)
	}
	idle, err := idleFrames(ctx, brokers)
	if err == nil && idle == 0 {
		err = errors.New("no source has fallen idle: this tests too little")
	}
	say("%d better copies came too late, %d of them when their ids were forgotten; %d frames of idle sources",
		l.either, late, idle)
	return err
}

// idleFrames counts the frames in which a source declares itself idle.
func idleFrames(ctx context.Context, brokers []string) (n int, err error) {
	err = read(ctx, brokers, topics.Partials, func(r *kgo.Record) error {
		f, err := wire.NewDecoder(r.Value).Frame()
		if err == nil && f.Idle {
			n++
		}
		return err
	})
	return n, err
}
