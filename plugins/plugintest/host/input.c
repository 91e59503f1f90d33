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

/* One callback with its cleanup. Returns the number of records. */
static long collect(struct instance *ins, FILE *out)
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
		return 0;
	}
	n = count_records(data, size);
	if (out != NULL && fwrite(data, 1, size, out) != size)
		fail("cannot write %s", ins->out);
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
	long records = 0, calls = 0;
	int paused = 0;

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
				if (collect(ins, out) != 0)
					fail("records while paused");
			call("FLBPluginInputResume");
		}
		records += collect(ins, out);
		tick();
	}
	if (opts.pause_after > 0 && !paused)
		fail("there was no pause: %ld records are less than %ld", records, opts.pause_after);
	/* All end together, as when Fluent Bit stops or reloads: pause, then the exits. */
	if (pthread_barrier_wait(&finished) == PTHREAD_BARRIER_SERIAL_THREAD && reloading & 1)
		reregister();
	pthread_barrier_wait(&registered);
	call("FLBPluginInputPause");
	if (collect(ins, out) != 0)
		fail("records after the last pause: Fluent Bit would lose them");
	if (pre_exit != NULL)
		pre_exit(reloading & 1);
	call("FLBPluginInputResume"); /* must not undo the exit */
	if (collect(ins, out) != 0)
		fail("records after PreExit: Fluent Bit would lose them");
	if (plugin_exit != NULL && plugin_exit() != FLB_OK)
		fail("Exit failed");
	if (collect(ins, out) != 0)
		fail("records after Exit");
	if (out != NULL && fclose(out) != 0)
		fail("cannot write %s", ins->out);
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
