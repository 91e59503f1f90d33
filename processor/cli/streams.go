package cli

import (
	"io"
	"os"
	"sync"

	"keytrail/processor/setting"
	"keytrail/schemas/printable"
)

// This file is where all that a command prints passes: what could steer a terminal or
// deceive a reader is escaped here, whatever forgot to do so before. Our own sequences take
// doors of their own (output.raw, diagnostics.control), which no data takes.

// output is standard output. It remembers the first write that failed, so that
// no print is lost unnoticed, and ends the command then. Safe for concurrent use.
type output struct {
	w       io.Writer
	failure func() // ends the command

	mu   sync.Mutex // guards what follows
	err  error
	rest []byte // of a character that is not complete
	buf  []byte
}

func newOutput(w io.Writer, failure func()) *output { return &output{w: w, failure: failure} }

// Write writes p with all escaped that is unsafe. Output in a binary form takes raw.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var rest []byte
	all := p
	if len(o.rest) > 0 {
		all = append(o.rest, p...)
	}
	o.buf, rest = printable.AppendLines(o.buf[:0], all)
	err := o.pass(o.buf)
	o.rest = append([]byte(nil), rest...)
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// pass writes p as it is, with the lock held.
func (o *output) pass(p []byte) error {
	_, err := o.w.Write(p)
	if err != nil {
		if o.err == nil {
			o.err = err
		}
		o.failure()
	}
	return err
}

// close writes what was left of a character.
func (o *output) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.rest) > 0 {
		_ = o.pass([]byte(printable.Text(string(o.rest)))) // failed knows
		o.rest = nil
	}
}

// failed returns the error of the first write that failed, or nil.
func (o *output) failed() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// raw is standard output for what is escaped already, or is not text.
type raw struct{ o *output }

func (r raw) Write(p []byte) (int, error) {
	r.o.mu.Lock()
	defer r.o.mu.Unlock()
	if err := r.o.pass(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// diagnostics is standard error: errors, logs and progress. Secrets of the configuration
// are replaced in it by their references. Safe for concurrent use.
type diagnostics struct {
	w io.Writer

	mu      sync.Mutex // guards what follows
	secrets *setting.Scrubber
	rest    []byte // of a character that is not complete
}

// hide has secrets replaced from now on.
func (d *diagnostics) hide(secrets *setting.Scrubber) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.secrets = secrets
}

// Write writes p, which is one line or several, without secrets and with all escaped that
// is unsafe. Errors of standard error have nowhere to go.
func (d *diagnostics) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	text := d.secrets.Clean(string(append(d.rest, p...)))
	out, rest := printable.AppendLines(nil, []byte(text))
	d.rest = append([]byte(nil), rest...)
	_, _ = d.w.Write(out)
	return len(p), nil
}

// control writes a sequence of our own.
func (d *diagnostics) control(sequence string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, _ = io.WriteString(d.w, sequence)
}

// status shows a progress line where the last one was, as much of it as fits into one
// line: the last column stays free, where some terminals break the line.
func (d *diagnostics) status(text string) {
	d.control(wipe + fit(plain(text), columns(d, os.Getenv)-1))
}

// close writes what was left of a character.
func (d *diagnostics) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.rest) > 0 {
		_, _ = io.WriteString(d.w, printable.Text(string(d.rest)))
		d.rest = nil
	}
}
