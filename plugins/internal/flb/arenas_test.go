package flb

import (
	"os"
	"runtime"
	"runtime/metrics"
	"sync"
	"syscall"
	"testing"
	"time"
)

func metric(name string) int {
	list := []metrics.Sample{{Name: name}}
	metrics.Read(list)
	return int(list[0].Value.Uint64())
}

const (
	threads = "/sched/threads/total:threads"
	stacks  = "/memory/classes/heap/stacks:bytes"
)

// FreeMemory ends the threads of goroutines that were in system calls.
func TestFreeMemoryEndsThreads(t *testing.T) {
	n := runtime.GOMAXPROCS(0)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	fd := int(r.Fd()) // which blocks from here on
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() { _, _ = syscall.Read(fd, make([]byte, 1)) })
	}
	for deadline := time.Now().Add(time.Minute); metric(threads) < 50; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d threads for 50 goroutines in system calls", metric(threads))
		}
	}
	w.Close()
	all.Wait()
	FreeMemory()
	if most := 2*n + 8; metric(threads) > most { // the collection may have started some again
		t.Errorf("%d threads, want at most %d", metric(threads), most)
	}
	if got := runtime.GOMAXPROCS(0); got != n {
		t.Errorf("GOMAXPROCS is %d, was %d", got, n)
	}
}

// FreeMemory frees the stacks of goroutines that have ended on any processor.
func TestFreeMemoryForgetsGoroutines(t *testing.T) {
	const processors = 16
	t.Setenv("GOMAXPROCS", "16") // else FreeMemory would set what the machine has
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(processors))
	kept, grown := 0, 0
	for range 10 { // where goroutines end is chance
		FreeMemory()
		rest := metric(stacks)
		for range 10 {
			var all sync.WaitGroup
			end := make(chan struct{})
			for range 64 * processors {
				all.Go(func() { <-end })
			}
			close(end)
			all.Wait()
		}
		grown += metric(stacks) - rest
		FreeMemory()
		kept += metric(stacks) - rest
	}
	if kept > grown/4 {
		t.Errorf("%d bytes of stacks are kept of %d", kept, grown)
	}
	if got := runtime.GOMAXPROCS(0); got != processors {
		t.Errorf("GOMAXPROCS is %d, was %d", got, processors)
	}
}
