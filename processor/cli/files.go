package cli

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"iter"
	"os"

	"keytrail/processor/source"
	"keytrail/schemas/cloudtrail"
	"keytrail/schemas/wire"
)

// fileFlags are the flags of the commands that read files.
type fileFlags struct {
	limits     cloudtrail.Limits
	deadLetter string
}

func (ff *fileFlags) register(f *flag.FlagSet) {
	d := cloudtrail.Limits{}.WithDefaults()
	f.Int64Var(&ff.limits.InflatedBytes, "max-inflated", d.InflatedBytes, "largest object, inflated, in `bytes`")
	f.Int64Var(&ff.limits.Ratio, "max-ratio", d.Ratio, "largest `ratio` of inflated to compressed bytes")
	f.IntVar(&ff.limits.RecordBytes, "max-record", d.RecordBytes, "longest record in `bytes`")
	f.IntVar(&ff.limits.Depth, "max-depth", d.Depth, "deepest nesting inside a record")
	f.StringVar(&ff.deadLetter, "dead-letter", "", "keep records that could not be processed in `FILE`, as JSON lines")
}

// check returns what is wrong with the flags.
func (ff *fileFlags) check() error {
	l := ff.limits
	if l.InflatedBytes < 1 || l.Ratio < 1 || l.RecordBytes < 1024 || l.Depth < 8 {
		return fmt.Errorf("limits must be at least: --max-inflated 1, --max-ratio 1, --max-record 1024, --max-depth 8")
	}
	return nil
}

// letters writes dead letters: one line each to standard error, and whole to
// the file, if there is one.
type letters struct {
	stderr io.Writer
	file   *os.File
	w      *bufio.Writer
	buf    []byte
	n      int
}

// maxShown bounds the lines on standard error; the file has them all.
const maxShown = 1000

func (a *app) letters(path string) (*letters, error) {
	l := &letters{stderr: a.stderr}
	if path == "" {
		return l, nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot open dead letter: %w", err)
	}
	l.file, l.w = f, bufio.NewWriter(f)
	return l, nil
}

// put takes one dead letter.
func (l *letters) put(d *wire.DeadLetter) error {
	l.n++
	switch {
	case l.n <= maxShown:
		fmt.Fprintf(l.stderr, "dead letter: %s: record %d at byte %d: %s: %s\n", d.Object, d.Index, d.Offset, d.Reason, d.Detail)
	case l.n == maxShown+1:
		fmt.Fprintf(l.stderr, "dead letter: further ones are not shown; --dead-letter FILE keeps all\n")
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

// close flushes the file.
func (l *letters) close() error {
	if l.w == nil {
		return nil
	}
	if err := l.w.Flush(); err != nil {
		return fmt.Errorf("cannot write dead letter: %w", err)
	}
	return l.file.Close()
}

// objects offers what paths name, with the files inside archives; "-" reads a's standard input.
func (a *app) objects(paths []string) iter.Seq2[source.Object, error] {
	return func(yield func(source.Object, error) bool) {
		for o, err := range source.Archives(source.Objects(paths)) {
			if err == nil && o.Name == source.Stdin {
				o.Open = func() (io.ReadCloser, error) { return io.NopCloser(a.stdin), nil }
			}
			if !yield(o, err) {
				return
			}
		}
	}
}
