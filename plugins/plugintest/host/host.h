/*
 * A host for Fluent Bit plugins written in Go: it loads a built .so and calls
 * its functions in the order, on the kinds of threads and with the structures
 * that Fluent Bit 5.1 uses on 64-bit Linux, and it checks what comes back.
 *
 * It is stricter than Fluent Bit where that finds mistakes: the plugin struct
 * is overwritten and freed after Init, a chunk ends at a page that can not be
 * touched, can not be written to and is unmapped after the flush, and what an
 * input returns is walked byte by byte.
 */
#ifndef KEYTRAIL_HOST_H
#define KEYTRAIL_HOST_H

#include <stddef.h>
#include <stdint.h>

/* Return codes and kinds, by Fluent Bit's numbers. */
enum { FLB_ERROR = 0, FLB_OK = 1, FLB_RETRY = 2 };
enum { KIND_INPUT = 1, KIND_OUTPUT = 2, PROXY_GO = 11 };

/* What a plugin fills at its registration. */
struct plugin_def {
	int type;
	int proxy;
	int flags;
	char *name;        /* allocated by the plugin, freed at Unregister */
	char *description;
	int event_type;
	struct config_map *config_map; /* not in --old-def: those of Fluent Bit before 5.1.1 end here */
};

/* A property that the plugin knows; a list of them ends with a name of NULL. */
struct config_map {
	int type; /* 0: text */
	char *name;
	char *def_value;
	int flags;
	int set_property;
	uintptr_t offset;
	char *desc;
	void *value[5];
	void *head[2];
};

/* The functions that Fluent Bit offers to plugins. The order is the ABI. */
struct api {
	const char *(*output_get_property)(const char *key, void *instance);
	const char *(*input_get_property)(const char *key, void *instance);
	void *(*output_get_cmt_instance)(void *instance);
	void *(*input_get_cmt_instance)(void *instance);
	void (*log_print)(int level, const char *file, int line, const char *format, ...);
	int (*input_log_check)(void *instance, int level);
	int (*output_log_check)(void *instance, int level);
	const char *(*custom_get_property)(const char *key, void *instance);
	int (*custom_log_check)(void *instance, int level);
};

struct output_context {
	void *remote_context;
	void *proxy;
};

struct input_context {
	int coll_fd;
	void *remote_context;
	void *proxy;
};

/* The argument of FLBPluginInit; context is one of the two above. */
struct plugin {
	char *name;
	const struct api *api;
	void *instance;
	void *context;
	void *callbacks[6]; /* the host's own */
};

enum { MAX_PROPS = 32, MAX_INSTANCES = 4, MAX_CHUNKS = 64 };

/* One input or output section of a configuration. */
struct instance {
	char *props[MAX_PROPS]; /* "key=value" */
	int nprops;
	const char *out; /* input: file for what the callbacks return */
	struct input_context in_ctx;
	struct output_context out_ctx;
};

struct options {
	const char *so;
	struct instance instances[MAX_INSTANCES];
	int ninstances;
	int log_level;
	/* input */
	long calls;    /* callbacks at the most, for each instance */
	long records;  /* an instance ends when it has returned as many; 0: never */
	long tick_ms;  /* between two callbacks; Fluent Bit's is 1,000 */
	long pause_after; /* pause for a while once as many records were returned; 0: never */
	long ring_ms;  /* what was returned stays in memory so long before it is written to "out" */
	int old_core;  /* use the callbacks without a context */
	int old_def;   /* register with a definition that ends before config_map */
	const char *also; /* another plugin in the same process, registered and left alone */
	int daemon;    /* go into the background after loading, as with Fluent Bit's daemon on */
	long reloads;  /* hot reloads: the whole life again, as often */
	/* output */
	const char *chunks[MAX_CHUNKS];
	int nchunks;
	long threads, flushes;
	int hostile;
	int serve; /* flush what comes on standard input: see serve() */
};

extern struct options opts;
extern const struct api host_api;

/* fail prints a message and ends the process with status 1. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* symbol returns a function of the plugin, NULL when it has none of that name. */
void *symbol(const char *name);

/* init calls FLBPluginInit as Fluent Bit does, and ends the process with status
 * 3 when the plugin refuses. */
void init(struct instance *ins, const char *name, void *context);

/* One life of all instances, from Init to Exit. reload tells whether another follows:
 * the plugin is then registered again before this one's exits, as Fluent Bit does. */
void drive_input(const char *name, int reload);
void drive_output(const char *name, int reload);

/* reregister calls PreRegister(1) and Register with a new definition. */
void reregister(void);

/* metrics.c: what Fluent Bit exports of cmetrics. metrics_of returns an instance's
 * context and metrics_end prints its counters and frees them; a plugin that counts
 * after that fails the host. */
void *metrics_of(void *instance);
void metrics_end(const struct instance *ins);

/* msgpack_end returns the end of the value at p, NULL when it is cut or none. */
const uint8_t *msgpack_end(const uint8_t *p, const uint8_t *end, int depth);

/* count_records walks what an input returned and counts the records; it fails on
 * anything but [[time, metadata], body]. */
long count_records(const uint8_t *p, size_t size);

#endif
