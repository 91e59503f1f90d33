// Package module finds this module's files for tests that start programs of its scripts.
package module

import (
	"errors"
	"os"
	"path/filepath"
)

// Root returns the directory of go.mod above the working directory, which for a test is that
// of its package. It fails where there is none. Safe for concurrent use.
func Root() (string, error) {
	dir, err := os.Getwd()
	for ; err == nil; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no parent directory has a go.mod; run this inside the module")
		}
	}
	return "", err
}
