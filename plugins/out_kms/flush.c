#include "_cgo_export.h"
#include "yield.h"

// FLBPluginFlushCtx delivers one chunk and returns FLB_OK or FLB_RETRY. data and tag are the
// host's and valid during the call. It is in C because the host's event loop goes on while
// the flush waits for Kafka.
int FLBPluginFlushCtx(void *context, void *data, size_t size, char *tag) {
	uintptr_t handle = 0;
	int code = keytrailBegin(context, data, size, tag, &handle);

	return code > 0 ? code : keytrail_yield(handle);
}
