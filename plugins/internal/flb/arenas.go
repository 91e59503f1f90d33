package flb

/*
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

static void keytrail_bound_arenas(int n) {
	const char *tunables = getenv("GLIBC_TUNABLES");
	if (getenv("MALLOC_ARENA_MAX") != NULL || (tunables != NULL && strstr(tunables, "arena_max") != NULL))
		return;
	mallopt(M_ARENA_MAX, n);
}

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

// BoundArenas keeps the C library from giving each of Go's threads its own memory.
// glibc makes up to eight arenas per core, one for each thread that ever allocates or frees,
// and a Go runtime has some eight threads. Fluent Bit restarts its threads at each reload:
// they go around all of these arenas and leave free memory behind in each, so that the
// process grows with its reloads. One arena per core is as many as can be in use at a time.
// MALLOC_ARENA_MAX and GLIBC_TUNABLES override it. Call it in FLBPluginRegister.
var BoundArenas = sync.OnceFunc(func() { C.keytrail_bound_arenas(C.int(max(2, runtime.NumCPU()))) })

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
