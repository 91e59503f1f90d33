// From the functions that Fluent Bit's program exports: a timer of the thread's scheduler
// resumes the coroutine that waits. The timer is a permanent one, because those that fire
// once do so in whole seconds: what is shorter is over at once.
//
// Source: Fluent Bit 5.1, include/fluent-bit/flb_time_utils.h, flb_coro.h and
// src/flb_scheduler.c. The functions are the same since 2.2.

#define _GNU_SOURCE
#include "yield.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>

// The middle of struct flb_coro. A build that knows Valgrind has a number in front.
struct stacks {
	void *caller, *callee;
};

enum { permanent = 4 }; // FLB_SCHED_TIMER_CB_PERM

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

// resume is called by the timer, on the stack of the event loop.
static void resume(void *config, void *data) {
	struct keytrail_pauses *p = data; // on the stack of the coroutine
	struct stacks *s = p->stacks;
	(void)config;
	host.coro_set(p->coro);
	s->caller = host.active();
	host.change(s->callee);
}

int keytrail_pauses_begin(struct keytrail_pauses *p, int ms) {
	void *sched;

	pthread_once(&once, lookup);
	if (!host.coro_get || !host.coro_set || !host.sched_get || !host.create || !host.destroy || !host.active || !host.change)
		return 0;
	p->coro = host.coro_get();
	sched = host.sched_get();
	if (!p->coro || !sched || !(p->stacks = stacks_of(p->coro, host.active())))
		return 0;
	return host.create(sched, permanent, ms, resume, p, &p->timer) != -1;
}

void keytrail_pause(struct keytrail_pauses *p) { host.change(((struct stacks *)p->stacks)->caller); }

void keytrail_pauses_end(struct keytrail_pauses *p) { host.destroy(p->timer); }
