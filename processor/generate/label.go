package generate

import "time"

// Kind names a kind of anomaly, like keytrail.anomaly.kind.
type Kind string

// The kinds of anomaly that labels name.
const (
	KindRate      Kind = "rate"       // more calls than the baseline expects
	KindSilence   Kind = "silence"    // none although many were expected
	KindFirstSeen Kind = "first_seen" // a principal on a key, an operation, ... for the first time
	KindFanOut    Kind = "fan_out"    // many distinct keys or objects
	KindRefusals  Kind = "refusals"   // many refused calls
	KindRule      Kind = "rule"       // one event that is always worth a look
	KindBlindSpot Kind = "blind_spot" // a change that hides later events
)

// Label is the ground truth of one planted incident. A scenario may have several.
type Label struct {
	Scenario string `json:"scenario"`
	// Kinds are the kinds of anomaly that should find it; any one suffices.
	Kinds []Kind `json:"kinds"`
	// Benign means that it is not an incident but an unusual event with a good reason:
	// any anomaly there is false. It has no Kinds.
	Benign bool `json:"benign,omitempty"`
	// KeyARN is the affected KMS key; "" for several or none.
	KeyARN string `json:"key_arn,omitempty"`
	// Principal is the actor, in the form of keytrail.principal.id; "" for a silence.
	Principal string `json:"principal,omitempty"`
	// Keys and Principals are further affected ones; Account is one whose KMS keys and
	// principals are all affected.
	Keys       []string `json:"keys,omitempty"`
	Principals []string `json:"principals,omitempty"`
	Account    string   `json:"account,omitempty"`
	// Start and End bound the event times of its calls, [Start, End).
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
	// Aftermath is the end of its consequences, such as an alarmed colleague's undoing;
	// zero without any.
	Aftermath time.Time `json:"aftermath,omitzero"`
	// Calls is the number of distinct calls, and CallIDs are their ids
	// (keytrail.call.id), in order of time. A silence has none, nor have changes of files
	// or rates.
	Calls   int      `json:"calls"`
	CallIDs []string `json:"call_ids,omitempty"`
	// Note describes the incident in words.
	Note string `json:"note"`
}
