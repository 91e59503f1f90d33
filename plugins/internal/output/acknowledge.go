package output

import (
	"context"
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
	// neverAnswered is how long Kafka counts as silent before the start: longer than in_kms
	// allows.
	neverAnswered = time.Minute
)

// clock returns the time since the start. It is monotonic: a change of the machine's time
// does not change whether Kafka is silent.
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

// health returns what the Output tells the in_kms of a run beside the acknowledgements.
func (o *Output) health(run ack.Run) ack.Health {
	h, abandoned := o.attempts.health(run, time.Now())
	if abandoned > 0 {
		o.abandoned.Add(int64(abandoned))
		o.log.Printf(logging.Warn, "Fluent Bit did not hand %d chunks over again, as after its retry_limit; "+
			"in_kms hands their records over again; set retry_limit no_limits", abandoned)
	}
	h.Silent = o.silent()
	return h
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
