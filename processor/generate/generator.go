package generate

import (
	"cmp"
	"iter"
	"slices"
	"time"
)

// Event is one CloudTrail record in one account's trail.
type Event struct {
	Time      time.Time // event time, whole seconds, UTC
	Delivered time.Time // when its file is delivered, UTC
	Account   string    // whose trail contains it: recipientAccountId
	Region    string
	// JSON is the minified record. The receiver may keep but not change it: both Events
	// of a record delivered twice share the bytes.
	JSON []byte

	call uuid // the call's id
}

// Generator makes one trail. See the package comment.
type Generator struct {
	config  Config
	world   *world
	planted []*call   // the attacks, by time
	labels  []Label   // by time
	lag     lag       // of files
	coarse  time.Time // files until then come every coarseEvery; zero: none do
}

// coarseEvery is the time between two files in the history of a live trail: fewer files are
// sooner read.
const coarseEvery = 15 * time.Minute

// lag is how long after its event a file is delivered, before rounding up to the next
// multiple of Config.FileEvery: at least least, and up to spread more.
type lag struct{ least, spread time.Duration }

// usualLag is CloudTrail's: most files come within 7 minutes.
var usualLag = lag{2 * time.Minute, 8 * time.Minute}

// New lays out the trail of a Config: who uses which keys, and when the attacks are. The
// error names the invalid field and its allowed values.
func New(c Config) (*Generator, error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	g := &Generator{config: c, world: buildWorld(c), lag: usualLag}
	if c.long() {
		g.world.change(newRandom(c.Seed, streamChanges), c)
	}
	g.world.scaleRates(newRandom(c.Seed, streamWorld+1), c)
	if err := g.plant(); err != nil {
		return nil, err
	}
	return g, nil
}

// Labels returns the ground truth of the attacks, ordered by start. The receiver owns the
// slice, but not the memory it points to.
func (g *Generator) Labels() []Label { return slices.Clone(g.labels) }

// end is the time before which all events are.
func (g *Generator) end() time.Time { return g.config.Start.Add(g.config.Duration) }

// Events yields the records in order of event time; a record that is delivered twice
// comes twice in a row. It holds the calls of one hour at a time.
func (g *Generator) Events() iter.Seq[Event] {
	return func(yield func(Event) bool) {
		var calls []call
		for from := g.config.Start; from.Before(g.end()); from = from.Add(time.Hour) {
			if !g.recordHour(&calls, from, yield) {
				return
			}
		}
	}
}

// recordHour yields the records of the hour that begins at from, a whole number of hours
// after Config.Start, and reports whether to go on. It depends on no other hour. calls is
// memory that it uses again.
func (g *Generator) recordHour(calls *[]call, from time.Time, yield func(Event) bool) bool {
	r := newRandom(g.config.Seed, streamHours+uint64(from.Sub(g.config.Start)/time.Hour))
	*calls = g.hour((*calls)[:0], r, from.Unix())
	out := recorder{g: g, r: r, yield: yield}
	for i := range *calls {
		if !out.write(&(*calls)[i]) {
			return false
		}
	}
	return true
}

// hour appends the calls of [from, from+3600), in order of time.
func (g *Generator) hour(calls []call, r random, from int64) []call {
	var times []int64
	for _, e := range g.world.edges {
		times = e.appendTimes(times[:0], r, from)
		for _, at := range times {
			calls = append(calls, e.newCall(r, at))
		}
	}
	first, _ := slices.BinarySearchFunc(g.planted, from, func(c *call, at int64) int { return cmp.Compare(c.at, at) })
	for _, c := range g.planted[first:] {
		if c.at >= from+3600 {
			break
		}
		calls = append(calls, *c)
	}
	slices.SortStableFunc(calls, func(a, b call) int { return cmp.Compare(a.at, b.at) })
	last, _ := slices.BinarySearchFunc(calls, g.end().Unix(), func(c call, at int64) int { return cmp.Compare(c.at, at) })
	return calls[:last]
}

// failureShare is the share of background calls that fail.
const failureShare = 0.01

// newCall makes one background call.
func (e *edge) newCall(r random, at int64) call {
	c := call{
		at: at, who: e.who, key: e.key, op: e.choose(r), form: e.form,
		object: int(e.seed%900) + r.IntN(e.objects),
		id:     r.uuid(), requestID: r.uuid(),
	}
	if c.op.keyless {
		c.key = nil
	}
	if c.op.crypto && e.key.down.holds(at) {
		c.err = errState
		return c
	}
	if e.who.kind != isInternal && r.chance(failureShare) {
		c.err = pick(r, backgroundFailures)
		if c.err == errDenied && e.who.kind == isService || c.err == errCiphertext && c.op != opDecrypt {
			c.err = errTimeout
		}
	}
	return c
}

// blockSize is the size of the memory blocks for JSON. A block is freed once all
// receivers of its records have dropped them.
const blockSize = 256 << 10

// recorder turns calls into records and yields them.
type recorder struct {
	g     *Generator
	r     random
	yield func(Event) bool
	block []byte
}

// write yields the records of one call; false ends the iteration.
func (w *recorder) write(c *call) bool {
	accounts, n := c.recipients()
	region := c.region(w.g.config.Regions[0])
	for _, account := range accounts[:n] {
		eventID := c.id
		if c.shared() {
			eventID = w.r.uuid()
		}
		twice := w.r.chance(w.g.config.DuplicateShare)
		event := Event{Time: time.Unix(c.at, 0).UTC(), Account: account, Region: region, call: c.id}
		var every time.Duration
		event.Delivered, every = w.delivery(event.Time)
		again := event.Delivered.Add(time.Duration(w.r.between(1, 2)) * every)
		if w.g.world.hidden(account, c.at, !c.op.cloudTrail) {
			continue
		}
		const roomy = 4 << 10 // more than any record that this package makes
		if cap(w.block)-len(w.block) < roomy {
			w.block = make([]byte, 0, blockSize)
		}
		start := len(w.block)
		w.block = appendRecord(w.block, c, account, region, eventID)
		event.JSON = w.block[start:len(w.block):len(w.block)]
		if !w.deliver(event, again, twice) {
			return false
		}
	}
	return true
}

// deliver yields a record once per delivery.
func (w *recorder) deliver(event Event, again time.Time, twice bool) bool {
	late, extra := w.g.world.deliveries(&event)
	if event.Delivered = event.Delivered.Add(late); !w.yield(event) {
		return false
	}
	for _, at := range extra {
		if event.Delivered = at; !w.yield(event) {
			return false
		}
	}
	event.Delivered = again.Add(late)
	return !twice || w.yield(event)
}

// delivery returns when an event's file is delivered: in time after its lag, on a multiple
// of every, the time between two files.
func (w *recorder) delivery(at time.Time) (file time.Time, every time.Duration) {
	late := time.Duration(float64(w.g.lag.spread/4) * noise(w.r.Uint64(), 1))
	in := func(every time.Duration) time.Time {
		file := at.Add(w.g.lag.least + late%w.g.lag.spread).Truncate(every)
		if file.Before(at.Add(w.g.lag.least)) {
			file = file.Add(every)
		}
		return file
	}
	if file = in(coarseEvery); !file.Add(2 * coarseEvery).After(w.g.coarse) {
		return file, coarseEvery
	}
	return in(w.g.config.FileEvery), w.g.config.FileEvery
}
