package lookup

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"keytrail/processor/source"
)

// Config says what a Source looks up.
type Config struct {
	// Regions are looked up side by side; empty is the client's own.
	Regions []string
	// Start is the event time from which on events are looked up. It holds for the
	// first run; the checkpoint keeps where it is.
	Start time.Time
	// Delay is how long after a call its event is looked up.
	Delay time.Duration
	// All looks up every event; otherwise those of KMS and of CloudTrail itself.
	All bool
	// Checkpoint is the file that remembers how far each region is.
	Checkpoint string
	// Now is the clock.
	Now func() time.Time
}

// DefaultDelay is how long CloudTrail may take, by its documents. In a real trail it
// took at most 10 minutes.
const DefaultDelay = 15 * time.Minute

const (
	// again is when a slice is looked up for the second time, for events that were
	// late: while they still can be counted in their window.
	again = time.Hour
	// slice is how much event time is looked up at once. An answer begins with the
	// newest event, so that a slice is also how far events may be out of order.
	slice = 10 * time.Minute
	// shortest is the least time that is looked up by itself.
	shortest = time.Minute
	// ahead is how many slices of a region and look are offered and not done, those on
	// the list of retries included, but not those that are parked: what settles takes a minute, and a day has 144 of
	// them. A region that cannot be looked up waits behind so many, and holds up no
	// other; of forty regions and two looks they are 2,560 on the list at most.
	ahead = 32
)

// Source walks through the event history. Each stretch of time is looked up when it
// is Delay old, and once more when it is an hour old, which repeats its events; they
// are told by their ids. A slice that cannot be looked up goes to a list
// (source.Retries), also over a restart, and those behind it go on. What was not looked
// up within 90 days is gone: a dead letter says so. Poll is for one goroutine; the other
// methods may be called meanwhile.
type Source struct {
	cfg    Config
	client *Client

	mu      sync.Mutex // guards the following
	walks   []*walk
	retries *source.Retries // by part.name
	dirty   bool
	kept    map[string]progress // of regions that the checkpoint has, the configured ones or not
}

// walk is the way through one region for one of the two looks.
type walk struct {
	region string
	second bool
	done   time.Time // everything before is done, or on the list of retries
	parts  []*part   // offered behind it, in order
	parked []*part   // on the list
}

type part struct {
	from, to time.Time
	name     string
	object   source.Object
	done     bool
	gone     bool // before what the event history holds
}

// New reads the checkpoint, if there is one, and returns a Source. It calls nothing.
func New(cfg aws.Config, c Config) (*Source, error) {
	s := &Source{cfg: c, client: NewClient(cfg), retries: source.NewRetries()}
	state, err := loadState(c.Checkpoint, c.Now())
	if err != nil {
		return nil, err
	}
	regions := c.Regions
	if len(regions) == 0 {
		regions = []string{s.client.Region()}
	}
	for i, region := range regions {
		if slices.Contains(regions[:i], region) {
			continue // two walks of one name would take each other's slices
		}
		at, known := state.Regions[region]
		if !known {
			start := c.Start
			if start.Before(c.Now().Add(-Retention)) {
				start = time.Time{} // the beginning of the history, wherever that is by then
			}
			at = progress{Done: start, Again: start}
		}
		first := &walk{region: region, done: at.Done.Truncate(time.Second)}
		second := &walk{region: region, second: true, done: at.Again.Truncate(time.Second)}
		s.walks = append(s.walks, first, second)
		for _, r := range at.Retry {
			w := first
			if r.Second {
				w = second
			}
			p := &part{from: r.From, to: r.To}
			w.parked = append(w.parked, p)
			p.object = s.object(context.Background(), w, p) // of Poll's context, once it is offered
			s.retries.Restore(p.name, p.object, r.RetryState)
		}
	}
	s.dirty, s.kept = true, state.Regions
	return s, nil
}

// Poll returns what is to be looked up now: at most one slice for each region and
// look. Each object must be given to Done or Retry in the end.
func (s *Source) Poll(ctx context.Context) ([]source.Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now().UTC()
	ready := s.due(ctx, now)
	for i, w := range s.walks {
		limit := now.Add(-s.cfg.Delay)
		if w.second {
			// Not before the first look, and not where that came late enough.
			limit = s.walks[i-1].first(now.Add(-again - s.cfg.Delay))
		}
		if s.waiting(w) >= ahead || s.retries.Room() == 0 {
			continue
		}
		if p := w.next(limit, now.Add(-Retention)); p != nil {
			p.object = s.object(ctx, w, p)
			w.parts = append(w.parts, p)
			ready = append(ready, p.object)
		}
	}
	return ready, s.crowded()
}

// crowded says that nothing new is offered.
func (s *Source) crowded() error {
	if s.retries.Room() > 0 {
		return nil
	}
	return fmt.Errorf("%d stretches of time are not acknowledged, and new ones wait until there are fewer: mend what the log says of them",
		s.retries.Len())
}

// due returns the slices whose time to be tried again has come. Slices that the history
// no longer holds end in a dead letter.
func (s *Source) due(ctx context.Context, now time.Time) (ready []source.Object) {
	for _, name := range s.retries.Due(now) {
		w, p := s.find(source.Object{Name: name})
		p.gone = p.from.Before(now.Add(-Retention))
		p.object = s.object(ctx, w, p)
		ready = append(ready, p.object)
	}
	return ready
}

// first returns limit, or where the first look is when that is earlier.
func (w *walk) first(limit time.Time) time.Time {
	if w.done.Before(limit) {
		return w.done
	}
	return limit
}

// next returns the slice behind what was offered, up to limit; nil when it would be
// too short.
func (w *walk) next(limit, oldest time.Time) *part {
	from := w.done
	if n := len(w.parts); n > 0 {
		from = w.parts[n-1].to
	}
	if from.Before(oldest) {
		to := oldest.Truncate(time.Second).Add(time.Second)
		if !w.done.IsZero() && !w.second {
			return &part{from: from, to: to, gone: true}
		}
		from = to // from the beginning on, which is the beginning of the history
	}
	limit = limit.Truncate(time.Second)
	if limit.Sub(from) < shortest {
		return nil
	}
	to := from.Add(slice)
	if limit.Before(to) {
		to = limit
	}
	return &part{from: from, to: to}
}

// ReasonExpired is the reason of the dead letter about time that the event history no
// longer holds.
const ReasonExpired = "history_expired"

// own are the attributes of what Keytrail counts.
var own = []Attribute{{"EventSource", "kms.amazonaws.com"}, {"EventSource", "cloudtrail.amazonaws.com"}}

func (s *Source) object(ctx context.Context, w *walk, p *part) source.Object {
	look := "lookup"
	if w.second {
		look = "lookup-again"
	}
	p.name = fmt.Sprintf("%s:%s/%s/%s", look, w.region, p.from.Format(time.RFC3339), p.to.Format(time.RFC3339))
	q := Query{Region: w.region, Attributes: own, From: p.from, To: p.to}
	if s.cfg.All {
		q.Attributes = nil
	}
	if p.gone {
		err := &source.Rejected{Reason: ReasonExpired, Detail: fmt.Sprintf(
			"the events of %s from %s to %s were not looked up within the %d days that the event history holds; a trail may have them",
			w.region, p.from.Format(time.RFC3339), p.to.Format(time.RFC3339), int(Retention.Hours())/24)}
		return source.Object{Name: p.name, Size: -1, Open: func() (io.ReadCloser, error) { return nil, err }}
	}
	return source.Object{Name: p.name, Size: -1, Open: func() (io.ReadCloser, error) { return s.client.Open(ctx, q), nil }}
}

// Done marks a slice as done.
func (s *Source) Done(o source.Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w, p := s.find(o)
	if p == nil {
		return
	}
	s.dirty = true
	s.retries.Done(p.name)
	w.parked = slices.DeleteFunc(w.parked, func(one *part) bool { return one == p })
	p.done = true
	w.move()
	now := s.cfg.Now()
	// A slice that was an hour old at its first look needs no second.
	if i := slices.Index(s.walks, w); !w.second && now.Sub(w.done) > again+s.cfg.Delay && len(s.walks[i+1].parts) == 0 && s.walks[i+1].done.Before(w.done) {
		s.walks[i+1].done = w.done
	}
}

// move takes the walk over what is done.
func (w *walk) move() {
	for len(w.parts) > 0 && w.parts[0].done {
		w.done = w.parts[0].to
		w.parts = w.parts[1:]
	}
}

// Retry gives back a slice that could not be looked up because of err: a later Poll
// offers it again. It reports false when it is to be given up, which happens to what the
// event history no longer holds: its dead letter is written, and Done is called in the
// end.
func (s *Source) Retry(o source.Object, err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	w, p := s.find(o)
	if p == nil {
		return true
	}
	known := s.retries.Get(p.name) != nil
	if !s.retries.Failed(p.name, o, source.Judge(err), s.cfg.Now()) {
		return false
	}
	if !known {
		s.dirty = true
		w.park(p)
	}
	return true
}

// Park takes a slice out of the way that was looked up, and will not be Done soon: those
// behind it go on, it is not offered again in this run, and the checkpoint keeps it among
// those to be tried again. Done or Retry follows.
func (s *Source) Park(o source.Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w, p := s.find(o)
	if p == nil {
		return
	}
	known := s.retries.Get(p.name) != nil
	s.retries.Park(p.name, p.object, s.cfg.Now())
	s.dirty = true
	if !known {
		w.park(p)
	}
}

// park takes a slice onto the list: the walk goes on.
func (w *walk) park(p *part) {
	p.done = true
	w.parked = append(w.parked, p)
	w.move()
}

// waiting returns how many slices of the walk are offered, or on the list because they
// cannot be looked up.
func (s *Source) waiting(w *walk) int {
	n := len(w.parts)
	for _, p := range w.parked {
		if !s.retries.Parked(p.name) {
			n++
		}
	}
	return n
}

// Waiting returns the state of the list of what could not be looked up.
func (s *Source) Waiting() source.RetryStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.retries.Stats(s.cfg.Now())
}

// find returns the slice of an object that Poll returned, or nil.
func (s *Source) find(o source.Object) (*walk, *part) {
	for _, w := range s.walks {
		for _, list := range [][]*part{w.parked, w.parts} {
			for _, p := range list {
				if p.name == o.Name {
					return w, p
				}
			}
		}
	}
	return nil, nil
}
