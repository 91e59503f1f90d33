// Package lograte bounds how often a log repeats a line: one line a minute per kind of
// trouble, with the number of occurrences.
//
// It imports no Keytrail package, so that sinks, Kafka's client and the Fluent Bit
// plugins share one rule.
package lograte

import (
	"log/slog"
	"sync"
	"time"
)

// Every is the shortest time between two lines about the same trouble.
const Every = time.Minute

// Gate lets one line per Every through and counts what it holds back. The zero value
// is ready. It is not safe for concurrent use.
type Gate struct {
	last time.Time // of the last line; zero before the first
	held int       // since then
}

// Open reports whether a line is due, and how many occurrences were held back since
// the last one. n occurrences are held back when it is not.
func (g *Gate) Open(now time.Time, n int) (held int, due bool) {
	if !g.last.IsZero() && now.Sub(g.last) < Every {
		g.held += n
		return 0, false
	}
	held = g.held
	*g = Gate{last: now}
	return held, true
}

// Reset forgets the last line, so that the next is due at once.
func (g *Gate) Reset() { *g = Gate{} }

// maxKinds bounds the separate kinds: 64. They come from sets fixed in the code; a
// mistake there, or a client that words each line differently, shares a gate.
const maxKinds = 64

// other is the kind of everything beyond maxKinds.
const other = "other"

// Gates is a Gate per kind of trouble. The zero value is ready. It is safe for
// concurrent use.
type Gates struct {
	mu    sync.Mutex // guards gates
	gates map[string]*Gate
}

// Open is Gate.Open for one kind.
func (g *Gates) Open(kind string, now time.Time, n int) (held int, due bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gates == nil {
		g.gates = map[string]*Gate{}
	}
	gate, ok := g.gates[kind]
	if !ok {
		if len(g.gates) >= maxKinds {
			kind = other
		}
		if gate = g.gates[kind]; gate == nil {
			gate = new(Gate)
			g.gates[kind] = gate
		}
	}
	return gate.Open(now, n)
}

// Letters logs dead letters by reason: the first record of a reason at once, later ones
// once a minute with their number. It is safe for concurrent use; nil logs nothing.
type Letters struct {
	write func(reason, first string, n int)

	mu      sync.Mutex // guards what follows
	reasons map[string]*letters
}

// letters are those of one reason.
type letters struct {
	held   int // not logged yet
	detail string
	timer  *time.Timer // runs until the next line is allowed; nil when one is
}

// NewLetters returns a Letters that calls write for each line: n records were
// dead-lettered for a reason, and first is the detail of the first of them, perhaps "".
// Any goroutine may call it, one at a time, and it must not block.
func NewLetters(write func(reason, first string, n int)) *Letters {
	return &Letters{write: write, reasons: map[string]*letters{}}
}

// ToLog returns a function for NewLetters that writes to log, which names the writer.
func ToLog(log *slog.Logger) func(reason, first string, n int) {
	return func(reason, first string, n int) {
		args := []any{"reason", reason, "records", n}
		if first != "" {
			args = append(args, "first", first)
		}
		log.Warn("records went to the dead letter", args...)
	}
}

// Add adds n dead letters of a reason. The detail is that of one of them, such as the
// error; the line has the first one's.
func (l *Letters) Add(reason, detail string, n int) {
	if l == nil || n <= 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	r, ok := l.reasons[reason]
	if !ok {
		if len(l.reasons) >= maxKinds {
			reason = other
		}
		if r = l.reasons[reason]; r == nil {
			r = new(letters)
			l.reasons[reason] = r
		}
	}
	if r.held == 0 {
		r.detail = detail
	}
	r.held += n
	if r.timer == nil {
		l.line(reason, r)
	}
}

// line writes the held count of one reason, and delays the next line. l.mu is held.
func (l *Letters) line(reason string, r *letters) {
	l.emit(reason, r)
	r.timer = time.AfterFunc(Every, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if r.timer == nil {
			return // flushed
		}
		if r.timer = nil; r.held > 0 {
			l.line(reason, r)
		}
	})
}

func (l *Letters) emit(reason string, r *letters) {
	l.write(reason, r.detail, r.held)
	r.held, r.detail = 0, ""
}

// Flush writes everything held back and stops all timers. A later addition is logged like
// the first.
func (l *Letters) Flush() {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for reason, r := range l.reasons {
		if r.timer != nil {
			r.timer.Stop()
			r.timer = nil
		}
		if r.held > 0 {
			l.emit(reason, r)
		}
	}
}
