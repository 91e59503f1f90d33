// FLBPluginInit and FLBPluginUnregister are in C: see forked.h.

#define _GNU_SOURCE
#include "_cgo_export.h"
#include "../internal/flb/forked.h"

// FLBPluginInit makes an instance from its properties; see keytrailInit. 0 ends the start.
int FLBPluginInit(void *plugin) {
	return forked() ? refuse_forked("out_kms") : keytrailInit(plugin);
}

// FLBPluginUnregister frees what the plugin has; see keytrailUnregister.
void FLBPluginUnregister(void *def) {
	if (!forked())
		keytrailUnregister(def);
}
