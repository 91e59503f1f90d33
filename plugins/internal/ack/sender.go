package ack

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"
)

const (
	// MaxPaths bounds the sockets of one Sender, each a goroutine.
	MaxPaths = 8
	// MaxRunRanges bounds the unconfirmed ranges of one run. in_kms confirms within
	// milliseconds, so only a run that has ended, or one whose in_kms hangs, comes near.
	MaxRunRanges = 16_384
	// maxRuns bounds the runs: the MaxPaths that are connected, and as many of which
	// Fluent Bit's storage still held chunks.
	maxRuns = 2 * MaxPaths
	// The pauses between two tries to connect.
	firstPause, longestPause = 100 * time.Millisecond, 5 * time.Second
)

// Sender tells each connected in_kms which of its records are delivered.
// Its methods may be called from any goroutine.
type Sender struct {
	name   string
	health func(Run) Health
	say    func(format string, args ...any)
	cancel context.CancelFunc
	links  []*link
	ended  sync.WaitGroup

	mu    sync.Mutex // guards the following
	runs  map[Run]*Ranges
	order []Run // by the time of their first number
}

// link is the connection to one socket.
type link struct {
	path string
	wake chan struct{} // has an item when there is something to send
	idle chan struct{} // has an item when everything was confirmed

	run   Run  // guarded by Sender.mu
	ready bool // guarded by Sender.mu: connected, and run is known
}

// NewSender connects to the sockets at paths, and again whenever a connection ends.
// name is that of the output. The Sender calls health for each message to a run, and say for
// each line for the log.
func NewSender(paths []string, name string, health func(Run) Health, say func(format string, args ...any)) *Sender {
	ctx, cancel := context.WithCancel(context.Background())
	s := &Sender{name: name[:min(len(name), maxName)], health: health, say: say, cancel: cancel, runs: map[Run]*Ranges{}}
	for _, path := range paths {
		l := &link{path: path, wake: make(chan struct{}, 1), idle: make(chan struct{}, 1)}
		s.links = append(s.links, l)
		s.ended.Go(func() { s.keep(ctx, l) })
	}
	return s
}

// Add notes that the numbers of list, of one run, are delivered. It does not wait.
func (s *Sender) Add(run Run, list []Range) {
	s.mu.Lock()
	defer s.mu.Unlock()
	set := s.runs[run]
	if set == nil {
		s.admit(run)
		set = s.runs[run]
	}
	for _, r := range list {
		set.Add(r)
	}
	if set.Len() > MaxRunRanges { // in_kms hands over again what is dropped
		set.Drop(MaxRunRanges)
	}
	for _, l := range s.links {
		if l.ready && l.run == run {
			signal(l.wake)
		}
	}
}

// admit makes room for a run: the oldest that is not connected goes.
func (s *Sender) admit(run Run) {
	if len(s.order) >= maxRuns {
		i := max(0, slices.IndexFunc(s.order, func(r Run) bool {
			return !s.connected(r)
		}))
		delete(s.runs, s.order[i])
		s.order = slices.Delete(s.order, i, i+1)
	}
	s.runs[run] = &Ranges{}
	s.order = append(s.order, run)
}

// Connected reports whether the in_kms of a run is connected.
func (s *Sender) Connected(run Run) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.connected(run)
}

func (s *Sender) connected(run Run) bool {
	return slices.ContainsFunc(s.links, func(l *link) bool { return l.ready && l.run == run })
}

// Close sends the remaining ranges, waits at most d for the confirmations, and ends the
// connections.
func (s *Sender) Close(d time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	for _, l := range s.links {
		for s.pending(l) && ctx.Err() == nil {
			signal(l.wake)
			select {
			case <-l.idle:
			case <-ctx.Done():
			}
		}
	}
	s.cancel()
	s.ended.Wait()
}

// pending reports whether a connected in_kms has not confirmed everything.
func (s *Sender) pending(l *link) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return l.ready && s.runs[l.run] != nil && s.runs[l.run].Len() > 0
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// keep holds the connection to one socket until the Sender ends.
func (s *Sender) keep(ctx context.Context, l *link) {
	pause, last := firstPause, ""
	for ctx.Err() == nil {
		met, err := s.session(ctx, l)
		s.mu.Lock()
		l.ready = false
		s.mu.Unlock()
		signal(l.idle)
		if ctx.Err() != nil {
			return
		}
		if met {
			pause, last = firstPause, ""
		}
		// An in_kms that starts later, or again, is not worth a line at once.
		if text := err.Error(); pause == longestPause && text != last {
			last = text
			s.say("cannot acknowledge to in_kms at %q: %s; trying again every %v", l.path, text, longestPause)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, longestPause)
	}
}

// session is one connection. met reports whether an in_kms welcomed this output.
func (s *Sender) session(ctx context.Context, l *link) (met bool, err error) {
	dialer := net.Dialer{Timeout: patience}
	c, err := dialer.DialContext(ctx, "unix", l.path)
	if err != nil {
		return false, err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	if err := sameUser(c.(*net.UnixConn)); err != nil {
		return false, err
	}
	p := peer{conn: c, r: bufio.NewReaderSize(c, 1024)}
	if err := p.send(&frame{kind: kindHello, name: s.name}); err != nil {
		return false, err
	}
	if err := p.receive(); err != nil {
		return false, err
	}
	switch p.f.kind {
	case kindWelcome:
	case kindRefuse:
		return false, fmt.Errorf("it refuses: %s", p.f.text)
	default:
		return false, fmt.Errorf("a message of the kind %d instead of a welcome", p.f.kind)
	}
	run := p.f.run
	s.mu.Lock()
	l.run, l.ready = run, true
	s.mu.Unlock()
	return true, s.talk(ctx, l, &p, run)
}

// talk sends acknowledgements one message at a time, each until it is confirmed.
func (s *Sender) talk(ctx context.Context, l *link, p *peer, run Run) error {
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	var ranges []Range
	for number := uint64(1); ; number++ {
		ranges = s.first(run, ranges[:0])
		f := frame{kind: kindAcks, number: number, run: run, health: s.health(run), ranges: ranges}
		if err := p.send(&f); err != nil {
			return err
		}
		if err := p.receive(); err != nil {
			return err
		}
		if p.f.kind != kindConfirm || p.f.number != number {
			return fmt.Errorf("a message of the kind %d, number %d, instead of the confirmation of %d",
				p.f.kind, p.f.number, number)
		}
		if s.confirmed(run, ranges) {
			continue // there is more
		}
		signal(l.idle)
		select {
		case <-l.wake:
		case <-tick.C:
		case <-ctx.Done():
			return errors.New("the output ends")
		}
	}
}

// first appends the ranges to send next to dst.
func (s *Sender) first(run Run, dst []Range) []Range {
	s.mu.Lock()
	defer s.mu.Unlock()
	set := s.runs[run]
	if set == nil {
		return dst
	}
	return append(dst, set.List()[:min(set.Len(), MaxFrameRanges)]...)
}

// confirmed forgets ranges that in_kms has. It reports whether others are left.
func (s *Sender) confirmed(run Run, list []Range) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	set := s.runs[run]
	if set == nil {
		return false
	}
	for _, r := range list {
		set.Remove(r)
	}
	return set.Len() > 0
}
