#define _GNU_SOURCE
#include "host.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct options opts = {.log_level = 3, .calls = 1, .tick_ms = 10, .threads = 1, .flushes = 1};

static void *library;

void fail(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fputs("host: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

void *symbol(const char *name) { return dlsym(library, name); }

/* A property by its name in any case, NULL when it is not set. */
static const char *get_property(const char *key, void *instance)
{
	struct instance *ins = instance;
	size_t n = strlen(key);
	for (int i = 0; i < ins->nprops; i++)
		if (strncasecmp(ins->props[i], key, n) == 0 && ins->props[i][n] == '=')
			return ins->props[i] + n + 1;
	return NULL;
}

static void *no_metrics(void *instance) { (void)instance; return NULL; }

static void log_print(int level, const char *file, int line, const char *format, ...)
{
	static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
	static const char *const names[] = {"off", "error", "warn", "info", "debug"};
	va_list args;
	(void)file, (void)line;
	va_start(args, format);
	pthread_mutex_lock(&mu);
	fprintf(stderr, "[%s] ", level >= 0 && level < 5 ? names[level] : "?");
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	pthread_mutex_unlock(&mu);
	va_end(args);
}

static int log_check(void *instance, int level) { (void)instance; return level <= opts.log_level; }

const struct api host_api = {
	.output_get_property = get_property,
	.input_get_property = get_property,
	.output_get_cmt_instance = no_metrics,
	.input_get_cmt_instance = no_metrics,
	.log_print = log_print,
	.input_log_check = log_check,
	.output_log_check = log_check,
	.custom_get_property = get_property,
	.custom_log_check = log_check,
};

void init(struct instance *ins, const char *name, void *context)
{
	int (*plugin_init)(struct plugin *) = symbol("FLBPluginInit");
	struct plugin *p;
	int code;

	if (plugin_init == NULL)
		fail("no FLBPluginInit");
	if ((p = calloc(1, sizeof *p)) == NULL)
		fail("no memory");
	p->name = strdup(name);
	p->api = &host_api;
	p->instance = ins;
	p->context = context;
	code = plugin_init(p);
	free(p->name);
	memset(p, 0xa5, sizeof *p); /* valid during Init only */
	free(p);
	if (code <= 0) {
		printf("init %d\n", code);
		exit(3);
	}
}

static long number(const char *flag, const char *text)
{
	char *end;
	long n = strtol(text, &end, 10);
	if (*text == '\0' || *end != '\0' || n < 0)
		fail("%s wants a number, not \"%s\"", flag, text);
	return n;
}

static void parse(int argc, char **argv)
{
	struct instance *ins = &opts.instances[0];

	if (argc < 2)
		fail("usage: host PLUGIN.so [--prop KEY=VALUE ...] [--log-level N]\n"
		     "  input:  [--calls N] [--records N] [--tick-ms N] [--pause-after N] [--ring-ms N] [--old-core] [--out FILE] [--instance ...]\n"
		     "  output: [--in FILE ...] [--threads N] [--flushes N] [--hostile]");
	opts.so = argv[1];
	opts.ninstances = 1;
	for (int i = 2; i < argc; i++) {
		const char *flag = argv[i];
		if (strcmp(flag, "--hostile") == 0) { opts.hostile = 1; continue; }
		if (strcmp(flag, "--old-core") == 0) { opts.old_core = 1; continue; }
		if (strcmp(flag, "--instance") == 0) {
			if (opts.ninstances == MAX_INSTANCES)
				fail("more than %d instances", MAX_INSTANCES);
			ins = &opts.instances[opts.ninstances++];
			continue;
		}
		if (++i == argc)
			fail("%s wants a value", flag);
		char *value = argv[i];
		if (strcmp(flag, "--prop") == 0) {
			if (ins->nprops == MAX_PROPS || strchr(value, '=') == NULL)
				fail("--prop wants KEY=VALUE, at most %d times", MAX_PROPS);
			ins->props[ins->nprops++] = value;
		} else if (strcmp(flag, "--out") == 0) ins->out = value;
		else if (strcmp(flag, "--in") == 0) {
			if (opts.nchunks == MAX_CHUNKS)
				fail("more than %d chunks", MAX_CHUNKS);
			opts.chunks[opts.nchunks++] = value;
		}
		else if (strcmp(flag, "--calls") == 0) opts.calls = number(flag, value);
		else if (strcmp(flag, "--records") == 0) opts.records = number(flag, value);
		else if (strcmp(flag, "--tick-ms") == 0) opts.tick_ms = number(flag, value);
		else if (strcmp(flag, "--pause-after") == 0) opts.pause_after = number(flag, value);
		else if (strcmp(flag, "--ring-ms") == 0) opts.ring_ms = number(flag, value);
		else if (strcmp(flag, "--threads") == 0) opts.threads = number(flag, value);
		else if (strcmp(flag, "--flushes") == 0) opts.flushes = number(flag, value);
		else if (strcmp(flag, "--log-level") == 0) opts.log_level = (int)number(flag, value);
		else fail("unknown flag %s", flag);
	}
}

int main(int argc, char **argv)
{
	int (*pre_register)(int), (*do_register)(struct plugin_def *);
	void (*unregister)(struct plugin_def *);
	struct plugin_def *def = calloc(1, sizeof *def);
	const char *base;

	parse(argc, argv);
	base = strrchr(opts.so, '/');
	if (strncmp(base ? base + 1 : opts.so, "flb-", 4) == 0)
		fail("%s: Fluent Bit takes the prefix flb- for a plugin in C", opts.so);
	if ((library = dlopen(opts.so, RTLD_LAZY)) == NULL)
		fail("%s", dlerror());
	if ((pre_register = symbol("FLBPluginPreRegister")) != NULL && pre_register(0) == -1)
		fail("PreRegister refuses");
	if ((do_register = symbol("FLBPluginRegister")) == NULL)
		fail("no FLBPluginRegister");
	if (do_register(def) == -1)
		fail("Register refuses");
	if (def->proxy != PROXY_GO || def->flags != 0 || def->config_map != NULL || def->name == NULL || def->description == NULL)
		fail("Register filled the definition wrongly: proxy %d, flags %d", def->proxy, def->flags);
	printf("registered %s type %d\n", def->name, def->type);
	switch (def->type) {
	case KIND_INPUT: drive_input(def->name); break;
	case KIND_OUTPUT: drive_output(def->name); break;
	default: fail("unknown type %d", def->type);
	}
	if ((unregister = symbol("FLBPluginUnregister")) != NULL)
		unregister(def);
	free(def);
	puts("end");
	return 0;
}
