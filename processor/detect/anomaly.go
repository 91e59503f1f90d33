package detect

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"

	"keytrail/processor/baseline"
	"keytrail/processor/rule"
	"keytrail/schemas/kms"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
	"keytrail/schemas/wire"
)

// Kind is what an anomaly is about: the value of keytrail.anomaly.kind.
type Kind string

// The kinds that are found today.
const (
	KindRate      Kind = "rate"
	KindFirstSeen Kind = "first_seen"
	KindFanOut    Kind = "fan_out"
	KindRefusals  Kind = "refusals"
	KindRule      Kind = "rule"
	KindSilence   Kind = "silence"
	KindBlindSpot Kind = "blind_spot"
)

// Kinds are all of them.
var Kinds = []Kind{KindRate, KindSilence, KindFirstSeen, KindFanOut, KindRefusals, KindRule, KindBlindSpot}

// Anomaly is one finding about one window of one entity.
type Anomaly struct {
	ID       string // the same whenever the same anomaly is found again
	Kind     Kind
	Detector string // the detector's or the rule's name
	Score    float64
	Reason   string // the sentence
	Observed float64
	Expected float64
	Since    int64 // since when the entity is watched, ns; 0 in those of rules
	// Contributors are what most of the calls have in common, each with its number, the
	// largest first: see contributors.
	Contributors []string
	Calls        []string
	Techniques   []string
	wire.Entity
	Bound      *wire.Binding // as that of its window; nil in those of rules, which are published before their window
	Start, End int64         // the window, ns
	// Began is the start of the first window of an anomaly that goes on; else Start.
	Began int64
}

// counter is the window counter that counts anomalies of a's kind.
func (a *Anomaly) counter() wire.CounterID {
	switch a.Kind {
	case KindRate:
		return wire.CounterRate
	case KindFirstSeen:
		return wire.CounterFirstSeen
	case KindFanOut:
		return wire.CounterFanOut
	case KindRefusals:
		return wire.CounterRefusals
	case KindSilence:
		return wire.CounterSilence
	case KindBlindSpot:
		return wire.CounterBlindSpot
	}
	return wire.CounterRule
}

// Severity returns the score in words: low, medium (from 6), high (from 8),
// critical (from 10).
func (a *Anomaly) Severity() string {
	switch {
	case a.Score >= 10:
		return "critical"
	case a.Score >= 8:
		return "high"
	case a.Score >= 6:
		return "medium"
	}
	return "low"
}

// id makes an id of what identifies an anomaly: 128 bits of a SHA-256, in
// hexadecimal.
func id(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// WindowID returns the id of a window: the same for every revision.
func WindowID(e wire.Entity, start, size int64) string {
	return id("window", e.StateKey(), strconv.FormatInt(start, 10), strconv.FormatInt(size, 10))
}

// finish completes what a detector found in w; began is the start of the first window
// in which it found it.
func (e *Engine) finish(a Anomaly, d *detector, ent *Entity, w *Window, began int64) Anomaly {
	a.Kind, a.Detector, a.Entity, a.Bound = d.kind, d.name, ent.Entity, e.bound(ent.Entity, w.Start)
	a.Start, a.End, a.Began = w.Start, w.Start+e.cfg.Size, began
	a.ID = id("anomaly", ent.StateKey(), strconv.FormatInt(began, 10), d.name)
	a.Since, a.Calls, a.Techniques = ent.Since, texts(w.Samples), d.techniques
	a.Contributors = e.contributors(ent, w)
	return a
}

// texts returns the ids of calls.
func texts(samples []wire.Sample) []string {
	list := make([]string, len(samples))
	for i, s := range samples {
		list[i] = s.String()
	}
	return list
}

// FromRules returns the anomalies of the always-on rules that one event
// matches; set is what rule.Match said of it. size is that of the windows.
func FromRules(rec *otellog.Record, set rule.Set, e wire.Entity, start, size int64) []Anomaly {
	if set == 0 {
		return nil
	}
	call := strings.Clone(rec.Str(semconv.KeytrailCallID)) // rec is used again
	where := ""
	if e.KeyARN != kms.NoEntity {
		where = " (KMS key " + e.KeyARN + ")"
	}
	var list []Anomaly
	for _, r := range set.Rules() {
		a := Anomaly{
			ID: id("rule", r.Name, call), Kind: KindRule, Detector: r.Name, Score: r.Score, Observed: 1,
			Reason: rec.Str(semconv.KeytrailPrincipal) + " " + r.What(rec) + where + ".",
			Calls:  []string{call}, Techniques: r.Techniques, Entity: e, Start: start, End: start + size,
		}
		if r.BlindSpot {
			a.Kind = KindBlindSpot
		}
		list = append(list, a)
	}
	return list
}

func surprise(p float64) float64 { return baseline.Surprise(p) }
