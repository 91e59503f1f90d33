package source

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func TestJudge(t *testing.T) {
	f := func(err error, want Verdict) {
		t.Helper()
		if got := Judge(err); got != want {
			t.Errorf("%v is judged %s, want %s", err, got, want)
		}
	}
	f(errors.New("i/o timeout"), Busy)
	f(cannotRead("x", &fs.PathError{Op: "open", Path: "x", Err: fs.ErrPermission}), Forbidden)
	f(fmt.Errorf("x: %w", Denied(errors.New("AccessDenied"))), Forbidden)
	f(cannotRead("x", &fs.PathError{Op: "open", Path: "x", Err: fs.ErrNotExist}), Gone)
	f(fmt.Errorf("x: %w", &Rejected{Reason: ReasonGone}), Gone)
	f(&Rejected{Reason: ReasonArchived}, Damaged)
	f(&Rejected{Reason: "bad_json"}, Damaged)
	f(fmt.Errorf("%w: disk full: %w", ErrUnrecorded, &Rejected{Reason: "bad_json"}), Busy)
	var v Verdict
	for _, want := range []Verdict{Busy, Forbidden, Gone, Damaged} {
		text, err := want.MarshalText()
		if err != nil || v.UnmarshalText(text) != nil || v != want {
			t.Errorf("%s comes back as %s", want, v)
		}
	}
	if v.UnmarshalText([]byte("fine")) == nil {
		t.Error("an unknown verdict was taken")
	}
}

// Transient errors are retried for a year, with pauses that grow to a bound and have jitter.
func TestRetriesGoOn(t *testing.T) {
	for _, v := range []Verdict{Busy, Forbidden} {
		r := NewRetries()
		now := noon
		firsts := map[time.Duration]bool{}
		for i := range 20 {
			id := fmt.Sprint("other", i)
			r.Failed(id, Object{}, v, now)
			firsts[r.Get(id).State.Next.Sub(now)] = true
			r.Drop(id)
		}
		if len(firsts) < 10 {
			t.Errorf("20 objects that fail together are tried at %d times", len(firsts))
		}
		before := time.Duration(0)
		for try := 1; now.Sub(noon) < 365*24*time.Hour; try++ {
			if got := r.Failed("a", Object{Name: "a"}, v, now); !got {
				t.Fatalf("given up at try %d at %v of %s", try, now.Sub(noon), v)
			}
			wait := r.Get("a").State.Next.Sub(now)
			if wait < firstPause*3/4 || wait > longestPause*5/4 || try < 6 && wait < before {
				t.Fatalf("the pause after try %d is %v, before it was %v", try, wait, before)
			}
			if len(r.Due(now.Add(wait-1))) != 0 || len(r.Due(now.Add(wait))) != 1 || len(r.Due(now.Add(wait))) != 0 {
				t.Fatal("not offered once, when its time has come")
			}
			before, now = wait, now.Add(wait)
		}
		if got := r.Stats(now); got.Size != 1 || got.Oldest < 365*24*time.Hour || got.Full {
			t.Errorf("stats %+v", got)
		}
		if !r.Done("a") || r.Done("a") || r.Len() != 0 {
			t.Error("it is not taken off the list once")
		}
	}
}

func TestRetriesGone(t *testing.T) {
	r := NewRetries()
	fail := func(after time.Duration, v Verdict, want bool) {
		t.Helper()
		if got := r.Failed("a", Object{}, v, noon.Add(after)); got != want {
			t.Fatalf("after %v: again %v, want %v", after, got, want)
		}
	}
	fail(0, Gone, true)
	if next := r.Get("a").State.Next; next.Before(noon.Add(goneAfter)) {
		t.Errorf("the second look is at %v", next)
	}
	fail(goneAfter-1, Gone, true) // too soon to prove anything
	fail(goneAfter, Gone, false)
	if len(r.Due(noon.Add(24*time.Hour))) != 0 || !r.Done("a") || r.Len() != 0 {
		t.Error("what is given up is to stay on the list, and not be offered, until it is done")
	}
	fail(0, Gone, true)
	fail(time.Hour, Busy, true) // it may have returned in between
	fail(2*time.Hour, Gone, true)
	fail(time.Hour, Gone, true) // the clock went back
	fail(time.Hour+goneAfter, Gone, false)
	r.Done("a")
	fail(0, Damaged, false)
	if r.Len() != 0 {
		t.Error("what is damaged at once is on the list")
	}
	fail(0, Busy, true)
	fail(0, Damaged, false)
	if r.Len() != 1 {
		t.Error("what is damaged at the second try is forgotten before its dead letter is safe")
	}
}

// A full list leaves no room; all its objects are offered in turn.
func TestRetriesFull(t *testing.T) {
	r := NewRetries()
	for i := range MaxRetries {
		if r.Room() != MaxRetries-i || !r.Failed(fmt.Sprint(i), Object{}, Forbidden, noon) {
			t.Fatalf("object %d finds room for %d", i, r.Room())
		}
	}
	r.Failed("one more", Object{}, Busy, noon)
	if got := r.Stats(noon); got.Size != MaxRetries+1 || !got.Full || r.Room() != 0 {
		t.Errorf("%+v, room for %d", got, r.Room())
	}
	r.Done("7")
	offered := 0
	for {
		n := len(r.Due(noon.Add(time.Hour)))
		if n == 0 {
			break
		}
		if n > maxDue {
			t.Fatalf("%d at once", n)
		}
		offered += n
	}
	if offered != MaxRetries {
		t.Errorf("%d were offered of %d", offered, MaxRetries)
	}
}

// During an outage few objects are tried concurrently, so that they do not delay new
// ones; afterwards all are read soon. A clock that goes back hides nothing.
func TestRetriesProbe(t *testing.T) {
	r := NewRetries()
	for i := range 1000 {
		r.Failed(fmt.Sprint(i), Object{}, Busy, noon)
	}
	now := noon
	for range 10 {
		now = now.Add(longestPause * 2)
		for _, id := range r.Due(now) {
			r.Failed(id, Object{}, Busy, now)
		}
	}
	if n := len(r.Due(now.Add(longestPause * 2))); n != fewProbes {
		t.Errorf("%d are tried at once, want %d", n, fewProbes)
	}
	now = now.Add(-1000 * time.Hour)
	calls := 0
	for id := range r.All() { // the offered ones fail
		if e := r.Get(id); e.offered {
			r.Failed(id, Object{}, Busy, now)
		}
	}
	for ; r.Len() > 0 && calls < 100; calls++ {
		for _, id := range r.Due(now) {
			r.Done(id)
		}
		now = now.Add(time.Minute)
	}
	if r.Len() > 0 || calls > 40 {
		t.Errorf("%d are left after %d calls", r.Len(), calls)
	}
}

// A parked object takes no turn from busy ones, does not count as unreadable, and returns
// if reading it fails.
func TestRetriesPark(t *testing.T) {
	r := NewRetries()
	for i := range 100 {
		r.Park(fmt.Sprint("parked", i), Object{}, noon)
	}
	r.Failed("busy", Object{}, Busy, noon)
	later := noon.Add(365 * 24 * time.Hour)
	if due := r.Due(later); len(due) != 1 || due[0] != "busy" {
		t.Errorf("due are %q", due)
	}
	if got := r.Stats(noon); got.Size != 1 || r.Len() != 101 || r.Room() != MaxRetries-101 {
		t.Errorf("%+v of %d", got, r.Len())
	}
	if r.Take("parked0") {
		t.Error("what is parked was taken")
	}
	r.Park("busy", Object{}, later)
	if !r.Failed("parked1", Object{}, Busy, later) || !r.Failed("busy", Object{}, Forbidden, later) {
		t.Error("given up")
	}
	if due := r.Due(later.Add(time.Hour)); len(due) != 2 {
		t.Errorf("due are %q, want the two that failed", due)
	}
	if !r.Done("parked2") || r.Parked("parked2") || !r.Parked("parked3") {
		t.Error("Done takes what is parked off the list")
	}
}

func TestFollowerParks(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a", "")
	write(t, dir, "b", "")
	now := noon
	cfg := FollowerConfig{Path: dir, FromBeginning: true, Checkpoint: filepath.Join(t.TempDir(), "cp"), Now: func() time.Time { return now }}
	p := follow(t, cfg)
	p.poll()
	got := p.poll("a", "b")
	p.f.Park(got[0])
	p.done(got[1:])
	now = now.Add(24 * time.Hour)
	p.poll()
	if w := p.f.Waiting(); w.Size != 0 {
		t.Errorf("%+v cannot be read", w)
	}
	p = follow(t, cfg) // a restart
	got = p.poll("a")
	p.f.Park(got[0])
	p.poll()
	p.done(got)
	p = follow(t, cfg)
	p.poll()
	p.poll()
	write(t, dir, "c", "")
	p.poll()
	got = p.poll("c")
	p.f.Park(got[0])
	write(t, dir, "c", "changed")
	p.poll()
	p.done(got) // the former content
	p.poll("c")
}
