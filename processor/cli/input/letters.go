package input

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"time"

	"keytrail/processor/linefile"
	"keytrail/processor/read"
	"keytrail/processor/screen"
	"keytrail/schemas/decoding"
	"keytrail/schemas/printable"
	"keytrail/schemas/wire"
)

// ErrDead means that a command has finished, but some records went to the dead letter.
var ErrDead = errors.New("some records went to the dead letter")

// Letters writes dead letters: one line each to standard error, and whole to the file of
// --dead-letter, if there is one.
type Letters struct {
	N int // how many there were

	ctx    context.Context
	stderr *screen.Diagnostics
	wipe   bool // the progress line, before each of these: on a terminal
	file   *linefile.File
	w      *bufio.Writer
	buf    []byte
}

// maxShown bounds the lines on standard error; the file has them all.
const maxShown = 1000

// Letters calls f with the Letters of a command, and returns f's error, or that of the file,
// or ErrDead.
func (in *Input) Letters(f func(*Letters) error) error {
	l := &Letters{ctx: in.Ctx, stderr: in.Stderr, wipe: screen.Terminal(in.Stderr)}
	if in.deadLetter != "" {
		in.Writes = append(in.Writes, in.deadLetter)
		file, err := linefile.Open(in.deadLetter)
		if err != nil {
			return fmt.Errorf("cannot open dead letter: %w", err)
		}
		l.file, l.w = file, bufio.NewWriter(file)
	}
	err := f(l)
	if cerr := l.close(); err == nil {
		err = cerr
	}
	if err == nil && l.N > 0 {
		err = ErrDead
	}
	return err
}

// Put takes one dead letter. After an interruption it ignores them, because an unreadable
// record is not at fault then.
func (l *Letters) Put(d *wire.DeadLetter) error {
	if err := l.ctx.Err(); err != nil {
		return err
	}
	if l.N++; l.N <= maxShown+1 && l.wipe {
		l.stderr.Control(screen.Wipe)
	}
	switch {
	case l.N <= maxShown:
		fmt.Fprintf(l.stderr, "dead letter: %s: record %d at byte %d: %s: %s\n",
			printable.Text(d.Object), d.Index, d.Offset, printable.Text(d.Reason), printable.Text(d.Detail))
	case l.N == maxShown+1:
		fmt.Fprintln(l.stderr, "dead letter: further ones are not shown; --dead-letter FILE keeps all")
	}
	if l.w == nil {
		return nil
	}
	l.buf = append(d.AppendJSON(l.buf[:0]), '\n')
	if _, err := l.w.Write(l.buf); err != nil {
		return fmt.Errorf("cannot write dead letter: %w", err)
	}
	return nil
}

// Taker returns a function that puts bad records as a stage's dead letters.
func (l *Letters) Taker(stage string) read.Dead {
	return func(_ context.Context, bad *decoding.BadRecord) error {
		d := wire.FromBadRecord(stage, bad, time.Now())
		return l.Put(&d)
	}
}

// close flushes the file.
func (l *Letters) close() error {
	if l.w == nil {
		return nil
	}
	if err := l.w.Flush(); err != nil {
		return fmt.Errorf("cannot write dead letter: %w", err)
	}
	return l.file.Close()
}
