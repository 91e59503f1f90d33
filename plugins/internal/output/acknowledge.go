package output

import (
	"context"
	"slices"
	"time"

	"keytrail/plugins/internal/ack"
	"keytrail/plugins/internal/logging"
)

const (
	// probeEvery is how often Kafka is asked whether it is there while there is nothing
	// to deliver.
	probeEvery = 5 * time.Second
	// lastAcks is how long Close waits for in_kms, which answers within milliseconds.
	lastAcks = time.Second
	// neverAnswered is for how long Kafka is taken to have been silent before the start:
	// longer than in_kms allows.
	neverAnswered = time.Minute
)

// clock returns the time since the start. It is monotonic: a change of the machine's time
// makes Kafka neither silent nor there.
func (o *Output) clock() time.Duration { return time.Since(o.began) }

// answer notes that Kafka itself has answered. Records that were filtered prove nothing.
func (o *Output) answer(at time.Duration) { o.answered.Store(int64(at)) }

func (o *Output) silent() time.Duration { return o.clock() - time.Duration(o.answered.Load()) }

// tell passes acknowledgements on to in_kms.
func (o *Output) tell(run ack.Run, list []ack.Range) {
	for _, r := range list {
		o.acknowledged.Add(int64(r.Len()))
	}
	o.acks.Add(run, list)
}

// health is what the in_kms of a run is told beside the acknowledgements.
func (o *Output) health(run ack.Run) ack.Health {
	now := time.Now()
	n, abandoned := o.attempts.unfinished(run, now)
	if abandoned > 0 {
		o.abandoned.Add(int64(abandoned))
		o.log.Printf(logging.Warn, "Fluent Bit did not hand %d chunks over again, as after its retry_limit; "+
			"in_kms hands their records over again; set retry_limit no_limits", abandoned)
	}
	return ack.Health{Silent: o.silent(), Unfinished: uint64(n)}
}

// probe asks Kafka for an answer while there is nothing that it could acknowledge.
func (o *Output) probe(ctx context.Context) {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		if o.silent() >= probeEvery {
			asked := o.clock()
			limited, cancel := context.WithTimeout(ctx, probeEvery)
			if o.client.Ping(limited) == nil {
				o.answer(asked)
			}
			cancel()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// slot is one record of a chunk that in_kms wants acknowledged. It is acknowledged when
// everything that came out of it is: the event, a dead letter, or nothing where it was
// filtered.
type slot struct {
	number uint64
	run    int32 // index in slots.runs
	open   int32 // produced and not acknowledged, and one while the record is being read
}

// The states of slot.open besides the count.
const (
	slotDone = 0
	slotTold = -1      // in_kms was told
	slotLost = 1 << 30 // a part was refused by Kafka: the chunk comes again, this slot never ends
)

// slots are those of one attempt, in the order of the chunk: 16 bytes each, beside
// records of 300 at least. A record without a number has none. It is guarded by the
// attempt's mutex.
type slots struct {
	runs []ack.Run
	list []slot
	low  int // all before it were told
}

// begin opens the slot of a record and returns its index.
func (s *slots) begin(run ack.Run, number uint64) int {
	i := slices.Index(s.runs, run)
	if i < 0 {
		i = len(s.runs) // nearly always the first: a chunk is of one input
		s.runs = append(s.runs, run)
	}
	s.list = append(s.list, slot{number: number, run: int32(i), open: 1})
	return len(s.list) - 1
}

func (s *slots) add(i int) { s.list[i].open++ }

// done notes that a part of a record's is acknowledged or, with failed, never will be.
func (s *slots) done(i int, failed bool) {
	if failed {
		s.list[i].open = slotLost
	} else if s.list[i].open < slotLost {
		s.list[i].open--
	}
}

// tell gives everything that is acknowledged and was not told to to, run by run.
func (s *slots) tell(to func(ack.Run, []ack.Range)) {
	for i, run := range s.runs {
		var list ack.Ranges
		for j := s.low; j < len(s.list); j++ {
			if e := &s.list[j]; e.open == slotDone && int(e.run) == i {
				list.Add(ack.Range{From: e.number, To: e.number + 1})
				e.open = slotTold
			}
		}
		if list.Len() > 0 {
			to(run, list.List())
		}
	}
	for s.low < len(s.list) && s.list[s.low].open == slotTold {
		s.low++
	}
}
