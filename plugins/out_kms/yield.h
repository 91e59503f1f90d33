// A flush that gives its thread back to the host's event loop while it waits.
//
// Fluent Bit calls a flush inside a coroutine, so that a plugin in C may wait for the
// network without holding up the engine. A coroutine may not be left with a Go function on
// its stack: call this from C alone.

#include <stdint.h>

// keytrail_yield returns the code of a delivery when it has ended. It blocks the thread
// where the host has no coroutines, or keeps them in another way than is known.
int keytrail_yield(uintptr_t handle);
