// Package sink delivers log records to a destination such as a SIEM: it collects them into
// batches, sends batches again that are temporarily refused, and hands over records that
// are refused permanently.
//
// Sink is the door to one destination; the folders below hold one protocol each. Chain
// drives a Sink. Kafka is the queue: Chain holds at most a few batches per sink and tells
// the caller up to which offset each partition is done.
//
// How a Chain handles
//   - a sink that is down: it tries again, with growing random pauses. Its queue fills, the
//     caller stops reading, and the records stay in Kafka;
//   - a sink that refuses the sender instead of a record (an expired token, a wrong
//     address): the sink is paused. One request asks again, at least once a minute on
//     average, and all go on once somebody has corrected the cause;
//   - a record that the sink refuses permanently: it goes to the dead letter function with
//     the receiver's words, and the other records go on;
//   - a batch that the sink refuses without naming a record: it is halved until the record
//     is found;
//   - several requests in flight: a partition is part of one batch at a time. So its
//     records arrive in order, and its position never passes an unacknowledged record;
//   - a process that dies: its last offsets were not committed, and the records come again.
//     Delivery is at least once; records carry ids that do not change (log.record.uid,
//     keytrail.window.id, keytrail.anomaly.id), so that a receiver can upsert.
//
// No record is dropped: a position advances only past records that the sink or the dead
// letter function has taken, or that the sink's filter leaves out.
//
// # A new sink
//
// A sink is a folder beside this package and a line in all.Kinds:
//
//  1. Config has the settings of the type, with yaml tags. It holds no name, filter, batch,
//     retry or in_flight: those are the same for all types. HTTP doors embed
//     httpsink.Settings or httpsink.Hook, the others have fields `tls` of type TLS and `insecure`, and call
//     CheckPlain. Secrets have the type setting.Secret; read them with Secret.Read for each
//     connection or request, because they may come from a file or a command.
//  2. Open returns the Sink without sending anything. Files are read there, so that a
//     mistake ends the start.
//  3. Deliver turns the batch into requests and their answers into the errors below. It
//     names the refused records if the receiver does, and returns Rejected with Split if
//     the receiver refuses the batch as a whole. Only an answer about a record may reject
//     it; every doubt is a Throttled, a Paused or a plain error. A 2xx is not a delivery
//     until its body was read.
//  4. Deliver puts the record's id into the document, also if the receiver cannot upsert.
//     Event data never chooses an index, topic, header, path or URL without escaping.
//  5. Tests call sinktest.Run, and sinktest.Conform for each type. Register the type in
//     all.Kinds, add a configuration to the table in processor/config/safety_test.go, and
//     describe the settings in docs/sinks.md.
package sink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Record is one log record on its way to a sink.
type Record struct {
	// Value is an ExportLogsServiceRequest with one log record. It belongs to the caller; a
	// Sink reads it during Deliver only.
	Value []byte
	// EventName is the log record's event name, such as "keytrail.anomaly".
	EventName string
	// Topic, Partition and Offset are the record's place in Kafka, the same whenever the
	// record is sent. Topic is "" of a record without a place, such as a test record.
	Topic     string
	Partition int32
	Offset    int64
	// TopicID tells the topic from others of its name: in other clusters, and before it was
	// deleted and made again. It is zero where the brokers have no ids.
	TopicID [16]byte
	// Key is the record's key in Kafka: the id of the call, the window or the anomaly. Like
	// Value it is read during Deliver only.
	Key []byte
	// Ref is the caller's own reference (the Kafka record, say). Sinks and this package
	// pass it through untouched.
	Ref any
}

// Sink delivers batches to one destination. Up to in_flight goroutines call Deliver at the
// same time; a type whose all.Kind allows one in flight is called by one.
type Sink interface {
	// Deliver sends the batch, which is never empty, and waits for the answer. It neither
	// changes the batch nor keeps any of it after it has returned.
	//
	// It returns nil when every record was accepted. Otherwise the error, or the errors
	// that it joins, say the end of each record:
	//   - *Rejected: its records are refused permanently;
	//   - *Paused: somebody has to correct something first; no record is at fault;
	//   - *Throttled: its records are to be sent again;
	//   - *Unsent: its records were not sent; those before them are done, or will be;
	//   - *Partial: accepted, but the receiver lost some without naming them;
	//   - *Duplicate: accepted, and some of them were there before;
	//   - any other error: all records that no other error names are to be sent again.
	// Records that no *Rejected, *Throttled and *Unsent names count as accepted.
	//
	// A sink that sends several requests per Deliver ends it with Unsent after Turn, and
	// with Stopped after a request that failed.
	Deliver(ctx context.Context, batch []Record) error
	// Close releases what the sink holds. It is called once, after the last Deliver has
	// returned.
	Close() error
}

// Positioned is implemented by a Sink that stores positions together with the records, in
// one transaction: then every record arrives exactly once. It stores no position behind a
// record that it refuses before the dead letter has that record: see Rejected.Split. Records
// without a place are written, whatever the positions.
type Positioned interface {
	Sink
	// Positions returns the stored position of each partition that has one: the offset
	// behind the last stored record. It is called when partitions are assigned, before
	// any of their records is delivered. A partition is read from its stored position or
	// from the group's offset, whichever is later. A sink fences the previous owner of the
	// partitions before it returns.
	Positions(ctx context.Context, topic Topic, partitions []int32) (map[int32]int64, error)
	// Release frees what the sink holds for partitions that are revoked. It does not wait: a
	// Deliver with their records may be on its way.
	Release(topic Topic, partitions []int32)
}

// Topic names one topic of the source; see Record.
type Topic struct {
	Name string
	ID   [16]byte
}

// Planned is implemented by a Sink that writes each batch as objects whose names hold the
// first and the last offset. Its batches are of one partition, and the same batch comes
// again, as a whole, until all of its records have ended: see Plan. Such a sink never
// returns Rejected with Split.
type Planned interface {
	Sink
	// Planned marks the type.
	Planned()
}

// Paced is implemented by a Sink that keeps pauses between batches. A batch waits for its
// pause outside of Deliver, so that a revocation or a stop ends the wait.
type Paced interface {
	Sink
	// Pause returns how long the next Deliver has to wait: 0 or less for not at all.
	Pause() time.Duration
}

// Identity tells a sink from all others.
type Identity struct {
	// Name is the sink's name in the configuration, for logs and for the receiver.
	Name string
	// Group is the sink's consumer group. It is unique in the Kafka cluster and outlives
	// processes and renaming: transactional ids and names of stored state begin with it.
	Group string
	// Log receives the lines of the sink itself; nil means slog.Default.
	Log *slog.Logger
}

// Config holds the settings of one type of sinks. It is a pointer to a structure whose
// fields have yaml tags.
type Config interface {
	// Validate returns setting.Problems that name the settings that cannot be used.
	Validate() error
	// Open makes the sink. An error names the setting and its value.
	Open(Identity) (Sink, error)
	// Output returns the configured path of the local file that the sink writes: Stdout for
	// standard output, "" for none. Two sinks must not write one file, and commands that
	// read files leave it out.
	Output() string
}

// Notifier is implemented by a Config whose sink notifies people, or systems that do. It
// takes anomalies and incidents, so the configuration refuses everything else.
type Notifier interface {
	Config
	// Ends reports whether the receiver keeps an anomaly open until it learns of its end.
	Ends() bool
}

// Batcher is implemented by a Config whose type has its own defaults of batches.
type Batcher interface {
	Config
	DefaultBatch() Batch
}

// Stdout is the path that means standard output.
const Stdout = "-"

// Reason is why a sink does not keep a record: a metric label and a header of the dead
// letter, from a bounded set.
type Reason string

// The reasons for which records are refused.
const (
	ReasonInvalid   Reason = "invalid"           // the sink cannot read the record
	ReasonTooLarge  Reason = "too_large"         // over the sink's own bound of size
	ReasonPartial   Reason = "partial_success"   // taken, then lost by the receiver
	ReasonExhausted Reason = "retries_exhausted" // Retry.MaxAttempts or Retry.MaxElapsed reached
)

// Reasons returns all reasons.
func Reasons() []Reason {
	return []Reason{ReasonInvalid, ReasonTooLarge, ReasonPartial, ReasonExhausted}
}

// Rejected reports records that the sink refused permanently: the same bytes sent again
// would be refused again.
type Rejected struct {
	// Records holds the indexes of the refused records in the batch; nil means
	// all of them.
	Records []int
	Reason  Reason
	// Split means that the refusal is about the batch as a whole and that smaller batches
	// may pass. It applies only if Records is nil.
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

// Duplicate reports that the receiver had some of the accepted records already, as they
// were or in a newer revision: they were sent before, and the answer was lost.
type Duplicate struct {
	Records int // number of records, from 0 to the size of the batch
}

// Error says how many records were there.
func (e *Duplicate) Error() string {
	return fmt.Sprintf("the sink had %d of the records already", e.Records)
}

// Throttled reports records that the sink did not take now and may take later.
type Throttled struct {
	// Records holds the indexes of the records to send again; nil means all that no other
	// error names.
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

// Turn is how long a Deliver goes on with further requests: 1 s. The records before are then
// done, and a revocation or a crash repeats no others.
const Turn = time.Second

// Unsent reports records that the sink has not sent, because it ended the Deliver early:
// after Turn, or because a request before them failed. They are sent next. It is not an
// attempt to send them.
type Unsent struct {
	// Records holds the indexes of these records.
	Records []int
}

// Error says how many records were not sent.
func (e *Unsent) Error() string { return fmt.Sprintf("%d records were not sent yet", len(e.Records)) }

// Stopped returns the end of a Deliver of n records that ended early. failed is about the
// records at tried, nil if there are none; those at unsent were not sent; all others have
// ended. A pause or a refusal without records is about all records of a Deliver. So if some
// have ended, the rest is sent again, and the next Deliver meets the pause or the refusal
// alone.
func Stopped(n int, failed error, tried, unsent []int) error {
	if failed != nil && len(tried)+len(unsent) < n {
		again := &Throttled{Records: tried, Err: failed}
		var throttled *Throttled
		if errors.As(failed, &throttled) {
			again.After = throttled.After
		}
		failed = again
	}
	if len(unsent) == 0 {
		return failed
	}
	return errors.Join(failed, &Unsent{Records: unsent})
}

// Partial reports that the sink answered with success and said in the same answer that it
// lost some of the records, without naming them. They must not be sent again (OTLP
// specification, "Partial success"), so they are only counted and logged.
type Partial struct {
	Lost    int    // number of records, from 0 to the size of the batch
	Message string // what the sink said; "" when it said nothing
}

// Error says how many records were lost.
func (e *Partial) Error() string {
	return fmt.Sprintf("the sink took the batch and lost %d of its records: %q", e.Lost, e.Message)
}
