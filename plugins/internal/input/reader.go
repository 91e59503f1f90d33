package input

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"keytrail/plugins/internal/ack"
	"keytrail/plugins/internal/chunk"
	"keytrail/plugins/internal/logging"
	"keytrail/processor/read"
	"keytrail/processor/source"
	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/aws/normalize"
	"keytrail/schemas/decoding"
	"keytrail/schemas/wire"
)

// blockBytes is the size at which a block goes to the queue: large enough that
// the queue's lock is taken once in some 170 events, small against a batch.
const blockBytes = 256 << 10

// maxWarnings bounds the log lines about bad records of one file. All of them
// are in the dead-letter file.
const maxWarnings = 5

// buffers are the buffers of blocks that were handed over, for the next ones. A sync.Pool
// would be emptied by each collection, and these are most of what there is to collect.
type buffers chan []byte

// newBuffers keeps as many as can be in use: those of a full queue and one per reader.
func newBuffers(c *Config) buffers { return make(buffers, c.QueueBytes/blockBytes+c.Readers) }

func (p buffers) get() []byte {
	select {
	case buf := <-p:
		return buf
	default:
		return make([]byte, 0, blockBytes+blockBytes/4)
	}
}

// put gives a block's memory back. A buffer that one huge record has grown
// is left to the collector.
func (p buffers) put(b *block) {
	if buf := b.buf[:0]; cap(buf) > 0 && cap(buf) <= 2*blockBytes {
		select {
		case p <- buf:
		default:
		}
	}
	b.buf = nil
}

// reading is the state of reading one object.
type reading struct {
	in     *Input
	object source.Object
	flight *flight
	block  block
	place  uint64 // of the next record among those that are wanted
	limit  int    // records in a block
	bad    int
	// failed is why a part of the object is neither handed over nor in the dead-letter
	// file. The object must then be read again.
	failed error
}

// errClosed ends the reading of an object when the Input stops.
var errClosed = errors.New("the input is closed")

// read passes the events of one object to the queue and ends with the object's end
// in it, with a retry, or at Stop.
func (in *Input) read(f *flight) {
	in.reading.Add(1)
	defer func() {
		in.reading.Add(-1)
		in.q.signal() // nobody waits for more of it
	}()
	o := f.object
	r := &reading{in: in, object: o, flight: f, limit: max(1, min(512, in.cfg.QueueRecords/4))}
	if r.events() {
		in.queued.Add(int64(r.block.records))
		return
	}
	if r.bad > maxWarnings {
		in.log.Printf(logging.Warn, "%q: %d bad records in all", o.Name, r.bad)
	}
	if r.failed != nil && !r.mend() {
		r.push()
		in.progress.drop(f)
		return
	}
	r.block.end = true
	if r.push() {
		in.objects.Add(1)
	}
}

// stage names in_kms in dead letters.
const stage = "in_kms"

// events reads to the end of the object. It reports true when the Input stops
// before. A panic of the decoder costs this object, not the process that Fluent
// Bit is.
func (r *reading) events() (closed bool) {
	defer func() {
		if p := recover(); p != nil {
			detail := fmt.Sprintf("the reader panicked, please report it: %v", p)
			r.failed = &source.Rejected{Reason: source.ReasonPanic, Detail: detail}
		}
	}()
	in := normalize.NewReader(r.in.cfg.Limits, normalize.New(normalize.Options{}))
	err := read.NewEvents(in, new(read.Counts), func(context.Context) (decoding.Filter, error) {
		return r.event(&in.Event)
	}, r.badRecord).Object(r.in.ctx, r.object)
	if errors.Is(err, errClosed) || err != nil && r.in.ctx.Err() != nil {
		return true
	}
	var bad *decoding.BadRecord
	if errors.As(err, &bad) { // of the source: reading again may help
		err = bad.Err
	}
	r.failed = cmp.Or(r.failed, err)
	return false
}

// event passes one event on, or returns why it is filtered.
func (r *reading) event(ev *cloudtrail.Event) (decoding.Filter, error) {
	if r.in.stopping.Load() {
		return decoding.Kept, errClosed
	}
	r.in.events.Add(1)
	if why := normalize.FilterOf(ev); !r.in.cfg.All && why != decoding.Kept {
		r.in.filtered.Add(1)
		r.in.why[why].Add(1)
		return why, nil
	}
	place := ack.Range{From: r.place, To: r.place + 1}
	r.place++
	if r.flight.only != nil && !r.flight.only.Covers(place) {
		r.in.known.Add(1)
		return decoding.Kept, nil
	}
	if r.block.buf == nil {
		r.block.buf = r.in.buffers.get()
	}
	numbered := r.in.window != nil
	if numbered {
		r.block.add(place)
	}
	account := ev.RecipientAccount
	if account == "" {
		account = ev.Identity.Account
	}
	r.block.buf = chunk.Append(r.block.buf, &chunk.Record{
		Time: recordTime(ev.Time), Event: ev.Raw, Account: account, Region: ev.Region,
		Object: ev.Object, Index: ev.Index, Offset: ev.Offset, Self: r.in.own.Load().made(ev) && normalize.TrailRead(ev),
		Numbered: numbered,
	})
	r.block.records++
	if len(r.block.buf) < blockBytes && r.block.records < r.limit || r.push() {
		return decoding.Kept, nil
	}
	return decoding.Kept, errClosed
}

// push hands the block to the queue and begins a new one.
func (r *reading) push() bool {
	b := r.block
	r.block = block{}
	if b.records == 0 && !b.end {
		return true
	}
	b.of = r.flight
	r.in.queued.Add(int64(b.records))
	if r.flight.tries > 0 {
		return r.in.repeats.push(b)
	}
	return r.in.q.push(b)
}

// add notes that a record with this place begins here.
func (b *block) add(place ack.Range) {
	if b.starts == nil {
		b.starts = make([]uint32, 0, 256) // as many as a block has, as a rule
	}
	b.starts = append(b.starts, uint32(len(b.buf)))
	if n := len(b.places); n > 0 && b.places[n-1].To == place.From {
		b.places[n-1].To = place.To
		return
	}
	b.places = append(b.places, place)
}

// badRecord keeps a record that is not an event, once however often its object is
// handed over. It returns failures of the source: the object may be read again.
func (r *reading) badRecord(_ context.Context, bad *decoding.BadRecord) error {
	if r.in.stopping.Load() {
		return errClosed
	}
	if bad.Reason == decoding.ReasonRead {
		return bad
	}
	if r.flight.tries > 0 {
		return nil
	}
	r.bad++
	r.in.badRecs.Add(1)
	d := wire.FromBadRecord(stage, bad, time.Now())
	if err := r.in.dead.write(&d); err != nil && r.failed == nil {
		r.failed = fmt.Errorf("a dead letter of it is not kept: %v", err) // %v: the file's fault is not the object's
	}
	if r.bad <= maxWarnings {
		kept := "it is in the dead-letter file"
		if r.in.dead.path == "" {
			kept = "its bytes are not kept: set dead_letter"
		}
		r.in.log.Printf(logging.Warn, "%v; %s", bad, kept)
	}
	return nil
}

// recordTime returns the time that Fluent Bit's record gets: the event's, or
// the present one where that is not a time or one that Fluent Bit cannot hold
// (it counts signed 32-bit seconds). The event itself is not judged by it.
func recordTime(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if s := t.Unix(); err != nil || s < 0 || s > math.MaxInt32 {
		return time.Now()
	}
	return t
}
