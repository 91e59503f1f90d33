package flb

/*
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

// struct flb_plugin_proxy_def of Fluent Bit 5.1.1; before it there was no config_map.
struct keytrail_def {
	int type;
	int proxy;
	int flags;
	char *name;
	char *description;
	int event_type;
	struct keytrail_config_map *config_map;
};

// struct flb_config_map. Only what a plugin fills in has a name here.
struct keytrail_config_map {
	int type; // 0: text
	char *name;
	char *def_value;
	int flags;
	int set_property;
	size_t offset;
	char *desc;
	void *value[5];
	void *head[2];
};

// The host has cleared the definition, and older hosts' definitions are shorter.
// It has no version, so the allocator is asked for its size: memory that it granted
// may be written to, whether the host reads it or not.
static int keytrail_has_config_map(void *def) {
	return malloc_usable_size(def) >= sizeof(struct keytrail_def);
}

static struct keytrail_config_map *keytrail_new_map(size_t n) {
	return calloc(n + 1, sizeof(struct keytrail_config_map)); // the last one ends the list
}

static void keytrail_set_option(struct keytrail_config_map *map, size_t i, char *name, char *desc, char *def_value) {
	map[i].name = name;
	map[i].def_value = def_value; // for --help only: the core gives it to no plugin
	map[i].desc = desc;
}

static void keytrail_set_map(void *def, struct keytrail_config_map *map) {
	((struct keytrail_def *)def)->config_map = map;
}
*/
import "C"

import (
	"sync"
	"unsafe"
)

// Describe tells a host that has room for it which properties the plugin knows:
// Fluent Bit 5.1.1 and newer then refuse the others at the start and list these for
// --help. def is the argument of FLBPluginRegister, and the list must not be empty.
// The list is made once and kept: the host holds on to it, and registers again for each
// hot reload.
func Describe(def unsafe.Pointer, options []Option) {
	if C.keytrail_has_config_map(def) == 0 {
		return
	}
	described.once.Do(func() { described.list = newMap(options) })
	C.keytrail_set_map(def, described.list)
}

var described struct {
	once sync.Once
	list *C.struct_keytrail_config_map
}

func newMap(options []Option) *C.struct_keytrail_config_map {
	list := C.keytrail_new_map(C.size_t(len(options)))
	if list == nil {
		return nil
	}
	for i, o := range options {
		var def *C.char // none is NULL
		if o.Default != "" {
			def = C.CString(o.Default)
		}
		C.keytrail_set_option(list, C.size_t(i), C.CString(o.Name), C.CString(o.Description), def)
	}
	return list
}
