// Package rule judges single events: the operations on KMS keys and trails that
// are worth an anomaly whatever the history. It is pure and holds no state.
//
// Each rule asks one question of one log record's attributes. The list is
// fixed; a rule's place in it is its number in stored state, so rules are
// added at the end and never reordered.
package rule

import (
	"math/bits"
	"slices"
	"strings"

	"keytrail/schemas/kms"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// Rule is one always-on rule.
type Rule struct {
	Name string
	// BlindSpot tells that what is done hides later events; the anomaly's kind is
	// then blind_spot, else rule.
	BlindSpot bool
	// Score is the rule's level on the scale of the anomalies' scores, -log10 of
	// a probability: 4 low, 6 medium, 8 high, 10 critical.
	Score float64
	// Techniques are MITRE ATT&CK ids.
	Techniques []string
	// classes are the operation classes that can match; empty means all.
	classes []kms.Class
	match   func(rec *otellog.Record) bool
	// The action, for the anomaly's sentence.
	What func(rec *otellog.Record) string
}

// Set is a set of rules, by their numbers in All: bit i is rule i.
type Set uint32

// Match returns the rules that an event matches. Calls that did not succeed
// match none: an attempt that was refused changed nothing, and is counted among
// the refusals.
func Match(rec *otellog.Record, class kms.Class, outcome kms.Outcome) Set {
	if outcome != kms.OutcomeOK {
		return 0
	}
	var s Set
	// Most events are cryptographic operations, which only the few rules without
	// classes look at.
	for _, i := range byClass[class] {
		if All[i].match(rec) {
			s |= 1 << i
		}
	}
	return s
}

// Rules yields the rules in s.
func (s Set) Rules() []*Rule {
	list := make([]*Rule, 0, bits.OnesCount32(uint32(s)))
	for i := range All {
		if s&(1<<i) != 0 {
			list = append(list, &All[i])
		}
	}
	return list
}

// Kinds returns how many of the rules in s are of kind rule and of kind
// blind_spot.
func (s Set) Kinds() (rules, blindSpots int) {
	if s == 0 {
		return 0, 0
	}
	blind := bits.OnesCount32(uint32(s & blindSpotSet))
	return bits.OnesCount32(uint32(s)) - blind, blind
}

var (
	byClass      [kms.NumClasses][]int
	blindSpotSet Set
)

func init() {
	for i := range All {
		if All[i].BlindSpot {
			blindSpotSet |= 1 << i
		}
		for c := range byClass {
			if len(All[i].classes) == 0 || slices.Contains(All[i].classes, kms.Class(c)) {
				byClass[c] = append(byClass[c], i)
			}
		}
	}
}

// operation returns the event's operation: the part of rpc.method behind the
// service.
func operation(rec *otellog.Record) string {
	_, op, _ := strings.Cut(rec.Str(semconv.RPCMethod), "/")
	return op
}

func is(names ...string) func(*otellog.Record) bool {
	return func(rec *otellog.Record) bool { return slices.Contains(names, operation(rec)) }
}

func isTrue(attr string) func(*otellog.Record) bool {
	return func(rec *otellog.Record) bool {
		a := rec.Get(attr)
		return a != nil && a.Kind == otellog.KindBool && a.Int != 0
	}
}

func isFalse(attr string) func(*otellog.Record) bool {
	return func(rec *otellog.Record) bool {
		a := rec.Get(attr)
		return a != nil && a.Kind == otellog.KindBool && a.Int == 0
	}
}

func says(text string) func(*otellog.Record) string {
	return func(*otellog.Record) string { return text }
}
