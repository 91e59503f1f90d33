package generate

import "time"

// Kind names a kind of anomaly, as keytrail.anomaly.kind does.
type Kind string

// The kinds of anomaly that labels name.
const (
	KindRate      Kind = "rate"       // more calls than the baseline expects
	KindSilence   Kind = "silence"    // none where many were expected
	KindFirstSeen Kind = "first_seen" // a principal on a key, an operation, ... for the first time
	KindFanOut    Kind = "fan_out"    // many distinct keys or objects
	KindRefusals  Kind = "refusals"   // many refused calls
	KindRule      Kind = "rule"       // one event that is always worth a look
	KindBlindSpot Kind = "blind_spot" // a change that hides later events
)

// Label is the truth about one planted incident. A scenario may have several.
type Label struct {
	Scenario string `json:"scenario"`
	// Kinds are the kinds of anomaly that should find it; any one of them will do.
	Kinds []Kind `json:"kinds"`
	// Benign reports that it is not an incident but something unusual for a good reason:
	// whatever is found there is a false anomaly. It has no Kinds.
	Benign bool `json:"benign,omitempty"`
	// KeyARN is the KMS key concerned, "" when there are several or none.
	KeyARN string `json:"key_arn,omitempty"`
	// Principal is who did it, as keytrail.principal.id names it; "" for a silence.
	Principal string `json:"principal,omitempty"`
	// Keys and Principals are further ones that it concerns, Account is one of which
	// it concerns every KMS key and principal.
	Keys       []string `json:"keys,omitempty"`
	Principals []string `json:"principals,omitempty"`
	Account    string   `json:"account,omitempty"`
	// Start and End bound the event times of its calls, [Start, End).
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
	// Aftermath is when that ends which follows from it, such as an alarmed
	// colleague's undoing; zero where nothing follows.
	Aftermath time.Time `json:"aftermath,omitzero"`
	// Calls is the number of distinct calls, and CallIDs names them
	// (keytrail.call.id), in the order of time. A silence has none, nor has what
	// happens to files or to rates.
	Calls   int      `json:"calls"`
	CallIDs []string `json:"call_ids,omitempty"`
	// Note says in words what happened.
	Note string `json:"note"`
}
