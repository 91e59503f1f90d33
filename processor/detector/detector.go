// Package detector contains the detectors: each asks one question about a closing window
// and the knowledge of its entity. A detector is one value in one file, and a pure
// function. All is the registry. docs/detectors.md describes the use of each.
//
// Package window runs the detectors, and completes and counts their findings.
package detector

import (
	"math"

	"keytrail/processor/anomaly"
	"keytrail/processor/baseline"
	"keytrail/processor/entity"
	"keytrail/processor/eventtime"
	"keytrail/schemas/wire"
)

const (
	hour = eventtime.Hour
	day  = eventtime.Day
)

// Detector asks one question about a closing window.
type Detector struct {
	Name       string // the value of keytrail.anomaly.detector
	Code       uint8  // stored in state, so it is never reused
	Kind       anomaly.Kind
	Techniques []string // of MITRE ATT&CK
	// Lasts is how long an anomaly continues after its last window, in ns. A finding
	// within that time is the same anomaly: it is published again, but not counted again.
	Lasts int64
	// Judge returns the detector's finding in w, a window of ent with calls to judge. It
	// changes nothing. It is nil in the detectors that the engine calls in another way.
	Judge func(v View, ent *entity.Entity, w *entity.Window) (Finding, bool)
}

// Finding is a detector's result for a window.
type Finding struct {
	Score    float64
	Observed float64
	Expected float64
	Reason   string // a sentence
}

// View is a detector's view of everything besides the entity and the window. It is
// read-only, and valid during the call.
type View interface {
	// Settings returns the thresholds.
	Settings() *Settings
	// Size returns the length of windows in ns.
	Size() int64
	// Key returns the KMS key of a pair, or nil.
	Key(pair *entity.Entity) *entity.Entity
	// Bound returns the binding of an entity's KMS key at the end of the window at start,
	// or nil.
	Bound(of wire.Entity, start int64) *wire.Binding
	// Service reports whether a principal is a service of the cloud.
	Service(principal string) bool
	// Person reports whether a principal is one that people act as.
	Person(principal string) bool
	// Account returns a hash of a principal's account, or 0 without one.
	Account(principal string) uint32
	// Owner returns a hash of the account in the name of a KMS key, or 0 without one.
	Owner(key string) uint32
}

// peopleFactor is how much more than a program's a person's day has to be, because people
// work in bursts.
const peopleFactor = 1.5

// longWarmUp is how many times Settings.WarmUp an entity is watched before its habits are
// judged. By default that is a week, which has weekends and weekly jobs.
const longWarmUp = 7

func surprise(p float64) float64 { return baseline.Surprise(p) }

// byFactor is a score of 6, and half a point more for each doubling of the most before.
func byFactor(n, high int) float64 { return 6 + math.Log2(float64(n)/float64(max(high, 1)))/2 }
