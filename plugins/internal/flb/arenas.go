package flb

/*
#include <malloc.h>

static void keytrail_trim(void) { malloc_trim(0); }
*/
import "C"

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// FreeMemory returns unused memory of Go's heap and of the C library to the system. It takes
// milliseconds. Call it where a plugin ends, as at each reload, and where an instance begins:
// Fluent Bit frees most of what it had before a reload between the two.
func FreeMemory() {
	forget.Lock()
	forgetGoroutines()
	endThreads()
	forget.Unlock()
	debug.FreeOSMemory()
	C.keytrail_trim()
}

// forget guards GOMAXPROCS.
var forget sync.Mutex

// forgetGoroutines lets the next collection free the stacks of goroutines that have ended.
// Each of the runtime's processors keeps up to 64 of them, with their stacks, for the
// goroutines that it starts next. Which processor a goroutine ends on is chance, so these
// lists fill up over some 200 reloads. When GOMAXPROCS takes a processor away, its list goes
// to the runtime's common one, whose stacks a collection frees.
func forgetGoroutines() {
	n := runtime.GOMAXPROCS(0)
	if n == 1 {
		return
	}
	runtime.GOMAXPROCS(1)
	if os.Getenv("GOMAXPROCS") != "" {
		runtime.GOMAXPROCS(n)
	} else {
		runtime.SetDefaultGOMAXPROCS() // GOMAXPROCS(n) would no longer follow the limits of a container
	}
}

// endThreads ends the threads that Go does not need. The runtime starts one when all others
// are busy and keeps it, with 32 KiB of Go's memory and 56 KiB of stack. A thread ends with
// the goroutine that is locked to it.
func endThreads() {
	threads := []metrics.Sample{{Name: "/sched/threads/total:threads"}}
	metrics.Read(threads)
	const always = 3 // the caller's, the runtime's monitor, and the one that started it
	var locked sync.WaitGroup
	for range int(threads[0].Value.Uint64()) - runtime.GOMAXPROCS(0) - always {
		locked.Go(runtime.LockOSThread)
	}
	locked.Wait()
}
