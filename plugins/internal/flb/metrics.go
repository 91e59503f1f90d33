package flb

/*
#cgo LDFLAGS: -ldl
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>

// cmetrics, which Fluent Bit's program exports.
typedef void *(*keytrail_counter_create)(void *, char *, char *, char *, char *, int, char **);
typedef int (*keytrail_counter_set)(void *, uint64_t, double, int, char **);
typedef const char *(*keytrail_name)(void *);

struct keytrail_metric_plugin {
	char *name;
	struct {
		void *get_property[2];
		void *(*output_get_cmt_instance)(void *);
		void *(*input_get_cmt_instance)(void *);
	} *api;
	void *instance;
};

static void *keytrail_metrics(void *plugin, int input) {
	struct keytrail_metric_plugin *p = plugin;
	void *(*get)(void *) = input ? p->api->input_get_cmt_instance : p->api->output_get_cmt_instance;
	return get == NULL ? NULL : get(p->instance);
}

// The name by which the host's own metrics and log lines know the instance: its alias,
// or the plugin's name and a number that counts the sections of the configuration.
// NULL where the host does not export the function.
static const char *keytrail_instance_name(void *plugin, int input) {
	struct keytrail_metric_plugin *p = plugin;
	keytrail_name name = (keytrail_name)dlsym(RTLD_DEFAULT, input ? "flb_input_name" : "flb_output_name");
	return name == NULL ? NULL : name(p->instance);
}

// Gauges have functions of the same kind as counters.
static void *keytrail_counter(void *cmt, int gauge, char *plugin, char *name, char *help, char *label) {
	const char *function = gauge ? "cmt_gauge_create" : "cmt_counter_create";
	keytrail_counter_create create = (keytrail_counter_create)dlsym(RTLD_DEFAULT, function);
	return create == NULL ? NULL : create(cmt, "fluentbit", plugin, name, help, 1, &label);
}

static int keytrail_count(void *counter, int gauge, uint64_t time, double value, char *label) {
	keytrail_counter_set set = (keytrail_counter_set)dlsym(RTLD_DEFAULT, gauge ? "cmt_gauge_set" : "cmt_counter_set");
	return set == NULL ? -1 : set(counter, time, value, 1, &label);
}
*/
import "C"

import (
	"sync"
	"time"
	"unsafe"
)

// Counter is one number of a plugin. Its full name is that of the plugin between
// "fluentbit_" and Name: fluentbit_out_kms_delivered_total. It only grows, unless it is a
// Gauge.
type Counter struct {
	Name, Help string
	Read       func() int64
	Gauge      bool
}

func (c *Counter) gauge() C.int {
	if c.Gauge {
		return 1
	}
	return 0
}

// Counters are the counters of one instance in Fluent Bit's own metrics, where they
// stand beside those that the core keeps, under the same label: "name", the alias of the
// instance, or the plugin's name and the number of the section (out_kms.0). It stays the
// same through reloads. A host without metrics has none, and nothing happens.
type Counters struct {
	mu     sync.Mutex // guards native: after Close the host's memory is gone
	list   []Counter
	native []unsafe.Pointer
	label  *C.char
}

// InputCounters makes the counters of an input, OutputCounters those of an output.
// plugin is the argument of FLBPluginInit and name the plugin's.
func InputCounters(plugin unsafe.Pointer, name string, list []Counter) *Counters {
	return counters(plugin, 1, name, list)
}

// OutputCounters is InputCounters for an output.
func OutputCounters(plugin unsafe.Pointer, name string, list []Counter) *Counters {
	return counters(plugin, 0, name, list)
}

func counters(plugin unsafe.Pointer, input C.int, name string, list []Counter) *Counters {
	c := &Counters{list: list}
	context := C.keytrail_metrics(plugin, input)
	if context == nil {
		return c
	}
	c.label = C.CString(instanceName(plugin, input, name))
	pluginName, label := C.CString(name), C.CString("name")
	defer C.free(unsafe.Pointer(pluginName))
	defer C.free(unsafe.Pointer(label))
	for _, one := range list {
		text, help := C.CString(one.Name), C.CString(one.Help)
		c.native = append(c.native, C.keytrail_counter(context, one.gauge(), pluginName, text, help, label))
		C.free(unsafe.Pointer(text))
		C.free(unsafe.Pointer(help))
	}
	c.Update()
	return c
}

// OutputName returns the name by which Fluent Bit knows an output: its alias, or such as
// out_kms.0. plugin is the argument of FLBPluginInit. A host that does not export the names
// gets def.
func OutputName(plugin unsafe.Pointer, def string) string { return instanceName(plugin, 0, def) }

// instanceName returns the host's name of an instance, or that of the plugin where the
// host does not export it.
func instanceName(plugin unsafe.Pointer, input C.int, name string) string {
	if text := C.keytrail_instance_name(plugin, input); text != nil {
		return C.GoString(text)
	}
	return name
}

// Update writes the present numbers. Call it inside calls that the host makes for the
// instance.
func (c *Counters) Update() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := C.uint64_t(time.Now().UnixNano())
	for i, native := range c.native {
		if native != nil {
			C.keytrail_count(native, c.list[i].gauge(), now, C.double(c.list[i].Read()), c.label)
		}
	}
}

// Close writes the numbers for the last time: the host frees its counters with the
// instance.
func (c *Counters) Close() {
	c.Update()
	c.mu.Lock()
	defer c.mu.Unlock()
	C.free(unsafe.Pointer(c.label)) // nil is fine
	c.list, c.native, c.label = nil, nil, nil
}
