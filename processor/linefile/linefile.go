// Package linefile appends lines to files with one record per line, such as dead letters.
//
// If a process dies, or a disk fills, during a write, the file ends with part of a line.
// The next write must not continue that line, or two records are lost instead of one. So
// a File looks at the last byte when it opens the path and after a failed write, and
// begins a new line after a torn one. It never truncates: another process may have the
// same file open.
//
// Files are readable by their owner alone (0600), because they contain data of trails. An
// existing file with a wider mode is narrowed, unless it belongs to another user, who has
// decided about it.
package linefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// File is an open file. It is not safe for concurrent use.
type File struct {
	f    *os.File
	size int64 // bytes, as known to this process
	torn bool  // the last byte is not the end of a line
}

// Open opens the file at path for appending, and creates a missing one. It accepts a pipe
// or a device unchanged. The error names the path.
func Open(path string) (*File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_RDWR, private)
	if err != nil {
		return nil, err
	}
	l := &File{f: f}
	info, err := f.Stat()
	if err == nil && info.Mode().IsRegular() {
		err = errors.Join(l.narrow(info), l.look(info))
	}
	if err != nil {
		f.Close() // nothing was written
		return nil, err
	}
	return l, nil
}

// private is the mode of Keytrail's files.
const private = 0o600

// narrow removes all permissions except the owner's.
func (l *File) narrow(info fs.FileInfo) error {
	if info.Mode().Perm()&^private == 0 {
		return nil
	}
	if err := l.f.Chmod(info.Mode().Perm() & private); err != nil && !errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("cannot make %q readable by its owner alone: %w", l.f.Name(), err)
	}
	return nil
}

// look finds the size, and whether the last line is complete.
func (l *File) look(info fs.FileInfo) error {
	l.size = info.Size()
	if l.size == 0 {
		return nil
	}
	var last [1]byte
	if _, err := l.f.ReadAt(last[:], l.size-1); err != nil {
		return fmt.Errorf("cannot look at the end of %q: %w", l.f.Name(), err)
	}
	l.torn = last[0] != '\n'
	return nil
}

// Size returns the size of the file in bytes.
func (l *File) Size() int64 { return l.size }

// Write appends p, which is whole lines, or parts of one in order if every part is
// written. After an error any part of p may be in the file; the next Write begins a new
// line.
func (l *File) Write(p []byte) (int, error) {
	if l.torn {
		n, err := l.f.Write([]byte{'\n'})
		l.size += int64(n)
		if err != nil {
			return 0, err
		}
		l.torn = false
	}
	n, err := l.f.Write(p)
	l.size += int64(n)
	l.torn = err != nil && n > 0 && p[n-1] != '\n'
	return n, err
}

// Sync makes earlier writes survive a power failure.
func (l *File) Sync() error { return l.f.Sync() }

// Close closes the file. It does not sync.
func (l *File) Close() error { return l.f.Close() }
