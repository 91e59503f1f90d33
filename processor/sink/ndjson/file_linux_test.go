package ndjson

import (
	"errors"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"keytrail/processor/sink/sinktest"
)

// TestWriteFails limits the size of files for a moment, so that the kernel
// writes the first bytes of a batch and refuses the others, as it does on a full
// disk. The batch must leave no trace, and must stand there once when it comes
// again.
func TestWriteFails(t *testing.T) {
	c := at(t)
	s := open(t, c)
	deliver := func(id string) error { return s.Deliver(t.Context(), sinktest.Batch(id)) }
	if err := deliver("a"); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(c.Path)
	if err != nil {
		t.Fatal(err)
	}
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	small := syscall.Rlimit{Cur: uint64(info.Size()) + 20, Max: before.Max}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &small); err != nil {
		t.Fatal(err)
	}
	err = deliver("b")
	if e := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); e != nil {
		t.Fatal(e)
	}
	if !errors.Is(err, syscall.EFBIG) {
		t.Errorf("got %v, want EFBIG", err)
	}
	if after, err := os.Stat(c.Path); err != nil || after.Size() != info.Size() {
		t.Errorf("the file has %d bytes (%v), want %d as before", after.Size(), err, info.Size())
	}
	if err := deliver("b"); err != nil {
		t.Errorf("after the disk has room again: %v", err)
	}
	if got := idsIn(t, c.Path); got != "a b" {
		t.Errorf("the file holds %q, want %q", got, "a b")
	}
}

// TestWriteAndUndoFail has a device that takes no byte instead of the file: the
// batch fails, and the next one opens the file again.
func TestWriteAndUndoFail(t *testing.T) {
	c := at(t)
	s := open(t, c)
	f := s.out.(*file)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.f.Close(); err != nil {
		t.Fatal(err)
	}
	f.f = full
	if err := s.Deliver(t.Context(), sinktest.Batch("a")); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v, want ENOSPC", err)
	}
	if err := s.Deliver(t.Context(), sinktest.Batch("a")); err != nil {
		t.Errorf("after opening the file again: %v", err)
	}
	if got := idsIn(t, c.Path); got != "a" {
		t.Errorf("the file holds %q, want %q", got, "a")
	}
}
