package awssink

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"keytrail/processor/sink"
	"keytrail/schemas/otellog"
)

// Fault is the refusal of one message of a request.
type Fault struct {
	Code, Text string
	// Sender means that the message is at fault; the same message will be refused again.
	Sender bool
}

// Door is a queue or topic that takes messages in requests of up to ten. It implements
// sink.Sink.
type Door struct {
	// Send sends one request. It returns the fault of each message, nil for one that was
	// taken, or an error of the call.
	Send func(ctx context.Context, messages []Message) (Faults, error)
	// Most bounds the bytes of a message and of a request.
	Most int
	// FIFO means that messages of one group keep their order.
	FIFO bool
	// Writer returns what makes the text of messages; it is for one goroutine.
	Writer func() Writer
	// Subject returns the subject of a record's mail; nil for none.
	Subject func(*otellog.Record) string
	// Turn is how long a Deliver goes on with further requests: sink.Turn, or less in tests.
	Turn time.Duration

	encoders sync.Pool // of *encoder
}

// mostMessages bounds the messages of a request, in SNS and SQS alike.
const mostMessages = 10

// unsaid is the fault of a message that an answer does not mention: it is sent again.
var unsaid = &Fault{Code: "Unsaid", Text: "the answer does not mention the message"}

// Close does nothing: the connections end by themselves.
func (d *Door) Close() error { return nil }

// Deliver sends a batch, request after request, and stops at the first one that fails, and
// after Turn. Safe for concurrent use.
func (d *Door) Deliver(ctx context.Context, batch []sink.Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e, _ := d.encoders.Get().(*encoder)
	if e == nil {
		e = &encoder{writer: d.Writer(), subject: d.Subject, fifo: d.FIFO}
	}
	defer d.encoders.Put(e)
	end := ending{n: len(batch)}
	begin := time.Now()
	var request []Message
	size := 0
	for i := range batch {
		m, err := e.message(&batch[i], i)
		if err != nil {
			end.refuse(i, sink.ReasonInvalid, err)
			continue
		}
		n := m.size()
		if n > d.Most {
			end.refuse(i, sink.ReasonTooLarge, fmt.Errorf("the message has %d bytes, and max_message is %d; raise it if "+
				"the receiver takes more", n, d.Most))
			continue
		}
		if len(request) == mostMessages || size+n > d.Most || d.FIFO && sameGroup(request, &m) {
			if d.send(ctx, request, &end); end.failed != nil || time.Since(begin) >= d.Turn {
				for at := i; at < len(batch); at++ {
					end.unsent = append(end.unsent, at)
				}
				return end.outcome()
			}
			request, size = request[:0], 0
		}
		request, size = append(request, m), size+n
	}
	if len(request) > 0 {
		d.send(ctx, request, &end)
	}
	return end.outcome()
}

// sameGroup reports whether a request has a message of the group. A request may be taken in
// part, which would change the order of the two.
func sameGroup(request []Message, m *Message) bool {
	for i := range request {
		if request[i].Group == m.Group {
			return true
		}
	}
	return false
}

// send sends one request and notes the end of its messages.
func (d *Door) send(ctx context.Context, request []Message, end *ending) {
	faults, err := d.Send(ctx, request)
	if err != nil {
		for i := range request {
			end.left = append(end.left, request[i].at)
		}
		end.failed = Verdict(err)
		return
	}
	for i, f := range faults {
		if f == nil {
			continue
		}
		said := fmt.Errorf("%s: %s", f.Code, f.Text)
		m := mean(f.Code, f.Text)
		switch {
		case m == tooLarge:
			end.refuse(request[i].at, sink.ReasonTooLarge, said)
		case m == invalid, m == unknown && f.Sender:
			end.refuse(request[i].at, sink.ReasonInvalid, said)
		case m == unknown:
			end.left, end.failed = append(end.left, request[i].at), errors.Join(end.failed, &sink.Throttled{Err: said})
		default:
			end.left, end.failed = append(end.left, request[i].at), errors.Join(end.failed, m.verdict(said, 0))
		}
	}
}

// ending gathers the ends of the records of a batch of n.
type ending struct {
	n       int
	refused []*sink.Rejected // one per record
	left    []int            // to be sent again, because of failed
	failed  error
	unsent  []int
}

func (e *ending) refuse(at int, reason sink.Reason, why error) {
	e.refused = append(e.refused, &sink.Rejected{Records: []int{at}, Reason: reason, Err: why})
}

// outcome returns the result of the batch as an error of package sink.
func (e *ending) outcome() error {
	errs := []error{sink.Stopped(e.n, e.failed, e.left, e.unsent)}
	for _, r := range e.refused {
		errs = append(errs, r)
	}
	return errors.Join(errs...)
}

// NewFaults returns the faults of a request of n messages that an answer has not mentioned
// yet. The id of a message in a request is its index, as a decimal number.
func NewFaults(n int) Faults {
	list := make(Faults, n)
	for i := range list {
		list[i] = unsaid
	}
	return list
}

// Faults are the faults of the messages of a request; nil for a message that was taken.
type Faults []*Fault

// Taken notes that the message with an id was taken.
func (f Faults) Taken(id string) { f.set(id, nil) }

// Failed notes that the message with an id was not taken.
func (f Faults) Failed(id, code, text string, sender bool) { f.set(id, &Fault{code, text, sender}) }

func (f Faults) set(id string, fault *Fault) {
	if i, err := strconv.Atoi(id); err == nil && i >= 0 && i < len(f) {
		f[i] = fault
	}
}
