package sink

import (
	"fmt"
	"time"
)

// verdict is what one answer of a sink means for each record of its batch.
type verdict struct {
	// rejected holds for each record the refusal that names it, or nil. It is nil
	// as a whole when nothing was refused.
	rejected []*Rejected
	retry    []int         // indexes to send again
	unsent   []int         // indexes that were not sent
	left     []int         // those of retry and unsent, in order
	split    *Rejected     // the refusal of the whole batch, to be halved
	after    time.Duration // the longest pause asked for
	partial  *Partial
	known    int     // accepted records that the sink had already
	paused   *Paused // nobody takes what is in retry before something is mended
	unasked  bool    // the sink was not asked
}

// judge reads err, the answer of a sink for a batch of n records; nil accepts all of them. A
// sink that names a record outside its batch is not believed at all: its whole batch is sent
// again, since any other reading could lose a record.
func judge(err error, n int) verdict {
	j := judgment{n: n}
	j.visit(err)
	if j.bad != nil {
		return verdict{retry: all(n), left: all(n)}
	}
	v := verdict{after: j.after, partial: j.partial, known: j.known, paused: j.paused}
	again, unsent := make([]bool, n), make([]bool, n)
	for _, u := range j.unsent {
		mark(unsent, u.Records)
	}
	if j.paused != nil || j.unknown {
		mark(again, nil)
	}
	for _, t := range j.throttled {
		mark(again, t.Records)
	}
	if len(j.rejected) > 0 {
		v.rejected = make([]*Rejected, n)
	}
	for _, r := range j.rejected {
		if r.Records == nil && j.paused != nil {
			continue // the two contradict each other; the pause loses nothing
		}
		if r.Records == nil && r.Split && j.paused == nil && n > 1 {
			return verdict{split: r}
		}
		for i := range v.rejected {
			if r.Records == nil && !unsent[i] {
				v.rejected[i] = r
			}
		}
		for _, i := range r.Records {
			v.rejected[i] = r
		}
	}
	for i := range n {
		switch {
		case v.rejected != nil && v.rejected[i] != nil || !again[i] && !unsent[i]:
			continue
		case unsent[i]:
			v.unsent = append(v.unsent, i)
		default:
			v.retry = append(v.retry, i)
		}
		v.left = append(v.left, i)
	}
	if len(v.unsent) == n { // a sink that sends nothing has failed
		v.retry, v.unsent = v.unsent, nil
	}
	return v
}

// judgment gathers the parts of one error.
type judgment struct {
	n         int
	rejected  []*Rejected
	throttled []*Throttled
	unsent    []*Unsent
	partial   *Partial
	known     int
	paused    *Paused
	after     time.Duration
	unknown   bool  // an error of no known type: the batch may not have arrived
	bad       error // an index outside the batch
}

// visit walks err, its wrapped error and the errors it joins. The types
// of this package end the walk: what they wrap is their text, not their kind.
func (j *judgment) visit(err error) {
	switch e := err.(type) {
	case nil:
		return
	case *Rejected:
		j.check(e.Records)
		j.rejected = append(j.rejected, e)
		return
	case *Throttled:
		j.check(e.Records)
		j.throttled = append(j.throttled, e)
		j.after = max(j.after, e.After)
		return
	case *Unsent:
		j.check(e.Records)
		j.unsent = append(j.unsent, e)
		return
	case *Partial:
		j.partial = e
		return
	case *Duplicate:
		j.known += max(e.Records, 0)
		return
	case *Paused:
		j.paused, j.after = e, max(j.after, e.After)
		return
	}
	switch e := err.(type) {
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			j.visit(inner)
		}
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			j.visit(inner)
			return
		}
		j.unknown = true
	default:
		j.unknown = true
	}
}

func (j *judgment) check(records []int) {
	for _, i := range records {
		if i < 0 || i >= j.n {
			j.bad = fmt.Errorf("record %d of a batch of %d", i, j.n)
		}
	}
}

// mark sets the entries that records names; nil names all of them.
func mark(set []bool, records []int) {
	if records == nil {
		for i := range set {
			set[i] = true
		}
	}
	for _, i := range records {
		set[i] = true
	}
}

// all returns the indexes of n records.
func all(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}
