package ack

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// ears is an in_kms as far as the protocol goes.
type ears struct {
	mu     sync.Mutex // guards the following
	heard  map[string]*Ranges
	health map[string]Health
	there  int
	gone   int
	lines  []string
}

func newEars() *ears { return &ears{heard: map[string]*Ranges{}, health: map[string]Health{}} }

func (e *ears) say(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lines = append(e.lines, fmt.Sprintf(format, args...))
}

func (e *ears) handlers() Handlers {
	return Handlers{
		Acks: func(_ int, name string, h Health, list []Range) error {
			e.mu.Lock()
			defer e.mu.Unlock()
			if e.heard[name] == nil {
				e.heard[name] = &Ranges{}
				e.there++
			}
			for _, r := range list {
				if r.To > 1<<40 {
					return errors.New("never handed over")
				}
				e.heard[name].Add(r)
			}
			e.health[name] = h
			return nil
		},
		Gone: func(int, string) { e.mu.Lock(); defer e.mu.Unlock(); e.gone++ },
		Say:  e.say,
	}
}

func (e *ears) has(name string, r Range) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.heard[name] != nil && e.heard[name].Covers(r)
}

// await waits for what happens soon.
func await(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it did not happen: %s", what)
		}
	}
}

// socket returns a path in a directory of this user.
func socket(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ack") // t.TempDir's name may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

func quiet(string, ...any) {}
func healthy(Run) Health   { return Health{} }
func run(n byte) Run       { return Run{n} }
func one(n uint64) []Range { return []Range{{n, n + 1}} }
func listen(t *testing.T, path string, r Run, e *ears) *Listener {
	t.Helper()
	l, err := Listen(path, r, e.handlers())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestAcknowledgementsArrive(t *testing.T) {
	path, other, e, e2 := socket(t), socket(t), newEars(), newEars()
	s := NewSender([]string{path, other}, "a", func(Run) Health { return Health{Silent: time.Second, Unfinished: 3} }, quiet)
	s.Add(run(1), []Range{{1, 100}}) // before anybody listens
	s.Add(run(9), one(1))            // a run that has ended
	l, l2 := listen(t, path, run(1), e), listen(t, other, run(2), e2)
	s.Add(run(2), one(7))
	await(t, "1 to 99 arrive", func() bool { return e.has("a", Range{1, 100}) })
	await(t, "7 of the other run arrives", func() bool { return e2.has("a", Range{7, 8}) })
	if e.has("a", Range{100, 101}) || e2.has("a", Range{1, 2}) || !reflect.DeepEqual(e.health["a"], Health{Silent: time.Second, Unfinished: 3}) {
		t.Errorf("they heard %v and %v, health %v", e.heard["a"], e2.heard["a"], e.health["a"])
	}
	var many []Range
	for n := range uint64(3 * MaxFrameRanges) {
		many = append(many, Range{1000 + 2*n, 1001 + 2*n})
	}
	s.Add(run(1), many)
	s.Close(time.Minute) // it waits until all is confirmed
	if !e.has("a", Range{1000, 1001}) || !e.has("a", many[len(many)-1]) {
		t.Error("Close did not wait for the confirmation")
	}
	if err := errors.Join(l.Close(), l2.Close()); err != nil {
		t.Error(err)
	}
	if e.gone != 1 {
		t.Errorf("%d connections are gone, want 1", e.gone)
	}
}

// Connections break at any byte, in_kms restarts, and acknowledgements come in any
// order: each arrives in the end at the run that it belongs to, and nothing else does.
func TestAcknowledgementsSurviveBrokenConnections(t *testing.T) {
	for seed := range uint64(5) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		real, proxied := socket(t), socket(t)
		stop := breakingProxy(t, rnd.Uint64(), proxied, real)
		s := NewSender([]string{proxied}, "a", healthy, quiet)
		e := newEars()
		l := listen(t, real, run(1), e)
		for _, n := range rnd.Perm(3000) {
			s.Add(run(1), one(uint64(2*n)))
			if n%500 == 0 {
				time.Sleep(5 * time.Millisecond) // let some of them go
			}
		}
		await(t, "the last arrives", func() bool {
			e.mu.Lock()
			defer e.mu.Unlock()
			return e.heard["a"] != nil && e.heard["a"].Len() == 3000
		})
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		e2 := newEars()
		l = listen(t, real, run(2), e2)
		s.Add(run(1), one(1)) // too late: nobody waits for it
		s.Add(run(2), one(4))
		await(t, "the next run's arrives", func() bool { return e2.has("a", Range{4, 5}) })
		if e2.has("a", Range{1, 2}) {
			t.Error("a number of the run before arrived")
		}
		s.Close(0)
		l.Close()
		stop()
	}
}

// breakingProxy passes bytes on and breaks every connection after some of them.
func breakingProxy(t *testing.T, seed uint64, from, to string) (stop func()) {
	l, err := net.Listen("unix", from)
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	wait.Go(func() {
		rnd := rand.New(rand.NewPCG(seed, 3))
		for {
			a, err := l.Accept()
			if err != nil {
				return
			}
			b, err := net.Dial("unix", to)
			if err != nil {
				a.Close()
				continue
			}
			limit, back := 20+rnd.Int64N(40_000), 8+rnd.Int64N(400)
			wait.Go(func() { io.CopyN(b, a, limit); a.Close(); b.Close() })
			wait.Go(func() { io.CopyN(a, b, back); a.Close(); b.Close() })
		}
	})
	return func() { l.Close(); wait.Wait() }
}

func TestListenRefuses(t *testing.T) {
	path := socket(t)
	dir := filepath.Dir(path)
	l := listen(t, path, run(1), newEars())
	f := func(path, want string) {
		t.Helper()
		if got, err := Listen(path, run(2), newEars().handlers()); err == nil || !strings.Contains(err.Error(), want) {
			if got != nil {
				got.Close()
			}
			t.Errorf("%s: got %v, want %q", path, err, want)
		}
	}
	f(path, "another in_kms uses this ack_path")
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket has the mode %v, %v", info.Mode(), err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err == nil {
		t.Error("the socket is left behind")
	}
	f("relative", "an absolute path")
	f(filepath.Join(dir, "none", "s"), "a directory that exists")
	f(filepath.Join(dir, strings.Repeat("x", 108)), "at most 107 bytes")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f(path, "it is not a socket")
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	f(path, "not everybody can write to")
	if os.Geteuid() != 0 {
		t.Log("only root can give a directory to another user: its refusal is not tested")
		return
	}
	if err := errors.Join(os.Chmod(dir, 0o700), os.Chown(dir, 65534, 0)); err != nil {
		t.Fatal(err)
	}
	f(path, "or of root")
}

// A socket that a process left behind when it ended is replaced.
func TestListenReplacesStaleSockets(t *testing.T) {
	path := socket(t)
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	syscall.Close(fd)
	e := newEars()
	l := listen(t, path, run(1), e)
	defer l.Close()
	s := NewSender([]string{path}, "a", healthy, quiet)
	defer s.Close(0)
	s.Add(run(1), one(1))
	await(t, "it arrives", func() bool { return e.has("a", Range{1, 2}) })
}

// A peer that breaks the protocol is told or cut off, and disturbs nobody else.
func TestListenerIsStrict(t *testing.T) {
	path, e := socket(t), newEars()
	l := listen(t, path, run(1), e)
	defer l.Close()
	f := func(want string, wire ...byte) {
		t.Helper()
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.Write(wire)
		got, err := io.ReadAll(c)
		if want != "" && (err != nil || !strings.Contains(string(got), want)) {
			t.Errorf("%v: answered %q, %v, want %q", wire, got, err, want)
		}
	}
	f("speaks version 9", 0, 0, 0, 3, 9, kindHello, 'x')
	f("does not begin with its name", 0, 0, 0, 3, Version, kindConfirm, 1)
	f("at most", 0xff, 0, 0, 0)
	greet := (&frame{kind: kindHello, name: "a"}).append(nil)
	f("", append(greet, (&frame{kind: kindHello, name: "again"}).append(nil)...)...)
	f("", append(greet, (&frame{kind: kindAcks, run: run(1), ranges: []Range{{1 << 50, 1 << 51}}}).append(nil)...)...)
	s := NewSender([]string{path}, "b", healthy, quiet)
	defer s.Close(0)
	s.Add(run(1), one(1))
	await(t, "another output's arrives", func() bool { return e.has("b", Range{1, 2}) })
}

func TestSenderIsBounded(t *testing.T) {
	s := NewSender(nil, "a", healthy, quiet)
	defer s.Close(0)
	for n := range uint64(MaxRunRanges + 10) {
		s.Add(run(1), one(2*n))
	}
	if got := s.runs[run(1)].Len(); got != MaxRunRanges {
		t.Errorf("%d ranges, want %d", got, MaxRunRanges)
	}
	for n := range byte(3 * maxRuns) {
		s.Add(run(n+2), one(1))
	}
	if len(s.runs) != maxRuns || len(s.order) != maxRuns || s.runs[run(1)] != nil {
		t.Errorf("%d runs are kept, want %d, without the oldest", len(s.runs), maxRuns)
	}
}
