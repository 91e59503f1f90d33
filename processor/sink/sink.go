// Package sink delivers log records to whatever stands behind the pipeline: it
// cuts them into batches, retries what is temporarily refused and hands over
// what is refused for good.
//
// Sink is the door to one destination; its folders (otlphttp, ndjson) hold one
// protocol each. Runner drives a Sink. It keeps no queue of its own: Kafka is
// the queue. Runner.Deliver returns when every record it was given has found
// its end, so that the caller can commit the Kafka offsets behind it.
//
// What happens when
//   - the sink is down: Deliver tries again, with growing random pauses, until
//     its context ends. The caller stops polling meanwhile, so the records stay
//     in Kafka, and memory holds no more than the records of one poll;
//   - the sink refuses us, and not a record (a token that expired, an address that is
//     wrong): it is paused. Deliver asks again, at least once a minute on average, and
//     goes on by itself once somebody has mended it. Kafka keeps the records meanwhile;
//   - the sink refuses a record for good: it goes to the dead letter function,
//     and the records beside it go on;
//   - the sink refuses a batch and cannot say for which record: the batch is
//     halved until the record is found;
//   - the process dies: the offsets were not committed, and the records come
//     again. Delivery is at least once; records carry ids that do not change
//     (log.record.uid, keytrail.anomaly.id), so that a sink can upsert.
//
// No record is ever dropped: Deliver returns nil only when each one was taken by
// the sink or by the dead letter function.
package sink

import (
	"context"
	"fmt"
	"time"
)

// Record is one log record on its way to a sink.
type Record struct {
	// Value is an ExportLogsServiceRequest with one log record. It belongs to the
	// caller of Runner.Deliver; a Sink reads it during Deliver only.
	Value []byte
	// EventName is the log record's event name, such as "keytrail.anomaly".
	EventName string
	// Ref is the caller's own reference (the Kafka record, say). Sinks and Runner
	// pass it through untouched.
	Ref any
}

// Sink delivers one batch to one destination.
type Sink interface {
	// Deliver sends the batch, which is never empty, and waits for the answer. It
	// neither changes the batch nor keeps any of it after it has returned.
	//
	// It returns nil when every record was accepted. Otherwise the error, or the
	// errors that it joins, say the end of each record:
	//   - *Rejected: its records are refused for good;
	//   - *Paused: somebody has to mend something first; no record is at fault;
	//   - *Throttled: its records are to be sent again;
	//   - *Partial: accepted, but the far end lost some without saying which;
	//   - any other error: all records not rejected are to be sent again.
	// Records that no *Rejected and no *Throttled names count as accepted.
	Deliver(ctx context.Context, batch []Record) error
	// Close releases what the sink holds. It is called once, after the last
	// Deliver has returned.
	Close() error
}

// Config is what a type of sinks has of its own in the configuration. It is a pointer to a
// structure whose fields have yaml tags.
type Config interface {
	// Validate returns setting.Problems that name the settings that cannot be used.
	Validate() error
	// Open makes the sink. An error names the setting and its value.
	Open() (Sink, error)
	// Output returns the path of the local file that the sink writes, as it is
	// configured: Stdout for standard output, "" for none. Two sinks must not write one
	// file, and commands that read files leave it out.
	Output() string
}

// Stdout is the path that means standard output.
const Stdout = "-"

// Reason is the bounded set of causes for which a sink does not keep a record:
// a metric label and a header of the dead letter.
type Reason string

// The reasons for which records are refused.
const (
	ReasonInvalid   Reason = "invalid"           // the sink cannot read the record
	ReasonTooLarge  Reason = "too_large"         // over the sink's own bound of size
	ReasonPartial   Reason = "partial_success"   // taken, then lost by the far end
	ReasonExhausted Reason = "retries_exhausted" // Retry.MaxAttempts or Retry.MaxElapsed reached
)

// Reasons returns all reasons.
func Reasons() []Reason {
	return []Reason{ReasonInvalid, ReasonTooLarge, ReasonPartial, ReasonExhausted}
}

// Rejected reports records that the sink refused for good: the same bytes sent
// again would be refused again.
type Rejected struct {
	// Records holds the indexes of the refused records in the batch; nil means
	// all of them.
	Records []int
	Reason  Reason
	// Split says that the refusal is about the batch as a whole and that smaller
	// batches may pass. It has a meaning only where Records is nil.
	Split bool
	Err   error // what the sink said
}

// Error says how many records were refused, and why.
func (e *Rejected) Error() string {
	if e.Records == nil {
		return fmt.Sprintf("the sink refused the batch (%s): %v", e.Reason, e.Err)
	}
	return fmt.Sprintf("the sink refused %d records (%s): %v", len(e.Records), e.Reason, e.Err)
}

// Unwrap returns what the sink said.
func (e *Rejected) Unwrap() error { return e.Err }

// Throttled reports records that the sink did not take now and will take later.
type Throttled struct {
	// Records holds the indexes of the records to send again; nil means all of
	// those that are not rejected.
	Records []int
	// After is the shortest pause that the sink asked for; 0 means it named none.
	After time.Duration
	Err   error // what the sink said
}

// Error says what the sink asked for.
func (e *Throttled) Error() string {
	return fmt.Sprintf("the sink asks to try again (after %v): %v", e.After, e.Err)
}

// Unwrap returns what the sink said.
func (e *Throttled) Unwrap() error { return e.Err }

// Partial reports that the sink answered with success and said in the same
// answer that it lost some of the records, without saying which. They must not
// be sent again (OTLP specification, "Partial success"), so all that can be
// done is to count them and to write it down.
type Partial struct {
	Lost    int    // number of records, from 0 to the size of the batch
	Message string // what the sink said; "" when it said nothing
}

// Error says how many records were lost.
func (e *Partial) Error() string {
	return fmt.Sprintf("the sink took the batch and lost %d of its records: %q", e.Lost, e.Message)
}
