package ndjson

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
)

// This file moves a full file away. A process can die between any two steps:
//   - a file gets a number only after the disk has its content;
//   - files move only as far as the first free number, so the repetition of half a
//     rotation deletes nothing;
//   - a compressed file gets its name when it is complete, and the plain file goes after
//     that. While both exist, the plain file is redundant.

// mostFiles is the highest number of a rotated file (Config.Keep).
const mostFiles = 1000

// compressed ends the names of compressed files.
const compressed = ".gz"

// old returns the path of the rotated file number i, from 1, the youngest.
func (f *file) old(i int) string { return f.path + "." + strconv.Itoa(i) }

// temporary is the path of a file that is being compressed.
func (f *file) temporary() string { return f.path + compressed + ".tmp" }

// exists reports whether there is a file at path.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// taken reports whether there is a rotated file number i.
func (f *file) taken(i int) bool { return exists(f.old(i)) || exists(f.old(i)+compressed) }

// rotate moves the file away and begins a new one.
func (f *file) rotate() error {
	err := f.f.Sync() // also without Config.Fsync: only what the disk has may become the oldest
	err = errors.Join(err, f.f.Close())
	f.f = nil
	if err != nil {
		return fmt.Errorf("cannot close sink file %q: %w", f.path, err)
	}
	free := 1
	for free < f.keep && f.taken(free) {
		free++
	}
	for i := mostFiles; i > f.keep || i == free && i == f.keep; i-- {
		if err := f.remove(i); err != nil {
			return fmt.Errorf("cannot rotate sink file: %w", err)
		}
	}
	for i := free; i > 1; i-- {
		if err := f.move(i-1, i); err != nil {
			return fmt.Errorf("cannot rotate sink file: %w", err)
		}
	}
	if err := os.Rename(f.path, f.old(1)); err != nil {
		return fmt.Errorf("cannot rotate sink file: %w", err)
	}
	if err := f.open(); err != nil {
		return err
	}
	f.compressAll()
	return nil
}

// move renames the rotated file number from.
func (f *file) move(from, to int) error {
	whole, plain := exists(f.old(from)+compressed), exists(f.old(from))
	switch {
	case whole && plain:
		return errors.Join(os.Remove(f.old(from)), os.Rename(f.old(from)+compressed, f.old(to)+compressed))
	case whole:
		return os.Rename(f.old(from)+compressed, f.old(to)+compressed)
	}
	return os.Rename(f.old(from), f.old(to))
}

// remove deletes the rotated file number i, after the log has said what that loses.
func (f *file) remove(i int) error {
	for _, path := range []string{f.old(i), f.old(i) + compressed} {
		info, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		args := []any{"file", path, "bytes", info.Size()}
		if s, err := spanOf(path); err == nil {
			args = append(args, "records", s.records, "first", s.first, "last", s.last)
		} else {
			args = append(args, "unreadable", err)
		}
		f.log.Info("deleting the oldest file of a sink; keep says how many stay", args...)
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

// span is what a file holds.
type span struct {
	records     int
	first, last time.Time // of its first and its last record
}

// spanOf reads a whole file, plain or compressed.
func spanOf(path string) (s span, err error) {
	in, err := os.Open(path)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	var content io.Reader = in
	if strings.HasSuffix(path, compressed) {
		if content, err = gzip.NewReader(in); err != nil {
			return s, err
		}
	}
	lines := bufio.NewScanner(content)
	lines.Buffer(make([]byte, 64<<10), maxTail)
	var line, first []byte
	for ; lines.Scan(); s.records++ {
		if line = append(line[:0], lines.Bytes()...); s.records == 0 {
			first = bytes.Clone(line)
		}
	}
	s.first, s.last = timeOf(first), timeOf(line)
	return s, lines.Err()
}

// timeOf returns the time of the record in a line, the zero time for none.
func timeOf(line []byte) time.Time {
	var data struct {
		ResourceLogs []struct {
			ScopeLogs []struct {
				LogRecords []struct {
					TimeUnixNano string `json:"timeUnixNano"`
				} `json:"logRecords"`
			} `json:"scopeLogs"`
		} `json:"resourceLogs"`
	}
	if json.Unmarshal(line, &data) != nil || len(data.ResourceLogs) == 0 || len(data.ResourceLogs[0].ScopeLogs) == 0 ||
		len(data.ResourceLogs[0].ScopeLogs[0].LogRecords) == 0 {
		return time.Time{}
	}
	ns, err := strconv.ParseInt(data.ResourceLogs[0].ScopeLogs[0].LogRecords[0].TimeUnixNano, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}

// compressAll compresses the rotated files that are not yet. The sink goes on after an
// error, which leaves a file as it was until the next rotation.
func (f *file) compressAll() {
	for i := 1; f.gzip && i <= f.keep; i++ {
		if !exists(f.old(i)) {
			continue
		}
		if err := f.compress(f.old(i)); err != nil {
			f.log.Warn("cannot compress a file of a sink; it stays as it is until the next rotation", "file", f.old(i),
				"error", err)
			return
		}
	}
}

// compress replaces a file by its compressed form.
func (f *file) compress(path string) error {
	if !exists(path + compressed) {
		if err := f.squeeze(path); err != nil {
			return errors.Join(err, os.Remove(f.temporary()))
		}
		if err := os.Rename(f.temporary(), path+compressed); err != nil {
			return err
		}
		if err := syncFolder(path); err != nil {
			return err
		}
	}
	return os.Remove(path)
}

// squeeze writes the compressed form of a file to the temporary file, and waits until the
// disk has it.
func (f *file) squeeze(path string) (err error) {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := os.OpenFile(f.temporary(), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	z := gzip.NewWriter(out)
	_, err = io.Copy(z, in)
	return errors.Join(err, z.Close(), out.Sync(), out.Close())
}
