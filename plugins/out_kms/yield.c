// From the functions that Fluent Bit's program exports: while flushes of a thread wait, one
// timer of the thread's scheduler asks for those that have ended and resumes their
// coroutines. The timer is a permanent one, because a timer that fires once counts in whole
// seconds.
//
// Source: Fluent Bit 5.1, include/fluent-bit/flb_time_utils.h, flb_coro.h and
// src/flb_scheduler.c. The functions are the same since 2.2.

#define _GNU_SOURCE
#include "_cgo_export.h"
#include "yield.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>

// The middle of struct flb_coro. A build that knows Valgrind has a number in front.
struct stacks {
	void *caller, *callee;
};

// A flush that waits, on the stack of its coroutine.
struct waiting {
	struct waiting *next;
	void *coro;
	struct stacks *stacks;
	uintptr_t handle;
	int code;
};

enum { permanent = 4, every_ms = 10 }; // FLB_SCHED_TIMER_CB_PERM

// The flushes of this thread that wait, and the timer that looks after them.
static __thread struct {
	struct waiting *first;
	void *timer;
	int ended; // as keytrailEnded said last
} here;

static struct {
	void *(*coro_get)(void);
	void (*coro_set)(void *);
	void *(*sched_get)(void);
	int (*create)(void *sched, int type, int ms, void (*call)(void *, void *), void *data, void **out);
	int (*destroy)(void *timer);
	void *(*active)(void);
	void (*change)(void *);
} host;

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void lookup(void) {
	*(void **)&host.coro_get = dlsym(RTLD_DEFAULT, "flb_coro_get");
	*(void **)&host.coro_set = dlsym(RTLD_DEFAULT, "flb_coro_set");
	*(void **)&host.sched_get = dlsym(RTLD_DEFAULT, "flb_sched_ctx_get");
	*(void **)&host.create = dlsym(RTLD_DEFAULT, "flb_sched_timer_cb_create");
	*(void **)&host.destroy = dlsym(RTLD_DEFAULT, "flb_sched_timer_cb_destroy");
	*(void **)&host.active = dlsym(RTLD_DEFAULT, "co_active");
	*(void **)&host.change = dlsym(RTLD_DEFAULT, "co_switch");
}

// stacks_of returns those of the coroutine that runs, NULL for a layout that is not known.
static struct stacks *stacks_of(void *coro, void *active) {
	void **word = coro;

	if (word[1] == active)
		return (struct stacks *)&word[0];
	return word[2] == active ? (struct stacks *)&word[1] : NULL;
}

// look resumes the flushes that have ended. The timer calls it, on the stack of the event
// loop. A flush that has ended is out of the list before its coroutine runs on.
static void look(void *config, void *data) {
	struct waiting **at = &here.first, *w;
	int ended = keytrailEnded();
	(void)config, (void)data;

	if (ended == here.ended)
		return;
	here.ended = ended;
	while ((w = *at) != NULL) {
		if ((w->code = keytrailAsk(w->handle)) < 0) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		host.coro_set(w->coro);
		w->stacks->caller = host.active();
		host.change(w->stacks->callee);
	}
	if (here.first == NULL) {
		host.destroy(here.timer);
		here.timer = NULL;
	}
}

int keytrail_yield(uintptr_t handle) {
	struct waiting w = {.next = here.first, .handle = handle};
	void *sched;

	pthread_once(&once, lookup);
	if (!host.coro_get || !host.coro_set || !host.sched_get || !host.create || !host.destroy || !host.active || !host.change)
		return keytrailWait(handle);
	w.coro = host.coro_get();
	sched = host.sched_get();
	if (!w.coro || !sched || !(w.stacks = stacks_of(w.coro, host.active())))
		return keytrailWait(handle);
	if (here.timer == NULL && host.create(sched, permanent, every_ms, look, NULL, &here.timer) == -1)
		return keytrailWait(handle); // no file descriptor is left
	here.first = &w;
	here.ended--; // this one may have ended before
	host.change(w.stacks->caller);
	return w.code;
}
