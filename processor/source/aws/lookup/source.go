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

// Config selects the events that a Source looks up.
type Config struct {
	// Regions are looked up concurrently; empty means the client's region.
	Regions []string
	// Start is the event time of the first events. It applies to the first run; later
	// runs continue from the checkpoint.
	Start time.Time
	// Delay is how long after a call its event is looked up.
	Delay time.Duration
	// All looks up every event; otherwise those of KMS and of CloudTrail itself.
	All bool
	// Checkpoint is the file that records the progress of each region.
	Checkpoint string
	// Now is the clock.
	Now func() time.Time
}

// DefaultDelay is CloudTrail's documented maximum. In a real trail it took at most 10
// minutes.
const DefaultDelay = 15 * time.Minute

const (
	// again is the age at which a slice is looked up a second time, for late events:
	// while their windows still accept them.
	again = time.Hour
	// slice is the event time of one lookup. An answer begins with the newest event, so a
	// slice also bounds the disorder of events.
	slice = 10 * time.Minute
	// shortest is the minimum event time of one lookup.
	shortest = time.Minute
	// ahead bounds the slices of a region and look that are offered and not done,
	// including retries but not parked slices: settling takes a minute, and a day has 144
	// slices. A failing region waits after that many, without holding up others; forty
	// regions and two looks have at most 2,560 on the list.
	ahead = 32
)

// Source walks through the event history. It looks up each range of time when it is Delay
// old, and again when it is an hour old; consumers recognize the repeated events by their
// ids. A slice that cannot be looked up goes to a list (source.Retries), which survives
// restarts, and later slices go on. Time not looked up within 90 days is lost, and gets a
// dead letter. Poll is for one goroutine; the other methods may be called meanwhile.
type Source struct {
	cfg    Config
	client *Client

	mu      sync.Mutex // guards the following
	walks   []*walk
	retries *source.Retries // by part.name
	dirty   bool
	kept    map[string]progress // of regions in the checkpoint, configured or not
}

// walk is the progress through one region in one of the two looks.
type walk struct {
	region string
	second bool
	done   time.Time // everything before it is done, or on the retry list
	parts  []*part   // offered slices after it, in order
	parked []*part   // on the list
}

type part struct {
	from, to time.Time
	name     string
	object   source.Object
	done     bool
	gone     bool // beyond the event history
}

// New reads the checkpoint, if any, and returns a Source. It makes no call.
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
				start = time.Time{} // the beginning of the history at the time of the lookup
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

// Poll returns the slices to look up now: at most one per region and look. Pass each
// object to Done or Retry in the end.
func (s *Source) Poll(ctx context.Context) ([]source.Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now().UTC()
	ready := s.due(ctx, now)
	for i, w := range s.walks {
		limit := now.Add(-s.cfg.Delay)
		if w.second {
			// Not before the first look, nor if that was late enough itself.
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

// crowded returns the error that nothing new is offered.
func (s *Source) crowded() error {
	if s.retries.Room() > 0 {
		return nil
	}
	return fmt.Errorf("%d slices of time are not acknowledged, so new ones wait: resolve the errors in the log",
		s.retries.Len())
}

// due returns the slices that are due for a retry. Slices beyond the history end in a
// dead letter.
func (s *Source) due(ctx context.Context, now time.Time) (ready []source.Object) {
	for _, name := range s.retries.Due(now) {
		w, p := s.find(source.Object{Name: name})
		p.gone = p.from.Before(now.Add(-Retention))
		p.object = s.object(ctx, w, p)
		ready = append(ready, p.object)
	}
	return ready
}

// first returns limit, or the progress of the first look if that is earlier.
func (w *walk) first(limit time.Time) time.Time {
	if w.done.Before(limit) {
		return w.done
	}
	return limit
}

// next returns the slice after the last offered one, up to limit; nil if it would be too
// short.
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
		from = to // all of it: from the beginning of the history
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

// ReasonExpired is the reason of dead letters for time beyond the event history.
const ReasonExpired = "history_expired"

// own are the attributes of the events that Keytrail counts.
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
			"the events of %s from %s to %s were not looked up within the %d days of the event history; a trail may have them",
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
	if i := slices.Index(s.walks, w); !w.second && now.Sub(w.done) > again+s.cfg.Delay && len(s.walks[i+1].parts) == 0 &&
		s.walks[i+1].done.Before(w.done) {
		s.walks[i+1].done = w.done
	}
}

// move advances the walk over finished slices.
func (w *walk) move() {
	for len(w.parts) > 0 && w.parts[0].done {
		w.done = w.parts[0].to
		w.parts = w.parts[1:]
	}
}

// Retry returns a slice that could not be looked up because of err: a later Poll offers
// it again. It reports false if the slice must be given up, as time beyond the history
// is: the caller writes its dead letter, and calls Done in the end.
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

// Park removes a slice that was looked up, but is not Done soon, from the path of
// progress: later slices go on, it is not offered again in this run, and the checkpoint
// lists it for a retry. Done or Retry follows.
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

// park puts a slice on the list, so that the walk goes on.
func (w *walk) park(p *part) {
	p.done = true
	w.parked = append(w.parked, p)
	w.move()
}

// waiting returns how many slices of the walk are offered, or on the list because of
// errors.
func (s *Source) waiting(w *walk) int {
	n := len(w.parts)
	for _, p := range w.parked {
		if !s.retries.Parked(p.name) {
			n++
		}
	}
	return n
}

// Waiting returns the state of the retry list.
func (s *Source) Waiting() source.RetryStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.retries.Stats(s.cfg.Now())
}

// find returns the slice of an object of Poll, or nil.
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
