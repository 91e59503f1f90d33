package telemetry

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// rules is the state of a process's rules and configuration, for its gauges.
type rules struct {
	mu      sync.Mutex // guards what follows
	digest  string     // "" before the first rules
	differ  int
	applied time.Time // when the running configuration was applied
	refused bool
}

// newRules adds the gauges of the rules and the configuration, and begins their counters.
func (t *Telemetry) newRules() error {
	t.reloads = labeled{counter: t.inst.reloads, label: labelOutcome}
	t.reloads.add("applied", 0)
	t.reloads.add("refused", 0)
	t.rules.applied = time.Now()
	_, err := t.Meter().RegisterCallback(func(_ context.Context, o metric.Observer) error {
		r := &t.rules
		r.mu.Lock()
		defer r.mu.Unlock()
		o.ObserveInt64(t.inst.reloadRefused, oneIf(r.refused))
		o.ObserveFloat64(t.inst.applied, seconds1970(r.applied))
		o.ObserveInt64(t.inst.rulesDiffer, int64(r.differ))
		if r.digest != "" {
			o.ObserveInt64(t.inst.rulesInfo, 1, metric.WithAttributes(attribute.String(labelDigest, r.digest)))
		}
		return nil
	}, t.inst.reloadRefused, t.inst.applied, t.inst.rulesDiffer, t.inst.rulesInfo)
	return err
}

// Rules sets the digest of the rules by which the process judges.
func (t *Telemetry) Rules(digest string) {
	t.rules.mu.Lock()
	defer t.rules.mu.Unlock()
	t.rules.digest = digest
}

// RulesDiffer sets the number of processes that judge by other rules.
func (t *Telemetry) RulesDiffer(processes int) {
	t.rules.mu.Lock()
	defer t.rules.mu.Unlock()
	t.rules.differ = processes
}

// Reloaded counts a change of the configuration: applied, or refused as a whole.
func (t *Telemetry) Reloaded(applied bool) {
	t.rules.mu.Lock()
	defer t.rules.mu.Unlock()
	t.rules.refused = !applied
	if applied {
		t.rules.applied = time.Now()
		t.reloads.add("applied", 1)
		return
	}
	t.reloads.add("refused", 1)
}

// seconds1970 returns a time in seconds since 1970, to the millisecond.
func seconds1970(at time.Time) float64 { return float64(at.UnixMilli()) / 1000 }
