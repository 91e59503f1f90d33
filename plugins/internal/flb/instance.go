package flb

/*
#include <stddef.h>
#include <stdlib.h>

// The functions that Fluent Bit offers, in the order of struct flb_api. Only
// fluent-bit-go uses any of the first four.
struct keytrail_api {
	void *output_get_property;
	void *input_get_property;
	void *output_get_cmt_instance;
	void *input_get_cmt_instance;
	void (*log_print)(int, const char *, int, const char *, ...);
	int (*input_log_check)(void *, int);
	int (*output_log_check)(void *, int);
};

// The beginning of struct flbgo_input_plugin and of flbgo_output_plugin.
struct keytrail_plugin {
	char *name;
	struct keytrail_api *api;
	void *instance;
	void *context;
};

// The context of an input. An output's has no coll_fd; fluent-bit-go takes both
// for the output's.
struct keytrail_input_context {
	int coll_fd;
	void *remote_context;
	void *proxy;
};

struct keytrail_output_context {
	void *remote_context;
	void *proxy;
};

typedef void (*keytrail_print)(int, const char *, int, const char *, ...);

static keytrail_print keytrail_printer(void *plugin) {
	return ((struct keytrail_plugin *)plugin)->api->log_print;
}

static int keytrail_input_logs(void *plugin, int level) {
	struct keytrail_plugin *p = plugin;
	return p->api->input_log_check == NULL || p->api->input_log_check(p->instance, level);
}

static int keytrail_output_logs(void *plugin, int level) {
	struct keytrail_plugin *p = plugin;
	return p->api->output_log_check == NULL || p->api->output_log_check(p->instance, level);
}

// A printf-like function cannot be called from Go.
static void keytrail_log(keytrail_print print, int level, const char *text) {
	print(level, NULL, 0, "%s", text);
}

static void keytrail_set_input_context(void *plugin, void *token) {
	struct keytrail_input_context *c = ((struct keytrail_plugin *)plugin)->context;
	c->remote_context = token;
}

static void keytrail_set_output_context(void *plugin, void *token) {
	struct keytrail_output_context *c = ((struct keytrail_plugin *)plugin)->context;
	c->remote_context = token;
}
*/
import "C"

import (
	"fmt"
	"os"
	"sync"
	"unsafe"

	"github.com/fluent/fluent-bit-go/input"
	"github.com/fluent/fluent-bit-go/output"

	"keytrail/plugins/internal/logging"
)

// InputProperty returns the lookup of an input's properties. It is valid only during
// FLBPluginInit, like plugin, the argument of that.
func InputProperty(plugin unsafe.Pointer) func(name string) string {
	return func(name string) string { return input.FLBPluginConfigKey(plugin, name) }
}

// OutputProperty returns the lookup of an output's properties; see
// InputProperty.
func OutputProperty(plugin unsafe.Pointer) func(name string) string {
	return func(name string) string { return output.FLBPluginConfigKey(plugin, name) }
}

// InputLog returns a Log that prints through Fluent Bit's logger at the level
// that the input's log_level has now. plugin is the argument of FLBPluginInit;
// the Log may be used for as long as the process lives.
func InputLog(plugin unsafe.Pointer, prefix string) *logging.Log {
	return newLog(plugin, prefix, func(l logging.Level) bool { return C.keytrail_input_logs(plugin, C.int(l)) != 0 })
}

// OutputLog is InputLog for an output.
func OutputLog(plugin unsafe.Pointer, prefix string) *logging.Log {
	return newLog(plugin, prefix, func(l logging.Level) bool { return C.keytrail_output_logs(plugin, C.int(l)) != 0 })
}

func newLog(plugin unsafe.Pointer, prefix string, wanted func(logging.Level) bool) *logging.Log {
	printer := C.keytrail_printer(plugin) // a function of the host: it does not move
	if printer == nil {
		return StderrLog(prefix)
	}
	var enabled [logging.Info + 1]bool // asked now: the instance may be gone when a line comes
	for l := range enabled {
		enabled[l] = wanted(logging.Level(l))
	}
	return logging.New(prefix,
		func(l logging.Level) bool { return int(l) < len(enabled) && enabled[l] },
		func(l logging.Level, text string) {
			c := C.CString(text)
			defer C.free(unsafe.Pointer(c))
			C.keytrail_log(printer, C.int(l), c)
		})
}

// StderrLog returns a Log for calls before the first instance, when Fluent Bit's logger
// is still unknown.
func StderrLog(prefix string) *logging.Log {
	return logging.New(prefix, nil, func(_ logging.Level, text string) { fmt.Fprintln(os.Stderr, text) })
}

// contexts maps the tokens that Fluent Bit keeps as contexts to their values. A
// token is one byte of C's memory, so that its address is unique and Go's
// collector has no part in it.
var contexts struct {
	mu      sync.Mutex // guards byToken
	byToken map[unsafe.Pointer]any
}

// SetInputContext makes v the context of the input that is being initialized:
// Fluent Bit passes it to FLBPluginInputCallbackCtx, where Context finds v
// again. plugin is the argument of FLBPluginInit. The returned token is for
// ReleaseContext.
func SetInputContext(plugin unsafe.Pointer, v any) (token unsafe.Pointer) {
	token = newContext(v)
	C.keytrail_set_input_context(plugin, token)
	return token
}

// SetOutputContext is SetInputContext for an output: Fluent Bit passes the token to
// FLBPluginFlushCtx and FLBPluginExitCtx. fluent-bit-go would keep v forever.
func SetOutputContext(plugin unsafe.Pointer, v any) (token unsafe.Pointer) {
	token = newContext(v)
	C.keytrail_set_output_context(plugin, token)
	return token
}

func newContext(v any) (token unsafe.Pointer) {
	token = C.malloc(1)
	contexts.mu.Lock()
	defer contexts.mu.Unlock()
	if contexts.byToken == nil {
		contexts.byToken = map[unsafe.Pointer]any{}
	}
	contexts.byToken[token] = v
	return token
}

// Context returns the value of a context, or nil for one that was released
// or never set.
func Context(token unsafe.Pointer) any {
	contexts.mu.Lock()
	defer contexts.mu.Unlock()
	return contexts.byToken[token]
}

// ReleaseContext forgets the value and frees the token. It returns the value, nil for a
// second call.
func ReleaseContext(token unsafe.Pointer) any {
	contexts.mu.Lock()
	defer contexts.mu.Unlock()
	v, ok := contexts.byToken[token]
	if ok {
		delete(contexts.byToken, token)
		C.free(token)
	}
	return v
}
