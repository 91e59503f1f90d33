package source

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// temporary begins the names of the files that ReplaceFile and the check of a folder
// make for a moment.
const temporary = ".keytrail-"

// deadLetterName ends the names of dead-letter files where nothing else is configured:
// those of another collector in the same directory must not be read either, because
// what cannot be read of them would become dead letters again, without end.
const deadLetterName = ".deadletter.ndjson"

// Outputs recognizes the files that a program writes itself, so that it does not read
// its own dead letters, whatever name leads to them: another spelling, a link to the
// file or to a folder above it, or the name that the file got when it was rotated
// (NAME.1, NAME.2 and so on). It is not safe for concurrent use.
type Outputs struct {
	paths []string
	seen  []output
}

// output is one path as it was at the last Look.
type output struct {
	dir, base string      // the folder with all links resolved, and the name in it
	info      fs.FileInfo // nil while there is no such file
	rotated   []fs.FileInfo
}

// maxRotated bounds the rotated files of one output: NAME.1 to NAME.100.
const maxRotated = 100

// NewOutputs returns the Outputs of the paths; empty ones are left out. It looks once.
func NewOutputs(paths ...string) *Outputs {
	o := &Outputs{}
	for _, p := range paths {
		if p != "" {
			o.paths = append(o.paths, p)
		}
	}
	o.Look()
	return o
}

// AddFile adds a file that is open for writing, such as standard output. A pipe, a
// terminal and nil are left out.
func (o *Outputs) AddFile(f *os.File) {
	if f == nil {
		return
	}
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		o.seen = append(o.seen, output{info: info})
	}
}

// Look notes which files the paths name now. Files are made, replaced and rotated while
// a program runs: call it before every walk through a directory.
func (o *Outputs) Look() {
	kept := o.seen[:0]
	for _, s := range o.seen {
		if s.base == "" { // of AddFile
			kept = append(kept, s)
		}
	}
	o.seen = kept
	for _, p := range o.paths {
		s := output{dir: resolved(filepath.Dir(p)), base: filepath.Base(p)}
		s.info, _ = os.Stat(p) // nil while it is missing
		for i := 1; i <= maxRotated; i++ {
			info, err := os.Stat(p + "." + strconv.Itoa(i))
			if err != nil {
				break
			}
			s.rotated = append(s.rotated, info)
		}
		o.seen = append(o.seen, s)
	}
}

// Has reports whether an object that was found in a directory is not to be read: it is
// one of the outputs, or has the name of a dead-letter file or of a temporary file of
// Keytrail's. Objects that are not files never are.
func (o *Outputs) Has(object *Object) bool {
	if object.info == nil {
		return false
	}
	base := filepath.Base(object.Name)
	return strings.HasPrefix(base, temporary) || isDeadLetter(base) || o.Is(object)
}

// Is reports whether an object is one of the outputs, whatever its name.
func (o *Outputs) Is(object *Object) bool {
	if object.info == nil {
		return false
	}
	base := filepath.Base(object.Name)
	for i := range o.seen {
		if o.seen[i].is(object, base) {
			return true
		}
	}
	return false
}

func (s *output) is(object *Object, base string) bool {
	if s.info != nil && os.SameFile(s.info, object.info) {
		return true
	}
	for _, info := range s.rotated {
		if os.SameFile(info, object.info) {
			return true
		}
	}
	// A file that was made or rotated since the last Look is known by its name alone.
	return s.base != "" && ofFamily(base, s.base) && resolved(filepath.Dir(object.Name)) == s.dir
}

// ofFamily reports whether a name is that of an output or of a rotated one.
func ofFamily(name, base string) bool {
	rest, ok := strings.CutPrefix(name, base)
	if !ok || rest == "" {
		return ok
	}
	number, ok := strings.CutPrefix(rest, ".")
	return ok && number != "" && strings.Trim(number, "0123456789") == ""
}

func isDeadLetter(name string) bool {
	i := strings.LastIndex(name, deadLetterName)
	return i >= 0 && ofFamily(name, name[:i]+deadLetterName)
}

// resolved returns a folder's path, absolute and without links, or path as it is where
// that cannot be found out.
func resolved(path string) string {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		real = path
	}
	return absolute(real)
}
