// A flush that gives its thread back to the host's event loop while it waits.
//
// Fluent Bit calls a flush inside a coroutine, so that a plugin in C may wait for the
// network without holding up the engine. A coroutine may not be left with a Go function on
// its stack: call these from C alone.

struct keytrail_pauses {
	void *coro, *stacks, *timer;
};

// keytrail_pauses_begin has the flush woken every ms milliseconds. It reports 0 where it
// cannot: the caller has to block.
int keytrail_pauses_begin(struct keytrail_pauses *p, int ms);

// keytrail_pause returns at the next of these times.
void keytrail_pause(struct keytrail_pauses *p);

void keytrail_pauses_end(struct keytrail_pauses *p);
