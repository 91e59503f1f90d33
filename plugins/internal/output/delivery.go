package output

import (
	"runtime/debug"
	"sync"
	"time"

	"keytrail/plugins/internal/logging"
)

// Delivery is a flush that goes on in a separate goroutine. Its methods may be called
// from any goroutine.
type Delivery struct {
	code  Code          // set before ended is closed
	ended chan struct{} // closed at the end
}

// Begin delivers a chunk as Flush does. Chunks take turns, and
// flush_timeout begins with the turn. The chunk must stay as it is until Ask or Wait has
// returned a code, or Close has returned. Begin calls ended, from another goroutine, when
// Ask returns the code.
func (o *Output) Begin(chunk []byte, tag string, ended func()) *Delivery {
	d := &Delivery{code: Retry, ended: make(chan struct{})}
	a := o.attempts.take(chunk) // before this call returns: the ledger knows all chunks that were handed over
	o.delivering.Go(func() {
		defer ended()
		defer close(d.ended)
		defer func() { // Fluent Bit hands the chunk over again
			if p := recover(); p != nil {
				o.log.Printf(logging.Error, "a flush panicked, please report it: %v at %s", p, clip(debug.Stack(), 4096))
			}
		}()
		d.code = o.inTurn(a, chunk, tag)
	})
	return d
}

// Ask returns the code of a delivery that has ended, and otherwise 0.
func (d *Delivery) Ask() Code {
	select {
	case <-d.ended:
		return d.code
	default:
		return 0
	}
}

// Wait waits for the end of a delivery and returns its code.
func (d *Delivery) Wait() Code {
	<-d.ended
	return d.code
}

// inTurn flushes a chunk when its turn has come. The next one's turn comes when all of the
// chunk is produced, before Kafka has it.
func (o *Output) inTurn(a *attempt, chunk []byte, tag string) Code {
	if o.turns.Acquire(o.closing, 1) != nil {
		o.attempts.keep(chunk, a, time.Now())
		return Retry
	}
	leave := sync.OnceFunc(func() { o.turns.Release(1) })
	defer leave()
	return o.flush(o.closing, a, chunk, tag, leave)
}
