package source

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"iter"
	"path"
	"strings"
)

// maxEntry bounds one file inside an archive, which is read into memory: 256 MiB, five
// times CloudTrail's largest files. With two readers, three entries are in memory at a
// time.
const maxEntry = 256 << 20

// Archives replaces tar archives (.tar, .tar.gz, .tgz), in which trails are often passed
// around, by the files inside, named "ARCHIVE!ENTRY", and passes everything else through.
// A damaged archive yields an object that cannot be opened, after the entries before the
// damage.
func Archives(objects iter.Seq2[Object, error]) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		for o, err := range objects {
			if err != nil || !isArchive(o.Name) {
				if !yield(o, err) {
					return
				}
				continue
			}
			if !unpack(o, func(entry Object) bool { return yield(entry, nil) }) {
				return
			}
		}
	}
}

func isArchive(name string) bool {
	return strings.HasSuffix(name, ".tar") || strings.HasSuffix(name, ".tar.gz") || strings.HasSuffix(name, ".tgz")
}

// unpack yields the archive's entries and reports whether to go on.
func unpack(o Object, yield func(Object) bool) bool {
	broken := func(err error) bool {
		err = fmt.Errorf("cannot read archive %q: %w", o.Name, err)
		return yield(Object{Name: o.Name, Size: o.Size, Open: func() (io.ReadCloser, error) { return nil, err }})
	}
	f, err := o.Open()
	if err != nil {
		return broken(err)
	}
	defer f.Close()
	in := io.Reader(f)
	if !strings.HasSuffix(o.Name, ".tar") {
		if in, err = gzip.NewReader(f); err != nil {
			return broken(err)
		}
	}
	for entries := tar.NewReader(in); ; {
		h, err := entries.Next()
		if err == io.EOF {
			return true
		}
		if err != nil {
			return broken(err)
		}
		if h.Typeflag != tar.TypeReg || strings.HasPrefix(path.Base(h.Name), ".") {
			continue
		}
		if h.Size > maxEntry {
			if !broken(fmt.Errorf("its entry %q has %d bytes, more than the limit of %d", h.Name, h.Size, maxEntry)) {
				return false
			}
			continue
		}
		body, err := io.ReadAll(entries)
		if err != nil {
			return broken(err)
		}
		entry := Object{
			Name: o.Name + "!" + h.Name, Size: h.Size, ModTime: h.ModTime,
			Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil },
		}
		if !yield(entry) {
			return false
		}
	}
}
