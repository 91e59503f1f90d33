#define _GNU_SOURCE
#include "host.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* flush hands a copy of data over and returns the plugin's code. The copy ends
 * at a page that can not be read, can itself not be written, and is gone when
 * the flush is over. */
static int flush(struct instance *ins, const void *data, size_t size)
{
	int (*flush_ctx)(void *, const void *, size_t, char *) = symbol("FLBPluginFlushCtx");
	int (*plain)(const void *, size_t, char *) = symbol("FLBPluginFlush");
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	const size_t room = (size + page - 1) / page * page;
	char *tag = strdup("host.tag"), *memory = mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *copy = memory + room - size;
	int code;

	if (memory == MAP_FAILED || tag == NULL)
		fail("no memory");
	if (flush_ctx == NULL && plain == NULL)
		fail("no flush");
	if (size > 0)
		memcpy(copy, data, size);
	if (room > 0 && mprotect(memory, room, PROT_READ) != 0)
		fail("cannot protect a chunk");
	if (mprotect(memory + room, page, PROT_NONE) != 0)
		fail("cannot protect a page");
	code = flush_ctx ? flush_ctx(ins->out_ctx.remote_context, copy, size, tag) : plain(copy, size, tag);
	munmap(memory, room + page);
	memset(tag, 'x', strlen(tag));
	free(tag);
	if (code != FLB_OK && code != FLB_RETRY)
		fail("a flush returned %d: Fluent Bit would drop the chunk", code);
	return code;
}

struct chunk {
	char *data;
	size_t size;
};

static struct chunk chunks[MAX_CHUNKS];

static void load(struct chunk *c, const char *path)
{
	FILE *f = fopen(path, "rb");
	long size;

	if (f == NULL || fseek(f, 0, SEEK_END) != 0 || (size = ftell(f)) < 0)
		fail("cannot read %s", path);
	rewind(f);
	c->size = (size_t)size;
	c->data = malloc(c->size + 1);
	if (c->data == NULL || fread(c->data, 1, c->size, f) != c->size)
		fail("cannot read %s", path);
	fclose(f);
}

/* One worker: it flushes its share of the chunks, again until it is taken. */
static void *work(void *arg)
{
	const long self = (long)(intptr_t)arg;

	for (long round = 0; round < opts.flushes; round++)
		for (int i = 0; i < opts.nchunks; i++) {
			int tries = 0, code;
			if ((i + round) % opts.threads != self)
				continue;
			while ((code = flush(&opts.instances[(i + round) % opts.ninstances], chunks[i].data, chunks[i].size)) == FLB_RETRY && ++tries < 100)
				;
			printf("flush %s code %d retries %d\n", opts.chunks[i], code, tries);
		}
	return NULL;
}

static uint64_t random_next(uint64_t *state) /* xorshift */
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Buffers that no input writes. */
static void *hostile(void *arg)
{
	static const struct { const char *bytes; size_t size; } small[] = {
		{"", 0}, {"\x00", 1}, {"\x2a", 1}, {"\xff", 1}, {"\xc0", 1}, {"\xc1", 1}, {"\xc3", 1},
		{"\xcb\x40\x09\x21\xfb\x54\x44\x2d\x18", 9},        /* a float at the top */
		{"\xa3" "abc", 4}, {"\x80", 1}, {"\x90", 1}, {"\x91\x01", 2}, {"\x92\x01", 2}, {"\x92\x01\x80", 3},
		{"\x92\x92\x01\x80\x80", 5}, {"\x93\x01\x80\x80", 4},
		{"\x92\xd7\x00\x00\x00", 5},                        /* a cut time */
		{"\xdd\xff\xff\xff\xff", 5}, {"\xdf\xff\xff\xff\xff\x01", 6}, {"\xdb\xff\xff\xff\xff", 5}, {"\xc6\x7f\xff\xff\xff", 5},
		{"\xc9\xff\xff\xff\xff\x00", 6},
	};
	uint64_t state = 0x9e3779b97f4a7c15;
	char buffer[512];
	const size_t deep = 1 << 20;
	char *nested = malloc(deep);
	long flushed = 0, retried = 0;

	(void)arg;
	if (nested == NULL)
		fail("no memory");
	for (size_t i = 0; i < sizeof small / sizeof *small; i++, flushed++)
		retried += flush(&opts.instances[0], small[i].bytes, small[i].size) == FLB_RETRY;
	for (int i = 0; i < 300; i++, flushed++) {
		size_t n = random_next(&state) % sizeof buffer;
		for (size_t k = 0; k < n; k++)
			buffer[k] = (char)random_next(&state);
		if (n > 2 && i % 2 == 0) /* half of them begin like a record */
			memcpy(buffer, "\x92\x01\x8f", 3);
		retried += flush(&opts.instances[0], buffer, n) == FLB_RETRY;
	}
	memset(nested, 0x91, deep);
	retried += flush(&opts.instances[0], nested, deep) == FLB_RETRY;
	memset(nested, 0x81, deep);
	retried += flush(&opts.instances[0], nested, deep) == FLB_RETRY;
	flushed += 2;
	for (int i = 0; i < opts.nchunks; i++) /* every cut of a good chunk */
		for (size_t n = 0; n < chunks[i].size && n < 200; n++, flushed++)
			retried += flush(&opts.instances[0], chunks[i].data, n) == FLB_RETRY;
	free(nested);
	printf("hostile flushes %ld retried %ld\n", flushed, retried);
	return NULL;
}

static void read_all(void *to, size_t n)
{
	if (fread(to, 1, n, stdin) != n)
		fail("standard input ends inside a chunk");
}

/* serve flushes chunks that come on standard input, each behind its length of four
 * bytes, least first, and answers one byte each, the code. It ends with the input. */
static void *serve(void *arg)
{
	uint8_t head[4];
	size_t got;

	(void)arg;
	fflush(stdout); /* who serves is who waits for what was printed so far */
	while ((got = fread(head, 1, sizeof head, stdin)) == sizeof head) {
		size_t n = (size_t)head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24;
		char *data = malloc(n + 1);
		if (data == NULL)
			fail("no memory");
		read_all(data, n);
		if (putchar('0' + flush(&opts.instances[0], data, n)) == EOF || fflush(stdout) != 0)
			fail("cannot answer");
		free(data);
	}
	if (got != 0)
		fail("standard input ends inside a length");
	putchar('\n');
	return NULL;
}

/* threads runs f n times with a stack as small as that of Fluent Bit's
 * coroutines, in which flushes run: at least 64 KiB. */
static void run_threads(void *(*f)(void *), long n)
{
	pthread_t *t = calloc((size_t)n, sizeof *t);
	pthread_attr_t attr;
	const long least = sysconf(_SC_THREAD_STACK_MIN);

	pthread_attr_init(&attr);
	if (t == NULL || pthread_attr_setstacksize(&attr, (size_t)(least < 0 ? PTHREAD_STACK_MIN : least) + (64 << 10)) != 0)
		fail("cannot set a thread's stack");
	for (long i = 0; i < n; i++)
		if (pthread_create(&t[i], &attr, f, (void *)(intptr_t)i) != 0)
			fail("no thread");
	for (long i = 0; i < n; i++)
		pthread_join(t[i], NULL);
	free(t);
}

static void start(struct instance *ins, const char *name)
{
	int (*pre_run)(int) = symbol("FLBPluginOutputPreRun");

	memset(&ins->out_ctx, 0, sizeof ins->out_ctx);
	ins->out_ctx.proxy = ins;
	init(ins, name, &ins->out_ctx);
	if (ins->out_ctx.proxy != ins || ins->out_ctx.remote_context == NULL)
		fail("Init left the context without a remote context, or overwrote the host's part");
	if (pre_run != NULL)
		pre_run(0);
}

static void end(struct instance *ins, int reload)
{
	void (*pre_exit)(int) = symbol("FLBPluginOutputPreExit");
	int (*exit_ctx)(void *) = symbol("FLBPluginExitCtx");
	int (*plain_exit)(void) = symbol("FLBPluginExit");

	if (pre_exit != NULL)
		pre_exit(reload);
	if ((exit_ctx != NULL ? exit_ctx(ins->out_ctx.remote_context) : plain_exit != NULL ? plain_exit() : FLB_OK) != FLB_OK)
		fail("Exit failed");
	metrics_end(ins);
	if (opts.nchunks > 0 && flush(ins, chunks[0].data, chunks[0].size) != FLB_RETRY)
		fail("a flush after the exit was taken: its records are lost");
}

void drive_output(const char *name, int reload)
{
	if (opts.threads < 1)
		fail("--threads wants 1 or more");
	for (int i = 0; i < opts.nchunks; i++)
		load(&chunks[i], opts.chunks[i]);
	for (int i = 0; i < opts.ninstances; i++)
		start(&opts.instances[i], name);
	run_threads(work, opts.threads);
	if (opts.hostile)
		run_threads(hostile, 1);
	if (opts.serve)
		run_threads(serve, 1);
	if (reload)
		reregister();
	for (int i = 0; i < opts.ninstances; i++)
		end(&opts.instances[i], reload);
	for (int i = 0; i < opts.nchunks; i++)
		free(chunks[i].data);
}
