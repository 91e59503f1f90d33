#include <malloc.h>
#include <stdlib.h>
#include <string.h>

// Two arenas: all threads of Fluent Bit and of both Go runtimes share them.
#define ARENAS 2

// keytrail_bound_arenas keeps glibc from giving each thread its own memory. By default it
// makes up to eight arenas per core, one for each thread that ever allocates or frees.
// Fluent Bit restarts its threads at each reload, and they leave free memory behind in all of
// these arenas. Go's runtime starts its threads when the library is loaded, long before
// Fluent Bit calls any function of it, and arenas that exist stay. So this constructor has
// a priority: it runs before that of Go's runtime, which has none. MALLOC_ARENA_MAX and
// GLIBC_TUNABLES override it.
__attribute__((constructor(101))) static void keytrail_bound_arenas(void) {
	const char *tunables = getenv("GLIBC_TUNABLES");
	if (getenv("MALLOC_ARENA_MAX") == NULL && (tunables == NULL || strstr(tunables, "arena_max") == NULL))
		mallopt(M_ARENA_MAX, ARENAS);
}
