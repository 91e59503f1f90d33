#define _GNU_SOURCE
#include "host.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { COLL_FD = 0x5eed };

static const char *plugin_name;
static int reloading;
static pthread_barrier_t initialized, finished, registered;

/* What callbacks returned stands here before it is written, as in the ring buffer in
 * front of Fluent Bit's storage: when the host is killed, it is lost. */
struct ring {
	struct slot { void *data; size_t size; struct timespec at; } slots[1024];
	unsigned first, n;
};

/* settle writes what has been in the ring for long enough, or all of it. */
static void settle(struct ring *ring, struct instance *ins, FILE *out, int all)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	while (ring->n > 0) {
		struct slot *s = &ring->slots[ring->first];
		long age = (now.tv_sec - s->at.tv_sec) * 1000 + (now.tv_nsec - s->at.tv_nsec) / 1000000;
		if (!all && age < opts.ring_ms)
			break;
		if (fwrite(s->data, 1, s->size, out) != s->size)
			fail("cannot write %s", ins->out);
		free(s->data);
		ring->first = (ring->first + 1) % 1024;
		ring->n--;
	}
	if (fflush(out) != 0)
		fail("cannot write %s", ins->out);
}

static void put(struct ring *ring, struct instance *ins, FILE *out, const void *data, size_t size)
{
	struct slot *s;

	if (ring->n == 1024)
		settle(ring, ins, out, 1); /* Fluent Bit would drop it */
	s = &ring->slots[(ring->first + ring->n++) % 1024];
	if ((s->data = malloc(size)) == NULL)
		fail("no memory");
	memcpy(s->data, data, size);
	s->size = size;
	clock_gettime(CLOCK_MONOTONIC, &s->at);
	settle(ring, ins, out, 0);
}

/* One callback with its cleanup. Returns the number of records. */
static long collect(struct instance *ins, struct ring *ring, FILE *out)
{
	int (*callback_ctx)(void *, void **, size_t *) = opts.old_core ? NULL : symbol("FLBPluginInputCallbackCtx");
	int (*callback)(void **, size_t *) = symbol("FLBPluginInputCallback");
	int (*cleanup_ctx)(void *, void *) = opts.old_core ? NULL : symbol("FLBPluginInputCleanupCallbackCtx");
	int (*cleanup)(void *) = symbol("FLBPluginInputCleanupCallback");
	void *data = NULL;
	size_t size = 0;
	int code;
	long n;

	if (callback_ctx == NULL && callback == NULL)
		fail("no callback");
	code = callback_ctx ? callback_ctx(ins->in_ctx.remote_context, &data, &size) : callback(&data, &size);
	if (code != FLB_OK)
		fail("the callback returned %d", code);
	if (size == 0) {
		if (data != NULL)
			fail("memory without a size");
		if (out != NULL)
			settle(ring, ins, out, 0);
		return 0;
	}
	n = count_records(data, size);
	if (out != NULL)
		put(ring, ins, out, data, size);
	if (cleanup_ctx != NULL)
		cleanup_ctx(ins->in_ctx.remote_context, data);
	else if (cleanup != NULL)
		cleanup(data);
	else
		free(data);
	return n;
}

/* call calls a function without context, if there is one. */
static void call(const char *name)
{
	void (*f)(void) = symbol(name);
	if (f != NULL)
		f();
}

static void tick(void)
{
	struct timespec t = {.tv_sec = opts.tick_ms / 1000, .tv_nsec = opts.tick_ms % 1000 * 1000000};
	nanosleep(&t, NULL);
}

/* The life of one instance, on its own thread. */
static void *run(void *arg)
{
	struct instance *ins = arg;
	int (*pre_run)(int) = symbol("FLBPluginInputPreRun");
	void (*pre_exit)(int) = symbol("FLBPluginInputPreExit");
	int (*plugin_exit)(void) = symbol("FLBPluginExit");
	FILE *out = ins->out ? fopen(ins->out, reloading > 1 ? "ab" : "wb") : NULL;
	struct ring *ring = calloc(1, sizeof *ring);
	long records = 0, calls = 0;
	int paused = 0;

	if (ring == NULL)
		fail("no memory");

	if (ins->out != NULL && out == NULL)
		fail("cannot open %s", ins->out);
	memset(&ins->in_ctx, 0, sizeof ins->in_ctx);
	ins->in_ctx.coll_fd = COLL_FD;
	ins->in_ctx.proxy = ins;
	init(ins, plugin_name, &ins->in_ctx);
	if (ins->in_ctx.coll_fd != COLL_FD || ins->in_ctx.proxy != ins || ins->in_ctx.remote_context == NULL)
		fail("Init left the context as fd %#x, proxy %p, remote context %p", (unsigned)ins->in_ctx.coll_fd, ins->in_ctx.proxy, ins->in_ctx.remote_context);
	if (pre_run != NULL)
		pre_run(0);
	pthread_barrier_wait(&initialized);
	while (calls < opts.calls && (opts.records == 0 || records < opts.records)) {
		calls++;
		if (opts.pause_after > 0 && !paused && records >= opts.pause_after) {
			paused = 1;
			call("FLBPluginInputPause");
			for (int i = 0; i < 3; i++, tick())
				if (collect(ins, ring, out) != 0)
					fail("records while paused");
			call("FLBPluginInputResume");
		}
		records += collect(ins, ring, out);
		tick();
	}
	if (opts.pause_after > 0 && !paused)
		fail("there was no pause: %ld records are less than %ld", records, opts.pause_after);
	/* All end together, as when Fluent Bit stops or reloads: pause, then the exits. */
	if (pthread_barrier_wait(&finished) == PTHREAD_BARRIER_SERIAL_THREAD && reloading & 1)
		reregister();
	pthread_barrier_wait(&registered);
	call("FLBPluginInputPause");
	if (collect(ins, ring, out) != 0)
		fail("records after the last pause: Fluent Bit would lose them");
	if (pre_exit != NULL)
		pre_exit(reloading & 1);
	call("FLBPluginInputResume"); /* must not undo the exit */
	if (collect(ins, ring, out) != 0)
		fail("records after PreExit: Fluent Bit would lose them");
	if (plugin_exit != NULL && plugin_exit() != FLB_OK)
		fail("Exit failed");
	if (collect(ins, ring, out) != 0)
		fail("records after Exit");
	if (out != NULL) {
		settle(ring, ins, out, 1);
		if (fclose(out) != 0)
			fail("cannot write %s", ins->out);
	}
	free(ring);
	pthread_barrier_wait(&finished); /* the first exit may end all instances: only then are they freed */
	metrics_end(ins);
	printf("instance %td calls %ld records %ld\n", ins - opts.instances, calls, records);
	return NULL;
}

void drive_input(const char *name, int reload)
{
	static int lives;
	pthread_t threads[MAX_INSTANCES];

	plugin_name = name;
	reloading = (lives++ > 0 ? 2 : 0) | reload; /* bit 0: another life follows, bit 1: one came before */
	pthread_barrier_init(&initialized, NULL, (unsigned)opts.ninstances);
	pthread_barrier_init(&finished, NULL, (unsigned)opts.ninstances);
	pthread_barrier_init(&registered, NULL, (unsigned)opts.ninstances);
	for (int i = 0; i < opts.ninstances; i++)
		if (pthread_create(&threads[i], NULL, run, &opts.instances[i]) != 0)
			fail("no thread");
	for (int i = 0; i < opts.ninstances; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&initialized);
	pthread_barrier_destroy(&finished);
	pthread_barrier_destroy(&registered);
}
