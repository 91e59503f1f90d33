package ndjson

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"keytrail/processor/lockfile"
	"keytrail/processor/sink"
)

// maxTail bounds the search for the end of the last whole line: 64 MiB, the
// largest batch (sink.Batch.Validate).
const maxTail = 64 << 20

// file is an output that appends to a file and rotates it.
type file struct {
	path  string
	limit int64         // of its size; 0: none
	every time.Duration // a new file per period; 0: none
	keep  int
	gzip  bool
	fsync bool
	log   *slog.Logger
	now   func() time.Time

	lock io.Closer // nil until the file was first opened; see lockFile
	f    *os.File  // nil after trouble; the next write opens it again
	size int64     // of what is acknowledged
	last time.Time // of the last write to the file
}

// open opens the file, makes it when it is missing, and cuts a torn last line.
func (f *file) open() error {
	opened, err := os.OpenFile(f.path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("cannot open sink file: %w", err)
	}
	var size int64
	var last time.Time
	if err = f.lockFile(opened); err == nil {
		size, last, err = prepare(opened)
	}
	if err == nil && f.fsync {
		err = syncFolder(f.path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("cannot open sink file %q: %w", f.path, err), opened.Close())
	}
	f.f, f.size, f.last = opened, size, last
	if err := os.Remove(f.temporary()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot remove what a dead process left: %w", err)
	}
	return nil
}

// lockFile keeps other processes from the file: what one of them writes would be cut off when
// a write of this one fails.
func (f *file) lockFile(opened *os.File) (err error) {
	if info, err := opened.Stat(); f.lock != nil || err != nil || !info.Mode().IsRegular() {
		return err // prepare refuses a file that is not regular
	}
	if f.lock, err = lockfile.Take(f.path + ".lock"); errors.Is(err, lockfile.ErrTaken) {
		return fmt.Errorf("another process writes it; end that process, or set path to another file: %w", err)
	}
	return err
}

// lineStart begins every line of the file: the first member of LogsData.
const lineStart = `{"resourceLogs":`

// prepare returns the size of the file after cutting off what stands behind the
// last end of a line, if that is the beginning of a line of ours: a wrong path
// must cost nobody a file. It also returns when the file was last written.
func prepare(opened *os.File) (size int64, last time.Time, err error) {
	info, err := opened.Stat()
	if err != nil {
		return 0, last, err
	}
	if !info.Mode().IsRegular() {
		return 0, last, fmt.Errorf("%w but %v; want a regular file, or %q for standard output",
			errForeign, info.Mode(), sink.Stdout)
	}
	whole, err := wholeLines(opened, info.Size())
	if err != nil || whole == info.Size() {
		return whole, info.ModTime(), err
	}
	torn := make([]byte, min(info.Size()-whole, int64(len(lineStart))))
	if _, err := opened.ReadAt(torn, whole); err != nil {
		return 0, last, err
	}
	if !strings.HasPrefix(lineStart, string(torn)) {
		return 0, last, fmt.Errorf("%w: its last line has no end and is not OTLP/JSON; move it away", errForeign)
	}
	return whole, info.ModTime(), opened.Truncate(whole)
}

// wholeLines returns the size of the file up to and including the last end of a
// line.
func wholeLines(opened *os.File, size int64) (int64, error) {
	buf := make([]byte, 64<<10)
	for end := size; end > 0; {
		start := max(0, end-int64(len(buf)))
		block := buf[:end-start]
		if _, err := opened.ReadAt(block, start); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(block, '\n'); i >= 0 {
			return start + int64(i) + 1, nil
		}
		if end = start; size-end > maxTail {
			return 0, fmt.Errorf("%w: its last 64 MiB hold no end of a line; move it away", errForeign)
		}
	}
	return 0, nil
}

// write appends the batch, as a whole or not at all.
func (f *file) write(batch []byte) error {
	if f.f == nil {
		if err := f.open(); err != nil {
			return paused(err)
		}
	}
	if f.size > 0 && f.due(len(batch)) {
		if err := f.rotate(); err != nil {
			return paused(err)
		}
	}
	_, err := f.f.Write(batch)
	if err == nil && f.fsync {
		err = f.f.Sync()
	}
	if err != nil {
		return f.undo(err)
	}
	f.size += int64(len(batch))
	f.last = f.now()
	return nil
}

// due reports whether a batch of n bytes belongs into a new file.
func (f *file) due(n int) bool {
	period := func(t time.Time) int64 { return t.UnixNano() / int64(f.every) }
	return f.limit > 0 && f.size+int64(n) > f.limit || f.every > 0 && period(f.now()) != period(f.last)
}

// paused tells what somebody has to mend (a folder that is gone, a permission, a disk
// that is read-only) from what may pass, such as a full disk.
func paused(err error) error {
	cause := sink.CauseAddress
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		cause = sink.CauseCredentials
	case errors.Is(err, lockfile.ErrTaken):
		cause = sink.CauseTarget
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, errForeign):
	default:
		return err
	}
	return &sink.Paused{Cause: cause, Err: err}
}

// errForeign is that the file is not one of this sink's.
var errForeign = errors.New("it is not a file of this sink")

// undo takes back a write that failed. It closes the file as well: after a
// failed fsync the kernel may forget the pages, and only a new write brings
// them back.
func (f *file) undo(cause error) error {
	err := errors.Join(
		fmt.Errorf("cannot write to sink file %q: %w", f.path, cause),
		f.f.Truncate(f.size),
		f.f.Close(),
	)
	f.f = nil
	return err
}

// syncFolder makes the names in the file's folder durable.
func syncFolder(path string) error {
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// close closes the file. Everything acknowledged was written before.
func (f *file) close() error {
	var err error
	if f.f != nil {
		err = f.f.Close()
	}
	if f.lock != nil {
		err = errors.Join(err, f.lock.Close())
	}
	f.f, f.lock = nil, nil
	if err != nil {
		return fmt.Errorf("cannot close sink file %q: %w", f.path, err)
	}
	return nil
}
