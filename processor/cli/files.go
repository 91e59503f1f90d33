package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"time"

	"keytrail/processor/linefile"
	"keytrail/processor/read"
	"keytrail/processor/source"
	"keytrail/schemas/decoding"
	"keytrail/schemas/printable"
	"keytrail/schemas/wire"
)

// fileFlags are the flags of the commands that read files.
type fileFlags struct {
	limits     decoding.Limits
	deadLetter string
}

func (ff *fileFlags) register(f *flagSet) {
	ff.limits = decoding.Limits{}.WithDefaults()
	l := &ff.limits
	integer(f, &l.CompressedBytes, "max-compressed", "largest compressed object in `bytes`", 1, 1<<50)
	integer(f, &l.InflatedBytes, "max-inflated", "largest object, inflated, in `bytes`", 1, 1<<50)
	integer(f, &l.Ratio, "max-ratio", "largest `ratio` of inflated to compressed bytes", 1, 2000) // deflate reaches 1,032
	// A reader's buffer has this size, and there is one for each object being read.
	integer(f, &l.RecordBytes, "max-record", "longest record in `bytes`", 1024, 64<<20)
	integer(f, &l.FieldBytes, "max-field", "longest value that is read of a record in `bytes`", 16, 64<<20)
	integer(f, &l.Depth, "max-depth", "deepest `nesting` inside a record", 8, 10_000)
	f.StringVar(&ff.deadLetter, "dead-letter", "", "keep records that could not be processed in `FILE`, as JSON lines")
}

// letters writes dead letters: one line each to standard error, and whole to
// the file, if there is one.
type letters struct {
	ctx    context.Context
	stderr *diagnostics
	wipe   bool // the progress line, before each of these: on a terminal
	file   *linefile.File
	w      *bufio.Writer
	buf    []byte
	n      int
}

// maxShown bounds the lines on standard error; the file has them all.
const maxShown = 1000

func (a *app) letters(path string) (*letters, error) {
	l := &letters{ctx: a.ctx, stderr: a.stderr}
	l.wipe = terminal(a.stderr)
	if path == "" {
		return l, nil
	}
	a.writes = append(a.writes, path)
	f, err := linefile.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot open dead letter: %w", err)
	}
	l.file, l.w = f, bufio.NewWriter(f)
	return l, nil
}

// wipe empties a terminal's line.
const wipe = "\r\x1b[K"

// put takes one dead letter. After an interruption it takes none: what can not
// be read then is not the record's fault.
func (l *letters) put(d *wire.DeadLetter) error {
	if err := l.ctx.Err(); err != nil {
		return err
	}
	if l.n++; l.n <= maxShown+1 && l.wipe {
		l.stderr.control(wipe)
	}
	switch {
	case l.n <= maxShown:
		fmt.Fprintf(l.stderr, "dead letter: %s: record %d at byte %d: %s: %s\n", plain(d.Object), d.Index, d.Offset, plain(d.Reason), plain(d.Detail))
	case l.n == maxShown+1:
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

// taker returns what puts bad records as dead letters of a stage.
func (l *letters) taker(stage string) read.Dead {
	return func(_ context.Context, bad *decoding.BadRecord) error {
		d := wire.FromBadRecord(stage, bad, time.Now())
		return l.put(&d)
	}
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

// plain returns text without what could steer a terminal or break a line: trails
// and the names of files come from elsewhere.
func plain(text string) string { return printable.Text(text) }

// objects offers what paths name, with the files inside archives; "-" reads a's
// standard input, and s3://BUCKET/PREFIX what lies there. A path that does not exist is
// an error; what can not be read
// inside a directory is an object that fails to open, and so a dead letter. Reading from
// standard input or a pipe ends when a's context does.
func (a *app) objects(paths []string) iter.Seq2[source.Object, error] {
	return a.offer(paths, a.found(paths))
}

// inOrder is objects in the order of their delivery.
func (a *app) inOrder(paths []string) iter.Seq2[source.Object, error] {
	return a.offer(paths, source.InOrder(a.found(paths)))
}

func (a *app) offer(paths []string, objects iter.Seq2[source.Object, error]) iter.Seq2[source.Object, error] {
	return func(yield func(source.Object, error) bool) {
		if err := checkPaths(paths); err != nil {
			yield(source.Object{}, err)
			return
		}
		for o, err := range source.Archives(a.inputs(paths, objects)) {
			if o.Name == source.Stdin {
				o.Open = func() (io.ReadCloser, error) { return io.NopCloser(a.stdin), nil }
			}
			if err == nil && o.Size < 0 {
				o.Open = interruptible(a.ctx, o.Open)
			}
			if !yield(o, err) {
				return
			}
		}
	}
}

// inputs leaves out the files that are written to: dead letters, the files of sinks, and
// standard output where that is a file. Inside a directory they are passed over; one that
// is named is an error.
func (a *app) inputs(paths []string, objects iter.Seq2[source.Object, error]) iter.Seq2[source.Object, error] {
	outputs := source.NewOutputs(a.writes...)
	if f, ok := a.stdout.w.(*os.File); ok {
		outputs.AddFile(f)
	}
	return func(yield func(source.Object, error) bool) {
		for o, err := range objects {
			switch named := slices.Contains(paths, o.Name); {
			case err == nil && named && outputs.Is(&o):
				err = fmt.Errorf("cannot read %q: it is an output, of this command or of a sink; name another file", o.Name)
			case err == nil && !named && outputs.Has(&o):
				continue
			}
			if !yield(o, err) {
				return
			}
		}
	}
}

// interruptible wraps the opening and reading of what may keep a reader waiting
// forever: when ctx is done, so is the read. The goroutine that waits in its
// place ends with the next byte, or with the process.
func interruptible(ctx context.Context, open func() (io.ReadCloser, error)) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		r, w := io.Pipe() // holds nothing: memory is Copy's 32 KiB
		context.AfterFunc(ctx, func() { w.CloseWithError(ctx.Err()) })
		go func() {
			body, err := open()
			if err == nil {
				_, err = io.Copy(w, body)
				body.Close()
			}
			w.CloseWithError(err) // nil: the end
		}()
		return r, nil
	}
}
