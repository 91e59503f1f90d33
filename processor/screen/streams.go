// Package screen is the passage of everything that a command prints: standard output,
// standard error, and the properties of the terminal behind them. It escapes what could
// control a terminal or deceive a reader, as a safeguard behind all other code.
// Keytrail's own sequences pass by Raw and Diagnostics.Control, which never carry data.
package screen

import (
	"bytes"
	"io"
	"os"
	"sync"

	"keytrail/processor/setting"
	"keytrail/schemas/printable"
)

// Output is standard output. It remembers the first failed write, so that no output is
// lost unnoticed, and then ends the command. Safe for concurrent use.
type Output struct {
	w       io.Writer
	failure func() // ends the command

	mu    sync.Mutex // guards the following
	err   error
	rest  []byte // of an incomplete character
	buf   []byte
	width int    // to which lines are wrapped; 0: they are not
	line  []byte // an incomplete line, while lines are wrapped
}

// FitTables wraps the lines written from now on to the width of the terminal, or to COLUMNS
// if that is set. Lines into a pipe stay whole, for other programs. getenv is os.Getenv.
func (o *Output) FitTables(getenv func(string) string) {
	if getenv("COLUMNS") == "" && !Terminal(o) {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.width = max(Columns(o, getenv), MinWidth)
}

// NewOutput returns the Output that writes to w and calls failure, which ends the
// command, after a failed write.
func NewOutput(w io.Writer, failure func()) *Output { return &Output{w: w, failure: failure} }

// Write writes p with unsafe characters escaped. Binary output uses Raw.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var rest []byte
	all := p
	if len(o.rest) > 0 {
		all = append(o.rest, p...)
	}
	o.buf, rest = printable.AppendLines(o.buf[:0], all)
	out := o.buf
	if o.width > 0 {
		out = o.fitted()
	}
	err := o.pass(out)
	o.rest = append([]byte(nil), rest...)
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// fitted returns the complete lines of o.line and o.buf, wrapped, and keeps the rest. The
// lock is held.
func (o *Output) fitted() (out []byte) {
	o.line = append(o.line, o.buf...)
	for {
		line, rest, complete := bytes.Cut(o.line, []byte("\n"))
		if !complete {
			return out
		}
		for _, part := range WrapRow(string(line), o.width) {
			out = append(append(out, part...), '\n')
		}
		o.line = append(o.line[:0], rest...)
	}
}

// pass writes p as it is, with the lock held.
func (o *Output) pass(p []byte) error {
	_, err := o.w.Write(p)
	if err != nil {
		if o.err == nil {
			o.err = err
		}
		o.failure()
	}
	return err
}

// Close writes the rest of an incomplete line and character.
func (o *Output) Close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.line) > 0 {
		_ = o.pass(o.line) // Failed knows
		o.line = nil
	}
	if len(o.rest) > 0 {
		_ = o.pass([]byte(printable.Text(string(o.rest))))
		o.rest = nil
	}
}

// Failed returns the error of the first write that failed, or nil.
func (o *Output) Failed() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// File returns the file of standard output, or nil.
func (o *Output) File() *os.File {
	f, _ := o.w.(*os.File)
	return f
}

// Raw is standard output for escaped text and binary data.
type Raw struct{ *Output }

// Write writes p as it is.
func (r Raw) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.pass(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Diagnostics is standard error: errors, logs and progress. It replaces secrets of the
// configuration by their references. Safe for concurrent use.
type Diagnostics struct {
	w io.Writer

	mu      sync.Mutex // guards the following
	secrets *setting.Scrubber
	rest    []byte // of an incomplete character
}

// NewDiagnostics returns the Diagnostics that write to w.
func NewDiagnostics(w io.Writer) *Diagnostics { return &Diagnostics{w: w} }

// Hide replaces secrets from now on.
func (d *Diagnostics) Hide(secrets *setting.Scrubber) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.secrets = secrets
}

// Write writes p, which is one line or several, without secrets and with unsafe
// characters escaped. Errors of standard error have nowhere to go.
func (d *Diagnostics) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	text := d.secrets.Clean(string(append(d.rest, p...)))
	out, rest := printable.AppendLines(nil, []byte(text))
	d.rest = append([]byte(nil), rest...)
	_, _ = d.w.Write(out)
	return len(p), nil
}

// Control writes one of Keytrail's own sequences.
func (d *Diagnostics) Control(sequence string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, _ = io.WriteString(d.w, sequence)
}

// Status replaces the last progress line, cut to one line: the last column stays free,
// because some terminals wrap there.
func (d *Diagnostics) Status(text string) {
	d.Control(Wipe + Fit(printable.Text(text), Columns(d, os.Getenv)-1))
}

// Close writes the rest of an incomplete character.
func (d *Diagnostics) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.rest) > 0 {
		_, _ = io.WriteString(d.w, printable.Text(string(d.rest)))
		d.rest = nil
	}
}
