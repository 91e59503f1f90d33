package flb

/*
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>

typedef int (*keytrail_append)(void *, const char *, size_t, const void *, size_t);

static void *keytrail_appender(void) { return dlsym(RTLD_DEFAULT, "flb_input_log_append"); }

static void *keytrail_instance(void *plugin) { return ((void **)plugin)[2]; } // after name and api

static int keytrail_append_log(void *append, void *instance, const void *data, size_t size) {
	return ((keytrail_append)append)(instance, NULL, 0, data, size);
}
*/
import "C"

import "unsafe"

// Appender gives records to an input of the host several times in one call of the host. It
// uses the function with which the host takes the records that such a call returns:
// flb_input_log_append of Fluent Bit 2.0 to 5.1.
type Appender struct{ function, instance unsafe.Pointer }

// NewAppender returns the Appender of an input. plugin is the argument of FLBPluginInit.
func NewAppender(plugin unsafe.Pointer) Appender {
	return Appender{C.keytrail_appender(), C.keytrail_instance(plugin)}
}

// Takes reports whether the host exports the function.
func (a Appender) Takes() bool { return a.function != nil }

// Append gives size bytes of msgpack to the host, which copies them. Call it only inside a
// call that the host makes to collect records of this instance, and when Takes does. It
// reports whether the host has taken them. If not, the host has none of them and has
// logged why: its ring buffer was full for a second, it has no memory, a processor failed.
func (a Appender) Append(data unsafe.Pointer, size int) bool {
	return C.keytrail_append_log(a.function, a.instance, data, C.size_t(size)) >= 0
}
