// Package source finds the bytes that carry CloudTrail events: here files and
// directories, in the packages below it S3, SQS and LookupEvents. It opens them and
// nothing else: what is inside, and whether it is CloudTrail at all, is for the
// decoder to say.
//
// Objects lists what a command line names, once. A Follower polls a directory
// for new files and remembers in a checkpoint which of them are done.
//
// Limits. A file is one object and is read from its beginning; a Follower does
// not read on where a growing file stopped, it offers the whole file again
// when it has changed (see Follower). Both list a folder at a time: CloudTrail
// puts one region's day into a folder, 288 files for each account that
// delivers every five minutes, and an entry takes about 100 bytes while it is
// sorted.
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

// Object is one thing to read: a file or standard input.
type Object struct {
	// Name is the path as it was found: the given path, joined with the way
	// inside it. Standard input is Stdin.
	Name string
	// Size is the number of bytes as stored (compressed, when it is), or -1
	// where nobody can know: standard input and pipes.
	Size int64
	// ModTime is the time of the last change, zero where Size is -1. Name, Size
	// and ModTime together are the identity that a checkpoint keeps.
	ModTime time.Time
	// ETag tells the content apart from another under the same name, where the
	// source knows: S3's, as it writes it. It is "" for files.
	ETag string
	// Inline are the bytes of an object that cannot be found by its name, such as one inside
	// a message of a queue: its dead letter needs them. nil for all others.
	Inline []byte
	// Open starts reading. The caller closes the reader; closing that of
	// standard input leaves standard input open. It may be called again, except
	// where Size is -1.
	Open func() (io.ReadCloser, error)

	info fs.FileInfo // of a file: what Outputs compares
}

// Objects offers what the paths name, in the order of the paths. A file is
// offered as it is, whatever its name; so are a pipe and standard input
// (Stdin). A directory is walked in the order of names, depth first; in it,
// names that begin with a dot are skipped, regular files and links to regular
// files are offered, and anything else (links to directories, sockets,
// devices) is passed over. Nothing is left out by name or extension:
// CloudTrail's digest and Insights files are offered too, and the decoder
// decides.
//
// A path that does not exist or cannot be read yields an error that names it;
// ranging on goes on with what is left. Objects does not check for the same
// file under two names.
func Objects(paths []string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		for _, path := range paths {
			if !offer(path, yield) {
				return
			}
		}
	}
}

// offer yields what one path names. It reports whether to go on.
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
	return yield(Object{}, fmt.Errorf("cannot read %q: it is neither a file, a directory nor a pipe (%s)", path, info.Mode()))
}

// walk yields the files below dir. It reports whether to go on. The recursion
// is as deep as the folders are, and a path has at most 4,096 bytes.
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
			// Removed since the folder was listed, or a link that leads nowhere.
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

// cannotRead names the path once: the errors of package os carry it too.
func cannotRead(path string, err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	return fmt.Errorf("cannot read %q: %w", path, err)
}
