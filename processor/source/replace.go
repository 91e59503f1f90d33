package source

import (
	"os"
	"path/filepath"
)

// ReplaceFile replaces the content of the file at path atomically: it writes and syncs a
// temporary file beside it, renames it over the old one, and syncs the folder. A crash
// leaves the old content or the new. The temporary file's name begins with a dot. After
// nil the new content survives a power failure.
func ReplaceFile(path string, content []byte) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".keytrail-checkpoint-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
