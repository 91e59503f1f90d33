package stream

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/anomaly"
	"keytrail/processor/sigma"
	"keytrail/processor/telemetry"
	"keytrail/schemas/wire"
)

// This file contains the rules by which stages count and detect judge, and how they change
// while the stages run. Both stages of a process take new rules from Pipeline.judging:
// count between two commits, so that every frame is judged by one set of rules, and
// detect at the latest with the first frame of it, because it looks before each frame.
// Counts do not depend on the rules, except for the counts of matches and anomalies.

// PartConfiguration is the part of the health that the reader of the configuration reports.
const PartConfiguration = "configuration"

// Judging are rules and expected anomalies. It is immutable.
type Judging struct {
	Rules *sigma.Rules // the user's; nil for none
	Allow anomaly.Allow
	// Digest is equal for equal rules and expected anomalies: 16 hexadecimal digits.
	Digest string
}

// NewJudging returns the Judging of the user's rules, nil for none, and of expected
// anomalies.
func NewJudging(rules *sigma.Rules, allow anomaly.Allow) *Judging {
	h := sha256.New()
	if rules != nil {
		for _, print := range rules.Prints {
			fmt.Fprintf(h, "rule %016x\n", print)
		}
	}
	for _, a := range allow {
		fmt.Fprintf(h, "allow %q\n", []string{a.Key, a.Principal, string(a.Kind), a.Detector, string(a.Until)})
	}
	return &Judging{Rules: rules, Allow: allow, Digest: hex.EncodeToString(h.Sum(nil)[:8])}
}

// correlations returns those of the user's rules.
func (j *Judging) correlations() []*sigma.Correlation {
	if j.Rules == nil {
		return nil
	}
	return j.Rules.Correlations
}

// Judging returns the rules that the stages judge by, or are about to.
func (p *Pipeline) Judging() *Judging {
	if p.judging.Load() == nil {
		p.judging.CompareAndSwap(nil, NewJudging(p.Rules, p.Window.Detect.Allow))
	}
	return p.judging.Load()
}

// Judge changes the rules while the stages run. It returns at once; each partition of
// stage count judges by the new rules from its next frame on.
func (p *Pipeline) Judge(j *Judging) {
	p.Judging() // the first, for the log of the change
	if was := p.judging.Swap(j); was.Digest != j.Digest {
		p.Log.Info("the rules have changed", "rules", j.Digest, "before", was.Digest)
	}
	p.Telemetry.Rules(j.Digest)
}

// adopt makes stage count judge by the current rules. Nothing may be processed and not
// committed.
func (c *counter) adopt() {
	j := c.p.Judging()
	if j == c.judging {
		return
	}
	c.judge(j)
	for _, t := range c.tasks {
		if forgotten := t.observe(j); forgotten > 0 {
			c.p.forgot("count", forgotten)
		}
	}
}

// observe makes a task observe the correlations of j. It returns the number of held
// matches of other correlations, which it forgets.
func (t *countTask) observe(j *Judging) (forgotten int) {
	was := t.observed
	t.observed, t.Observe = newObserver(j.Rules), nil
	forgotten = was.passTo(t.observed)
	if t.observed != nil {
		t.Observe = t.observed.observe
	}
	return forgotten
}

// passTo gives the held matches to the observer of other rules, which may be nil, and
// returns the number of those that it does not take.
func (o *observer) passTo(next *observer) (forgotten int) {
	if o == nil {
		return 0
	}
	for id, h := range o.held {
		kept := &observed{counted: h.counted, spent: h.spent}
		for _, s := range h.list {
			if next == nil || next.byPrint[s.Correlation.Fingerprint] == nil {
				forgotten++
				continue
			}
			s.Correlation = next.byPrint[s.Correlation.Fingerprint]
			kept.list = append(kept.list, s)
			kept.bytes += observedBytes + len(s.Group)
		}
		if next != nil && (len(kept.list) > 0 || kept.spent) {
			next.held[id] = kept
			next.bytes += kept.bytes
		}
	}
	return forgotten
}

// adopt makes stage detect judge by the current rules.
func (d *detector) adopt() {
	j := d.p.Judging()
	if j == d.judging {
		return
	}
	d.judging = j
	for _, t := range d.tasks {
		t.engine.Allow(j.Allow)
		if forgotten := t.correlations.Reload(j.correlations(), j.Allow); forgotten > 0 {
			t.news = true // the changelog has to lose them
			d.p.forgot("detect", forgotten)
		}
	}
	clear(d.others)
	d.tellOthers()
}

// heard notes by which rules the calls of a frame were judged, and by which process.
func (d *detector) heard(r *kgo.Record, source int32) {
	if source < 0 {
		return // a notice, of another stage detect
	}
	maker := ""
	for i := range r.Headers {
		if r.Headers[i].Key == wire.HeaderRules {
			maker = string(r.Headers[i].Value)
		}
	}
	digest, _, _ := strings.Cut(maker, " ")
	if digest == "" || digest == d.judging.Digest {
		maker = ""
	}
	if d.others[source] == maker {
		return
	}
	if d.others[source] = maker; maker == "" {
		delete(d.others, source)
	}
	d.tellOthers()
}

// tellOthers reports the processes whose rules differ from those of this one.
func (d *detector) tellOthers() {
	makers := slices.Compact(slices.Sorted(maps.Values(d.others)))
	one := d.p.partOf("detect", "")
	if one == nil {
		return
	}
	d.p.Telemetry.RulesDiffer(len(makers))
	if len(makers) == 0 {
		one.health.Clear(telemetry.RulesDiffer)
		return
	}
	for i, maker := range makers {
		digest, process, _ := strings.Cut(maker, " ")
		makers[i] = fmt.Sprintf("process %s has %s", cmp.Or(process, "?"), digest)
	}
	text := strings.Join(makers, ", ")
	one.health.Report(telemetry.RulesDiffer, "this process has the rules %s, %s; give all processes the same rules, and "+
		"reload them", d.judging.Digest, text)
	d.p.Log.Warn("processes judge by different rules; give all the same, and reload them", "rules", d.judging.Digest,
		"others", text)
}

// maker returns the header of a frame of this process.
func (c *counter) maker() []kgo.RecordHeader {
	return []kgo.RecordHeader{{Key: wire.HeaderRules, Value: []byte(c.judging.Digest + " " + c.p.Process)}}
}
