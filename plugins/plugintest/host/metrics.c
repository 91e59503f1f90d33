#define _GNU_SOURCE
#include "host.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_COUNTERS = 256 };

/* A counter or gauge of an instance. Plugins know it by its address, and find the
 * functions below by their names in the program, as in Fluent Bit. */
struct counter {
	const struct instance *owner; /* NULL once it is gone */
	int gauge;
	char name[128];
	double value;
};

static struct counter counters[MAX_COUNTERS];
static int ncounters;
static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;

struct counter *cmt_counter_create(void *cmt, char *ns, char *subsystem, char *name, char *help, int labels, char **keys);
int cmt_counter_set(struct counter *c, uint64_t time, double value, int labels, char **values);
struct counter *cmt_gauge_create(void *cmt, char *ns, char *subsystem, char *name, char *help, int labels, char **keys);
int cmt_gauge_set(struct counter *c, uint64_t time, double value, int labels, char **values);

/* The host's name of an instance, as Fluent Bit exports it: the alias, or a name that
 * counts the sections. */
const char *flb_input_name(const struct instance *ins);
const char *flb_output_name(const struct instance *ins);

static const char *name_of(const struct instance *ins)
{
	static char names[MAX_INSTANCES][16];
	size_t i = (size_t)(ins - opts.instances);

	for (int p = 0; p < ins->nprops; p++)
		if (strncmp(ins->props[p], "alias=", 6) == 0)
			return ins->props[p] + 6;
	snprintf(names[i], sizeof names[i], "host.%zu", i);
	return names[i];
}

const char *flb_input_name(const struct instance *ins) { return name_of(ins); }
const char *flb_output_name(const struct instance *ins) { return name_of(ins); }

void *metrics_of(void *instance) { return instance; }

struct counter *cmt_counter_create(void *cmt, char *ns, char *subsystem, char *name, char *help, int labels, char **keys)
{
	struct counter *c;

	if (*help == '\0' || labels != 1 || strcmp(keys[0], "name") != 0)
		fail("counter %s lacks a help or its label", name);
	pthread_mutex_lock(&mu);
	if (ncounters == MAX_COUNTERS)
		fail("more than %d counters", MAX_COUNTERS);
	c = &counters[ncounters++];
	c->owner = cmt;
	c->gauge = 0;
	snprintf(c->name, sizeof c->name, "%s_%s_%s", ns, subsystem, name);
	pthread_mutex_unlock(&mu);
	return c;
}

int cmt_counter_set(struct counter *c, uint64_t time, double value, int labels, char **values)
{
	pthread_mutex_lock(&mu);
	if (c->owner == NULL)
		fail("%s counts after the exit of its instance: in Fluent Bit its memory is gone", c->name);
	if (time == 0 || labels != 1 || strcmp(values[0], name_of(c->owner)) != 0 || value < 0 || (value < c->value && !c->gauge))
		fail("%s is set wrongly to %f after %f", c->name, value, c->value);
	c->value = value;
	pthread_mutex_unlock(&mu);
	return 0;
}

struct counter *cmt_gauge_create(void *cmt, char *ns, char *subsystem, char *name, char *help, int labels, char **keys)
{
	struct counter *c = cmt_counter_create(cmt, ns, subsystem, name, help, labels, keys);

	c->gauge = 1;
	return c;
}

int cmt_gauge_set(struct counter *c, uint64_t time, double value, int labels, char **values)
{
	return cmt_counter_set(c, time, value, labels, values);
}

void metrics_end(const struct instance *ins)
{
	pthread_mutex_lock(&mu);
	for (int i = 0; i < ncounters; i++)
		if (counters[i].owner == ins) {
			printf("metric %s %.0f\n", counters[i].name, counters[i].value);
			counters[i].owner = NULL;
		}
	pthread_mutex_unlock(&mu);
}
