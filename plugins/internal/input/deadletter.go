package input

import (
	"fmt"
	"os"
	"sync"

	"keytrail/processor/linefile"
	"keytrail/schemas/wire"
)

// maxDeadLetterBytes is the size at which the dead-letter file is renamed to
// NAME.1, over an older one, and started again: two files of 256 MiB are 500 dead letters
// of the largest size (512 KiB of raw bytes), or a million of the usual.
const maxDeadLetterBytes = 256 << 20

// deadLetters appends dead letters to an NDJSON file, one object a line. The
// file is opened with the first one. It is safe for concurrent use.
type deadLetters struct {
	path string // "" keeps nothing
	max  int64

	mu    sync.Mutex // guards the following
	f     *linefile.File
	size  int64 // of f
	buf   []byte
	dirty bool // written and not yet synced
}

// write appends d. After an error a part of the line may be in the file; what is
// written next begins a new line.
func (l *deadLetters) write(d *wire.DeadLetter) error {
	if l.path == "" {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = append(d.AppendJSON(l.buf[:0]), '\n')
	if err := l.open(); err != nil {
		return err
	}
	if l.size > 0 && l.size+int64(len(l.buf)) > l.max {
		if err := l.rotate(); err != nil {
			return err
		}
	}
	l.dirty = true
	_, err := l.f.Write(l.buf)
	l.size = l.f.Size()
	if err != nil {
		return fmt.Errorf("cannot write dead letter to %q: %w", l.path, err)
	}
	return nil
}

func (l *deadLetters) open() error {
	if l.f != nil {
		return nil
	}
	f, err := linefile.Open(l.path)
	if err != nil {
		return fmt.Errorf("cannot open dead-letter file: %w", err)
	}
	l.f, l.size = f, f.Size()
	return nil
}

// rotate starts a new file. A file that cannot be synced stays open: objects that wait
// for its lines must not become done because a new file has no such lines.
func (l *deadLetters) rotate() error {
	if err := l.syncLocked(); err != nil {
		return err
	}
	err := l.f.Close()
	l.f = nil
	if err == nil {
		err = os.Rename(l.path, l.path+".1")
	}
	if err != nil {
		return fmt.Errorf("cannot rotate dead-letter file %q: %w", l.path, err)
	}
	return l.open()
}

// sync makes what was written safe over a crash.
func (l *deadLetters) sync() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.syncLocked()
}

func (l *deadLetters) syncLocked() error {
	if !l.dirty || l.f == nil {
		return nil
	}
	if err := l.f.Sync(); err != nil {
		return fmt.Errorf("cannot sync dead-letter file %q: %w", l.path, err)
	}
	l.dirty = false
	return nil
}

func (l *deadLetters) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f == nil {
		return nil
	}
	err := l.syncLocked()
	if cerr := l.f.Close(); err == nil && cerr != nil {
		err = fmt.Errorf("cannot close dead-letter file %q: %w", l.path, cerr)
	}
	l.f = nil
	return err
}
