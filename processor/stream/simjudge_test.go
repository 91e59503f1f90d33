package stream

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/anomaly"
	"keytrail/processor/eventtime"
	"keytrail/processor/internal/oracle"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
	"keytrail/schemas/wire"
)

// simWindow is the last revision of a window.
type simWindow struct {
	calls, denied, failed int64
	trail                 int64  // changes of trails, which are not calls
	bound                 string // the key that its name resolved to
	firsts, rules         int64  // anomalies of pairs, and of single calls: both count in three windows
	revision              int64
	final                 bool
}

// counts are the records that the oracle knows.
func (w simWindow) counts() simWindow {
	return simWindow{calls: w.calls, denied: w.denied, failed: w.failed, trail: w.trail, bound: w.bound}
}

// simName names a window.
type simName struct {
	scope, key, principal string
	start, size           int64 // size is 0 unless the window is a roll-up
}

// judged compares the final contents of the topics with the oracle.
func (s *sim) judged() {
	if len(s.faults) > 0 {
		return
	}
	letters := s.fates()
	got := s.windows()
	want := map[simName]simWindow{}
	bound := s.p.Window.Detect.Retention == time.Duration(oracle.Retention)
	for _, r := range s.load.judge.Result().Rows {
		w := simWindow{calls: int64(r.Calls), denied: int64(r.Denied), failed: int64(r.Failed), trail: int64(r.Classes["trail"])}
		if bound {
			w.bound = r.Bound
		}
		want[simName{r.Scope, r.Key, r.Principal, r.Start.UnixNano(), 0}] = w
		for _, size := range s.p.Window.Detect.Rollups {
			name := simName{r.Scope, r.Key, r.Principal, eventtime.Start(r.Start.UnixNano(), size), size}
			sum := want[name]
			want[name] = simWindow{calls: sum.calls + w.calls, denied: sum.denied + w.denied, failed: sum.failed + w.failed, trail: sum.trail + w.trail}
		}
	}
	for name, w := range got {
		if !bound || name.size != 0 {
			w.bound = ""
		}
		g, expected := w.counts(), want[name]
		if expected.calls == 0 { // all its calls were credited to others: its binding does not matter
			g.bound = ""
			s.stats["windows left empty"]++
		}
		if g != expected {
			s.fault("window %v: %+v, want %+v", name, w, expected)
		}
		if w.revision > 1 {
			s.stats["refined windows"]++
		}
		if !w.final {
			s.fault("window %v did not close", name)
		}
	}
	for name, w := range want {
		if _, ok := got[name]; !ok {
			s.fault("window %v is missing: %+v", name, w)
		}
	}
	s.stats["windows"], s.stats["calls"] = len(got), s.load.made
	s.letters(letters)
	s.anomalies(got)
	s.ledger()
	s.incidents()
	s.lives()
	s.read(s.p.Topics.Partials, func(r *kgo.Record) {
		if f, err := wire.NewDecoder(r.Value).Frame(); err == nil && f.Idle {
			s.stats["frames of idle sources"]++
		}
	})
	if s.stamped && s.rng.IntN(3) == 0 {
		s.startOver()
	}
}

// read calls f for each record that a consumer of a topic sees.
func (s *sim) read(topic string, f func(*kgo.Record)) {
	for _, l := range s.b.logs[topic] {
		for offset := range l.stable() {
			if r := s.b.fetch(l, offset); r != nil {
				f(r)
			}
		}
	}
}

// windows returns the last revision of every window. Revisions only grow.
func (s *sim) windows() map[simName]simWindow {
	got := map[simName]simWindow{}
	var rec otellog.Record
	s.read(s.p.Topics.Windows, func(r *kgo.Record) {
		if err := rec.Decode(r.Value); err != nil {
			s.fault("a window record: %v", err)
			return
		}
		name, w := windowOf(&rec)
		old, known := got[name]
		if w.final != (w.revision > 0) || known && (w.revision < old.revision || w.final && w.revision == old.revision) {
			s.fault("window %v: revision %d after %d", name, w.revision, old.revision)
		}
		got[name] = w
	})
	return got
}

func windowOf(rec *otellog.Record) (simName, simWindow) {
	n := func(name string) int64 {
		if a := rec.Get(name); a != nil {
			return a.Int
		}
		return 0
	}
	key, bound := rec.Str(semconv.AWSKMSKeyARN), rec.Str(semconv.AWSKMSKeyPrimaryARN)
	if alias := rec.Str(semconv.AWSKMSAliasARN); alias != "" {
		if bound = ""; key != alias {
			bound = key
		}
		key = alias
	}
	name := simName{scope: strings.Clone(rec.Str(semconv.KeytrailWindowScope)), key: strings.Clone(key), principal: strings.Clone(rec.Str(semconv.KeytrailPrincipalID)), start: rec.Time}
	if rec.Get(semconv.KeytrailWindowRollup) != nil {
		end, _ := time.Parse(time.RFC3339, rec.Str(semconv.KeytrailWindowEnd))
		name.size = end.UnixNano() - rec.Time
	}
	return name, simWindow{
		calls: n(semconv.KeytrailWindowCallsTotal), denied: n(semconv.KeytrailWindowDenied), failed: n(semconv.KeytrailWindowFailed),
		trail: n(semconv.KeytrailWindowCallsTrail), bound: strings.Clone(bound),
		firsts: n(semconv.KeytrailWindowAnomaliesFirstSeen), rules: n(semconv.KeytrailWindowAnomaliesRule),
		revision: n(semconv.KeytrailWindowRevision), final: rec.Str(semconv.KeytrailWindowState) == "final",
	}
}

// letters checks the dead letters.
func (s *sim) letters(want map[string]int) {
	got := map[string]int{}
	s.read(s.p.Topics.DeadLetter, func(r *kgo.Record) {
		header := map[string]string{}
		for _, h := range r.Headers {
			header[h.Key] = string(h.Value)
		}
		got[header["stage"]+" "+header["reason"]]++
		s.stats["dead letters"]++
	})
	for what, n := range s.load.letters {
		want[what] += n
		if s.lossy && got[what] < want[what] && got[what] >= want[what]-n { // some expired unread
			want[what] = got[what]
		}
	}
	if n := got["count late"] - want["count late"]; n >= 0 && n <= s.load.either {
		want["count late"] = got["count late"]
	}
	maps.DeleteFunc(want, func(_ string, n int) bool { return n == 0 })
	maps.DeleteFunc(got, func(_ string, n int) bool { return n == 0 })
	if !maps.Equal(got, want) {
		s.fault("dead letters %v, want %v and up to %d more that are late", got, want, s.load.either)
	}
}

// String formats a window for a fault.
func (n simName) String() string {
	return fmt.Sprintf("%s %q %q %s %v", n.scope, n.key, n.principal, time.Unix(0, n.start).UTC().Format(time.RFC3339), time.Duration(n.size))
}

// anomalies checks that an anomaly of a pair was published once, and counts once in the
// windows of the pair, its key and its principal, and in all their roll-ups. It checks
// the sums for anomalies of rules as well.
func (s *sim) anomalies(got map[simName]simWindow) {
	type sums struct{ firsts, rules int64 }
	want, pairs := map[simName]sums{}, 0
	for pair, w := range got {
		if pair.scope != "pair" || pair.size != 0 {
			continue
		}
		pairs += int(w.firsts)
		for _, n := range []simName{pair, {scope: "key", key: pair.key}, {scope: "principal", principal: pair.principal}} {
			for _, n.size = range append([]int64{0}, s.p.Window.Detect.Rollups...) {
				n.start = eventtime.Start(pair.start, max(n.size, s.p.Window.Detect.Size))
				want[n] = sums{want[n].firsts + w.firsts, want[n].rules + w.rules}
			}
		}
	}
	for name, w := range got {
		if (want[name] != sums{w.firsts, w.rules}) {
			s.fault("window %v counts %d anomalies of pairs and %d of rules; its pairs have %+v", name, w.firsts, w.rules, want[name])
		}
	}
	published := map[string]int{}
	var rec otellog.Record
	s.read(s.p.Topics.Anomalies, func(r *kgo.Record) {
		if err := rec.Decode(r.Value); err != nil {
			s.fault("an anomaly record: %v", err)
		} else if len(rec.Str(semconv.KeytrailAnomalyRules)) != 16 {
			s.fault("anomaly %s carries the digest %q", rec.Str(semconv.KeytrailAnomalyID), rec.Str(semconv.KeytrailAnomalyRules))
		} else if url := rec.Str(semconv.KeytrailAnomalyURL); url != "https://page/anomaly?id="+rec.Str(semconv.KeytrailAnomalyID) {
			s.fault("anomaly %s links to %q", rec.Str(semconv.KeytrailAnomalyID), url)
		} else if rec.Str(semconv.KeytrailAnomalyKind) == "first_seen" && rec.Str(semconv.KeytrailAnomalyState) == anomaly.StateOpen {
			published[strings.Clone(rec.Str(semconv.KeytrailAnomalyID))]++
		}
	})
	s.stats["anomalies of pairs"] = pairs
	if n := slices.Max(append(slices.Collect(maps.Values(published)), 0)); n > 1 || len(published) != pairs {
		s.fault("%d anomalies of pairs were published, some %d times; the windows have %d", len(published), n, pairs)
	}
}

// verdict runs the schedule of a seed and returns the first fault, or "".
func verdict(seed uint64, wrong sabotage, tools *simTools) (v string, s *sim) {
	s = newSim(seed, wrong, tools)
	defer func() {
		if r := recover(); r != nil && wrong != sound { // a sabotaged stage may panic
			v = fmt.Sprint(r)
		} else if r != nil {
			panic(fmt.Sprintf("seed %d: %v", seed, r))
		}
	}()
	s.run()
	s.judged()
	return strings.Join(s.faults[:min(len(s.faults), 12)], "\n"), s
}
