package input

import (
	"context"
	"math"
	"sync"
	"time"

	"keytrail/plugins/internal/ack"
	"keytrail/processor/source"
)

// flight is one reading of an object, from its first record to the last acknowledgement.
type flight struct {
	object source.Object
	// only are the records of the object to hand over, by their place among those that
	// are wanted; nil is all. tries counts the readings before this one.
	only  *ack.Ranges
	tries int

	// Guarded by the window's mutex.
	open    int        // parcels that are neither acknowledged nor lost
	ended   bool       // its last record was handed over
	dropped bool       // it could not be read to its end: the feed offers it again
	slot    bool       // it is one of the maxParked, from its first loss to its end
	lost    ack.Ranges // records that were not acknowledged in time, by their place
}

// progress decides what may be handed over, and when an object is done. There are two:
// window counts acknowledgements, clock counts time.
type progress interface {
	// room returns how many bytes may be handed over now, and whether nothing is on its
	// way: then one block may be larger than that. With again it is about the objects
	// that again returned, which have room when others have none.
	room(again bool) (bytes int, empty bool)
	// hand notes what is being handed over, and numbers its records.
	hand(list []block, now time.Time)
	// taken notes whether Fluent Bit has taken all that was handed over. If not, it is
	// offered again.
	taken(ok bool, now time.Time)
	// drop notes that an object could not be read to its end.
	drop(*flight)
	// pause notes that Fluent Bit takes nothing, or takes it again.
	pause(on bool, now time.Time)
	// done returns the objects that have become done, each once.
	done(now time.Time) []source.Object
	// wait returns when there is room, or the context ends.
	wait(ctx context.Context)
	// moved has an item when there may be more room than before. It has one receiver,
	// which is not wait.
	moved() <-chan struct{}
	// again returns the objects that are to be read once more now.
	again(now time.Time) []*flight
	// close ends the goroutines. A second call does nothing.
	close() error
}

// clock takes an object for done a time after its last record was handed over: nobody
// acknowledges that Kafka has it. The time in which Fluent Bit pauses the input does not
// count, because nothing moves then. Safe for concurrent use.
type clock struct {
	settle time.Duration

	mu      sync.Mutex      // guards the following
	offered []source.Object // their last record was handed over, and perhaps not taken
	handed  []handedOver
	paused  bool
	since   time.Time     // the beginning of the present pause
	pausing time.Duration // all pauses before it
}

// handedOver is an object whose last record Fluent Bit took when the clock had paused for
// so long. There is at most one per object that the feed has in mind.
type handedOver struct {
	object  source.Object
	at      time.Time
	pausing time.Duration
}

func (c *clock) room(bool) (int, bool) { return math.MaxInt, true }

func (c *clock) hand(list []block, _ time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range list {
		if b.end {
			c.offered = append(c.offered, b.of.object)
		}
	}
}

func (c *clock) taken(ok bool, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !ok {
		return
	}
	pausing := c.pausing
	if c.paused {
		pausing += now.Sub(c.since)
	}
	for _, o := range c.offered {
		c.handed = append(c.handed, handedOver{o, now, pausing})
	}
	c.offered = c.offered[:0]
}

func (c *clock) drop(*flight) {}

func (c *clock) pause(on bool, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if on && !c.paused {
		c.since = now
	}
	if !on && c.paused {
		c.pausing += now.Sub(c.since)
	}
	c.paused = on
}

func (c *clock) done(now time.Time) (list []source.Object) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.paused {
		now = c.since
	}
	n := 0
	for n < len(c.handed) && now.Sub(c.handed[n].at)-(c.pausing-c.handed[n].pausing) >= c.settle {
		list = append(list, c.handed[n].object)
		n++
	}
	c.handed = append([]handedOver(nil), c.handed[n:]...)
	return list
}

func (c *clock) moved() <-chan struct{}    { return nil } // there is always room
func (c *clock) wait(context.Context)      {}
func (c *clock) again(time.Time) []*flight { return nil }
func (c *clock) close() error              { return nil }
