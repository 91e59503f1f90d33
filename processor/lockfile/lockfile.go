// Package lockfile keeps a resource such as a checkpoint to one reader. It locks a file
// beside it, and the kernel releases the lock when the process ends, however it ends. It
// needs flock, so it runs on Unix systems only.
package lockfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// Take locks the file at path, which is made with the mode 0600 where there is none. It
// fails at once when another instance has the lock, in this process or in another. Close
// releases the lock. The file stays: removing it would let two instances lock two files
// of one name.
func Take(path string) (io.Closer, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot open a lock: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("cannot lock %q: %w", path, ErrTaken)
		}
		return nil, fmt.Errorf("cannot lock %q: %w", path, err)
	}
	return f, nil
}

// ErrTaken is what Take's error wraps when another instance has the lock.
var ErrTaken = errors.New("another instance has it")
