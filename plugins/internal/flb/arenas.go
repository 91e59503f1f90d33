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
	"runtime"
	"runtime/debug"
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
	debug.FreeOSMemory()
	C.keytrail_trim()
}
