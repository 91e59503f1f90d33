#define _GNU_SOURCE
#include "host.h"

#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/wait.h>
#include <unistd.h>

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
	.output_get_cmt_instance = metrics_of,
	.input_get_cmt_instance = metrics_of,
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

static struct plugin_def *def;

/* check_options holds the list of properties to what Fluent Bit expects of one, and
 * ends the process with status 3, as Fluent Bit does, when a property is not in it. */
static void check_options(const struct config_map *map)
{
	const struct config_map *o;

	if (map == NULL)
		fail("Register left no list of properties");
	for (o = map; o->name != NULL; o++)
		if (o->type != 0 || o->flags != 0 || o->set_property != 0 || o->desc == NULL || *o->desc == '\0')
			fail("property %s is described wrongly", o->name);
	for (int i = 0; i < opts.ninstances; i++)
		for (int k = 0; k < opts.instances[i].nprops; k++) {
			const char *prop = opts.instances[i].props[k];
			size_t n = (size_t)(strchr(prop, '=') - prop);
			if (strncmp(prop, "alias=", 6) == 0) /* the core's own */
				continue;
			for (o = map; o->name != NULL; o++)
				if (strlen(o->name) == n && strncasecmp(o->name, prop, n) == 0)
					break;
			if (o->name == NULL) {
				printf("unknown property %s\n", prop);
				exit(3);
			}
		}
}

static void do_register(int reload)
{
	int (*pre_register)(int) = symbol("FLBPluginPreRegister");
	int (*registration)(struct plugin_def *) = symbol("FLBPluginRegister");
	const size_t size = opts.old_def ? offsetof(struct plugin_def, config_map) : sizeof *def;

	if ((def = calloc(1, size)) == NULL)
		fail("no memory");
	if (pre_register != NULL && pre_register(reload) == -1)
		fail("PreRegister refuses");
	if (registration == NULL)
		fail("no FLBPluginRegister");
	if (registration(def) == -1)
		fail("Register refuses");
	if (def->proxy != PROXY_GO || def->flags != 0 || def->name == NULL || def->description == NULL)
		fail("Register filled the definition wrongly: proxy %d, flags %d", def->proxy, def->flags);
	if (!opts.old_def)
		check_options(def->config_map);
	printf("registered %s type %d\n", def->name, def->type);
}

/* load_also loads and registers the other plugin, whose Go runtime then runs beside the
 * first one's, as when Fluent Bit has both. */
static void load_also(void)
{
	static struct plugin_def other;
	void *so = dlopen(opts.also, RTLD_LAZY);
	int (*registration)(struct plugin_def *);

	if (so == NULL || (registration = dlsym(so, "FLBPluginRegister")) == NULL)
		fail("%s: %s", opts.also, dlerror());
	if (registration(&other) == -1 || other.name == NULL)
		fail("Register of %s refuses", opts.also);
	printf("registered %s type %d\n", other.name, other.type);
}

static void unregister(struct plugin_def *d)
{
	void (*f)(struct plugin_def *) = symbol("FLBPluginUnregister");
	if (f != NULL)
		f(d);
	free(d);
}

/* check_arenas fails if glibc has made more arenas than plugins/internal/flb/arenas.c allows. */
static void check_arenas(void)
{
	char *text;
	size_t size;
	int n = 0;
	FILE *f = open_memstream(&text, &size);

	if (f == NULL || malloc_info(0, f) != 0 || fclose(f) != 0)
		fail("no list of arenas");
	for (const char *at = text; (at = strstr(at, "<heap nr=")) != NULL; at++)
		n++;
	free(text);
	if (n > 2)
		fail("%d arenas, want at most 2", n);
}

void reregister(void) { do_register(1); }

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
		     "  output: [--in FILE ...] [--threads N] [--flushes N] [--hostile] [--serve] [--instance ...]\n"
		     "  both:   [--old-def] [--daemon] [--also PLUGIN.so] [--reloads N]");
	opts.so = argv[1];
	opts.ninstances = 1;
	for (int i = 2; i < argc; i++) {
		const char *flag = argv[i];
		if (strcmp(flag, "--hostile") == 0) { opts.hostile = 1; continue; }
		if (strcmp(flag, "--daemon") == 0) { opts.daemon = 1; continue; }
		if (strcmp(flag, "--serve") == 0) { opts.serve = 1; continue; }
		if (strcmp(flag, "--old-def") == 0) { opts.old_def = 1; continue; }
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
		else if (strcmp(flag, "--also") == 0) opts.also = value;
		else if (strcmp(flag, "--reloads") == 0) opts.reloads = number(flag, value);
		else if (strcmp(flag, "--log-level") == 0) opts.log_level = (int)number(flag, value);
		else fail("unknown flag %s", flag);
	}
}

/* fork_host goes on in a child, whose end is the host's. */
static void fork_host(void)
{
	int status;
	pid_t child;

	fflush(stdout);
	if ((child = fork()) < 0)
		fail("cannot fork");
	if (child == 0)
		return;
	if (waitpid(child, &status, 0) != child)
		fail("cannot wait for the child");
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

int main(int argc, char **argv)
{
	const char *base;

	parse(argc, argv);
	base = strrchr(opts.so, '/');
	if (strncmp(base ? base + 1 : opts.so, "flb-", 4) == 0)
		fail("%s: Fluent Bit takes the prefix flb- for a plugin in C", opts.so);
	if ((library = dlopen(opts.so, RTLD_LAZY)) == NULL)
		fail("%s", dlerror());
	do_register(0);
	if (opts.also != NULL)
		load_also();
	if (opts.daemon)
		fork_host();
	for (long life = 0; life <= opts.reloads; life++) {
		struct plugin_def *old = def; /* a reload registers another */
		switch (def->type) {
		case KIND_INPUT: drive_input(def->name, life < opts.reloads); break;
		case KIND_OUTPUT: drive_output(def->name, life < opts.reloads); break;
		default: fail("unknown type %d", def->type);
		}
		unregister(old);
	}
	check_arenas();
	dlclose(library); /* Go's libraries stay all the same */
	puts("end");
	return 0;
}
