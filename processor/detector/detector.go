// Package detector holds the detectors: one question each, asked of a window that closes
// and of what is known of its entity. A detector is one value in one file, and a pure
// function. All is the registry. docs/detectors.md says what each one is good for.
//
// Package window runs the detectors, and completes and counts what they find.
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

// Detector asks one question of a window that closes.
type Detector struct {
	Name       string // the value of keytrail.anomaly.detector
	Code       uint8  // stored in state, so it is never reused
	Kind       anomaly.Kind
	Techniques []string // of MITRE ATT&CK
	// Lasts is how long an anomaly goes on after its last window, in ns. What the detector
	// finds within that time is the same anomaly: it is published again and not counted
	// again.
	Lasts int64
	// Judge reports what the detector finds in w, a window of ent with calls to judge. It
	// changes nothing. It is nil in the detectors to which the engine itself puts another
	// question.
	Judge func(v View, ent *entity.Entity, w *entity.Window) (Finding, bool)
}

// Finding is what a detector says of a window.
type Finding struct {
	Score    float64
	Observed float64
	Expected float64
	Reason   string // a sentence
}

// View is what a detector may look at beside the entity and the window. It is read only,
// and valid during the call that it is given to.
type View interface {
	// Settings returns the thresholds.
	Settings() *Settings
	// Size returns how long windows are, in ns.
	Size() int64
	// Key returns the KMS key of a pair, or nil.
	Key(pair *entity.Entity) *entity.Entity
	// Bound returns what the KMS key of an entity stood for at the end of the window at
	// start, or nil.
	Bound(of wire.Entity, start int64) *wire.Binding
	// Service reports whether a principal is a service of the cloud.
	Service(principal string) bool
	// Person reports whether a principal is one whom people act as.
	Person(principal string) bool
	// Account returns a hash of a principal's account, or 0 where it has none.
	Account(principal string) uint32
}

// peopleFactor is how much more than a program's a person's day has to be, because people
// work in bursts.
const peopleFactor = 1.5

// longWarmUp is how many times Settings.WarmUp an entity is watched before anything that
// depends on its habits is judged. By default that is a week, in which weekends and weekly
// jobs show.
const longWarmUp = 7

func surprise(p float64) float64 { return baseline.Surprise(p) }

// byFactor is a score of 6, and half a point more for each doubling of the most before.
func byFactor(n, high int) float64 { return 6 + math.Log2(float64(n)/float64(max(high, 1)))/2 }
