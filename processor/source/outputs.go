package source

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// temporary begins the names of temporary files of ReplaceFile and the folder check.
const temporary = ".keytrail-"

// deadLetterName ends the names of dead-letter files by default. Those of another
// collector in the same directory must be skipped as well, because their unreadable parts
// would become dead letters again, without end.
const deadLetterName = ".deadletter.ndjson"

// Outputs recognizes a program's own output files, so that it does not read its own dead
// letters, under any name: another spelling, a link to the file or to a folder above it,
// or a rotated name (NAME.1, NAME.2 and so on). It is not safe for concurrent use.
type Outputs struct {
	paths []string
	seen  []output
}

// output is one path at the last Look.
type output struct {
	dir, base string      // the folder with all links resolved, and the name in it
	info      fs.FileInfo // nil while there is no such file
	rotated   []fs.FileInfo
}

// maxRotated bounds the rotated files of one output: NAME.1 to NAME.100.
const maxRotated = 100

// NewOutputs returns the Outputs of the paths, without empty ones. It looks once.
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

// AddFile adds an open file, such as standard output. It ignores a pipe, a terminal and
// nil.
func (o *Outputs) AddFile(f *os.File) {
	if f == nil {
		return
	}
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		o.seen = append(o.seen, output{info: info})
	}
}

// Look updates the files that the paths name. Files are created, replaced and rotated
// while a program runs: call it before every walk through a directory.
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

// Has reports whether an object found in a directory must be skipped: it is one of the
// outputs, or has the name of a dead-letter file or of a temporary file of Keytrail. An
// object that is not a file never is.
func (o *Outputs) Has(object *Object) bool {
	if object.info == nil {
		return false
	}
	base := filepath.Base(object.Name)
	return strings.HasPrefix(base, temporary) || isDeadLetter(base) || o.Is(object)
}

// Is reports whether an object is one of the outputs, under any name.
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
	// A file created or rotated since the last Look is recognized by its name only.
	return s.base != "" && ofFamily(base, s.base) && resolved(filepath.Dir(object.Name)) == s.dir
}

// ofFamily reports whether a name is that of an output or of its rotated files.
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

// resolved returns a folder's path, absolute and without links, or path itself if it
// cannot be resolved.
func resolved(path string) string {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		real = path
	}
	return absolute(real)
}
