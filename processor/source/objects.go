// Package source finds the bytes that carry CloudTrail events: here files and
// directories, in the packages below it S3, SQS and LookupEvents. It only opens them; the
// decoder interprets their contents, and decides whether they are from CloudTrail at all.
//
// Objects lists the paths of a command line once. A Follower polls a directory for new
// files and records the finished ones in a checkpoint.
//
// A file is one object and is read from its beginning: a Follower offers a changed file
// again as a whole (see Follower). Both list one folder at a time: CloudTrail puts a day
// of a region into a folder, 288 files per account with delivery every five minutes, and
// an entry takes about 100 bytes while it is sorted.
//
// The package starts no goroutine, reads no clock and logs nothing.
package source

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Stdin is the path that stands for standard input.
const Stdin = "-"

// Object is one input: a file or standard input.
type Object struct {
	// Name is the path as found: the given path, joined with the path inside it. Standard
	// input is Stdin.
	Name string
	// Size is the number of stored (possibly compressed) bytes, or -1 if unknown:
	// standard input and pipes.
	Size int64
	// ModTime is the time of the last change, zero if Size is -1. Name, Size and ModTime
	// together are the identity in a checkpoint.
	ModTime time.Time
	// ETag distinguishes contents under the same name, if the source has one: S3's,
	// verbatim. It is "" for files.
	ETag string
	// Inline are the bytes of an object that cannot be found by its name, such as one inside
	// a queue message: its dead letter needs them. nil for all others.
	Inline []byte
	// Open starts reading. The caller closes the reader; closing that of standard input
	// leaves standard input open. It may be called again unless Size is -1.
	Open func() (io.ReadCloser, error)

	info fs.FileInfo // of a file: what Outputs compares
}

// Objects yields the objects at the paths, in the order of the paths. A file, a pipe and
// standard input (Stdin) are yielded as they are. A directory is walked depth first in
// order of names: regular files and links to regular files are yielded, and names with a
// leading dot, links to directories, sockets and devices are skipped. No name or
// extension is excluded: the decoder handles CloudTrail's digest and Insights files.
//
// A missing or unreadable path yields an error that names it, and iteration continues
// with the rest. Objects does not detect the same file under two names.
func Objects(paths []string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		for _, path := range paths {
			if !offer(path, yield) {
				return
			}
		}
	}
}

// offer yields the objects at one path. It reports whether to continue.
func offer(path string, yield func(Object, error) bool) bool {
	if path == Stdin {
		return yield(Object{Name: Stdin, Size: -1, Open: openStdin}, nil)
	}
	info, err := os.Stat(path)
	if err != nil {
		return yield(Object{}, cannotRead(path, err))
	}
	switch mode := info.Mode(); {
	case mode.IsDir():
		return walk(path, yield)
	case mode.IsRegular():
		return yield(file(path, info), nil)
	case mode&(fs.ModeNamedPipe|fs.ModeCharDevice) != 0:
		return yield(Object{Name: path, Size: -1, Open: opener(path)}, nil)
	}
	return yield(Object{}, fmt.Errorf("cannot read %q: it is neither a file, a directory nor a pipe (%s)",
		path, info.Mode()))
}

// walk yields the files below dir. It reports whether to continue. It recurses as deep as
// the folders, and a path has at most 4,096 bytes.
func walk(dir string, yield func(Object, error) bool) bool {
	entries, err := os.ReadDir(dir) // sorted by name
	if err != nil && !yield(Object{}, cannotRead(dir, err)) {
		return false
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		path := filepath.Join(dir, e.Name())
		if e.IsDir() {
			if !walk(path, yield) {
				return false
			}
			continue
		}
		info, err := os.Stat(path) // follows links
		switch {
		case errors.Is(err, fs.ErrNotExist):
			// Removed since the folder was listed, or a dangling link.
		case err != nil:
			if !yield(Object{}, cannotRead(path, err)) {
				return false
			}
		case info.Mode().IsRegular():
			if !yield(file(path, info), nil) {
				return false
			}
		}
	}
	return true
}

func file(path string, info fs.FileInfo) Object {
	return Object{Name: path, Size: info.Size(), ModTime: info.ModTime(), Open: opener(path), info: info}
}

func opener(path string) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, cannotRead(path, err)
		}
		return f, nil
	}
}

func openStdin() (io.ReadCloser, error) { return io.NopCloser(os.Stdin), nil }

// cannotRead names the path once: errors of package os contain it too.
func cannotRead(path string, err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	return fmt.Errorf("cannot read %q: %w", path, err)
}
