// Package logging collects the log lines of a plugin until a thread of Fluent
// Bit's own can print them. Fluent Bit's logger belongs to its threads: from
// any other it writes to standard error and ignores log_file. The plugin's
// goroutines therefore only queue lines, and each call that Fluent Bit makes
// into the plugin emits them.
//
// Limits. A Log holds MaxLines lines of MaxLineBytes. When it is full it counts the
// lines that it drops and logs their number at the next emission. No caller waits.
package logging

import (
	"fmt"
	"strings"
	"sync"

	"keytrail/processor/setting"
	"keytrail/schemas/printable"
)

// Level is a log level with Fluent Bit's number.
type Level int

// The levels that plugins use.
const (
	Error Level = 1
	Warn  Level = 2
	Info  Level = 3
)

// MaxLines and MaxLineBytes bound the queue: 256 KiB. Fluent Bit cuts a line
// at about 4,000 bytes, and calls an input every second, an output with every
// chunk.
const (
	MaxLines     = 256
	MaxLineBytes = 1024
)

type line struct {
	level Level
	text  string
}

// Log queues lines and hands them to its printer. Its methods may be called
// from any goroutine.
type Log struct {
	prefix  string
	enable  func(Level) bool
	print   func(Level, string)
	secrets setting.Scrubber

	mu      sync.Mutex // guards the following
	lines   []line
	refused int
}

// New returns a Log whose lines begin with prefix. enable reports whether a
// level is wanted and is asked for each line; nil wants all. print writes one line
// without a newline and is called by Emit only.
func New(prefix string, enable func(Level) bool, print func(Level, string)) *Log {
	return &Log{prefix: prefix, enable: enable, print: print}
}

// Secrets returns the set of secrets that the Log hides in all later lines. Brokers, token
// endpoints and AWS may echo a secret in an error.
func (l *Log) Secrets() *setting.Scrubber { return &l.secrets }

// Printf queues one line. Secrets are replaced, what could forge other lines, steer a
// terminal or deceive a reader is escaped, and a line that is too long is cut and ends in
// "...".
func (l *Log) Printf(level Level, format string, args ...any) {
	if l.enable != nil && !l.enable(level) {
		return
	}
	text := printable.Text(l.prefix + l.secrets.Clean(fmt.Sprintf(format, args...)))
	if len(text) > MaxLineBytes {
		text = strings.ToValidUTF8(text[:MaxLineBytes-3], "") + "..."
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) >= MaxLines {
		l.refused++
		return
	}
	l.lines = append(l.lines, line{level, text})
}

// Emit prints the queued lines. Call it on one of Fluent Bit's threads.
func (l *Log) Emit() {
	l.mu.Lock()
	lines, refused := l.lines, l.refused
	l.lines, l.refused = nil, 0
	l.mu.Unlock()
	for _, ln := range lines {
		l.print(ln.level, ln.text)
	}
	if refused > 0 {
		l.print(Warn, fmt.Sprintf("%s%d more lines were not kept", l.prefix, refused))
	}
}
