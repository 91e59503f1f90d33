package sink

import (
	"fmt"
	"time"
)

// Cause is the bounded set of conditions that pause a sink until somebody mends
// something: a metric label.
type Cause string

// The causes.
const (
	CauseCredentials Cause = "credentials" // the receiver does not accept who we are
	CauseAddress     Cause = "address"     // nothing of the kind is at this address, or it has no name
	CauseRedirect    Cause = "redirect"    // the receiver names another address
	CauseProtocol    Cause = "protocol"    // the receiver does not speak the sink's protocol
	CauseTLS         Cause = "tls"         // no trust can be established
	CauseTarget      Cause = "target"      // the index, stream or topic there is missing, closed or blocked
)

// Causes returns all causes.
func Causes() []Cause {
	return []Cause{CauseCredentials, CauseAddress, CauseRedirect, CauseProtocol, CauseTLS, CauseTarget}
}

// Paused reports that a sink takes nothing until somebody mends its credentials, its
// address, its certificate or its target. It is not the fault of any record: the same records pass
// afterwards. So none of them goes to the dead letter, whatever Retry bounds.
type Paused struct {
	Cause Cause
	// After is the shortest pause that the sink asked for; 0 means it named none.
	After time.Duration
	Err   error // what the sink said
}

// Error says why the sink is paused.
func (e *Paused) Error() string {
	return fmt.Sprintf("the sink is paused (%s): %v", e.Cause, e.Err)
}

// Unwrap returns what the sink said.
func (e *Paused) Unwrap() error { return e.Err }

// State is what a sink does at the moment.
type State string

// The states.
const (
	StateTaking  State = "taking"  // the last batch was taken, or there was none yet
	StateFailing State = "failing" // the last attempt failed, and another may succeed
	StatePaused  State = "paused"  // somebody has to mend something; see Paused
)

// Status is the state of one sink. It is a value: safe to keep and to pass on.
type Status struct {
	State State
	Cause Cause     // of StatePaused
	Err   error     // what the sink said last; nil while it takes records
	Since time.Time // when the state began
	Next  time.Time // of the next attempt; zero while it takes records
}
