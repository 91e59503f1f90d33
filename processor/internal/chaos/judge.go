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

	"keytrail/processor/internal/chaostest"
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
	chaostest.Counts
	revision              int64
	firstSeen             int    // pairs' anomalies of this kind
	key, principal, start string // of a pair
}

// quiet is how long the output must stay unchanged for the work to count as done.
const quiet = 45 * time.Second

// judge waits until the final windows equal the oracle's, or until nothing changes any
// more, and returns the differences.
func judge(ctx context.Context, brokers []string, l *load) (verdict, error) {
	want := chaostest.Expected(l.want)
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
		chaostest.Pause(ctx, 3*time.Second)
		if ctx.Err() != nil {
			return v, ctx.Err()
		}
	}
	return v, balance(ctx, brokers, l, &v)
}

// windows reads the windows topic: the highest revision of each window, and the number of
// all revisions.
func windows(ctx context.Context, brokers []string) (got map[string]counts, revisions int, err error) {
	got = map[string]counts{}
	var rec otellog.Record
	err = chaostest.Read(ctx, brokers, topics.Windows, func(r *kgo.Record) error {
		revisions++
		if err := rec.Decode(r.Value); err != nil {
			return err
		}
		text := rec.Str(semconv.KeytrailWindowStart)
		// An alias keeps its windows, whatever key it refers to.
		key := cmp.Or(rec.Str(semconv.AWSKMSAliasARN), rec.Str(semconv.AWSKMSKeyARN))
		w := counts{Counts: chaostest.Counts{
			Calls: number(&rec, semconv.KeytrailWindowCallsTotal), Denied: number(&rec, semconv.KeytrailWindowDenied),
			Failed: number(&rec, semconv.KeytrailWindowFailed),
			Trail:  number(&rec, semconv.KeytrailWindowCallsTrail),
			Final:  rec.Str(semconv.KeytrailWindowState) == "final",
		}, revision: int64(number(&rec, semconv.KeytrailWindowRevision))}
		w.firstSeen = number(&rec, semconv.KeytrailWindowAnomaliesFirstSeen)
		scope, principal := rec.Str(semconv.KeytrailWindowScope), rec.Str(semconv.KeytrailPrincipalID)
		rollup := rec.Get(semconv.KeytrailWindowRollup) != nil
		n := chaostest.Name(scope, key, principal, text, rollup)
		if !rollup && scope == "pair" {
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
func compare(got map[string]counts, want map[string]chaostest.Counts) (v verdict) {
	differ := func(n string, g, w chaostest.Counts) {
		if g == w {
			return
		}
		v.mismatches++
		if strings.HasPrefix(n, "key ") {
			v.lost += max(0, w.Calls-g.Calls)
			v.duplicated += max(0, g.Calls-w.Calls)
		}
	}
	for n, w := range want {
		differ(n, got[n].Counts, w)
	}
	for n, g := range got {
		if _, ok := want[n]; !ok && !g.Empty() {
			differ(n, g.Counts, chaostest.Counts{})
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
			sums[chaostest.Name("key", g.key, "", g.start, false)] += g.firstSeen
			sums[chaostest.Name("principal", "", g.principal, g.start, false)] += g.firstSeen
		}
	}
	return sums
}

// explain prints some of the differences.
func explain(got map[string]counts, want map[string]chaostest.Counts) {
	for n, sum := range shared(got) {
		if got[n].firstSeen != sum {
			chaostest.Say("%s: %d first uses, its pairs have %d", n, got[n].firstSeen, sum)
		}
	}
	left := 20
	show := func(n string) {
		g, w := got[n].Counts, want[n]
		if g != w && !(w == chaostest.Counts{} && g.Empty()) && left > 0 {
			left--
			chaostest.Say("%s: got %+v, want %+v", n, g, w)
		}
	}
	for n := range want {
		show(n)
	}
	for n := range got {
		if _, ok := want[n]; !ok {
			show(n)
		}
	}
}

// balance checks that every sent record became one log record, a dead letter with its
// reason, or was filtered.
func balance(ctx context.Context, brokers []string, l *load, v *verdict) error {
	records := 0
	err := chaostest.Read(ctx, brokers, topics.Events, func(*kgo.Record) error { records++; return nil })
	if err != nil {
		return err
	}
	v.lost += max(0, l.wanted-records)
	v.duplicated += max(0, records-l.wanted)
	letters := map[string]int{}
	err = chaostest.Read(ctx, brokers, topics.DeadLetter, func(r *kgo.Record) error {
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
		chaostest.Say("%d log records, want %d; dead letters %v and %d that are late, want %v and up to %d", records,
			l.wanted, letters, late, l.letters, l.either)
	}
	idle, err := idleFrames(ctx, brokers)
	if err == nil && idle == 0 {
		err = errors.New("no source has fallen idle: this tests too little")
	}
	chaostest.Say("%d better copies came too late, %d of them when their ids were forgotten; %d frames of idle sources",
		l.either, late, idle)
	return err
}

// idleFrames counts the frames in which a source declares itself idle.
func idleFrames(ctx context.Context, brokers []string) (n int, err error) {
	err = chaostest.Read(ctx, brokers, topics.Partials, func(r *kgo.Record) error {
		f, err := wire.NewDecoder(r.Value).Frame()
		if err == nil && f.Idle {
			n++
		}
		return err
	})
	return n, err
}
