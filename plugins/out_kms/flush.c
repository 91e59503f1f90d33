#include "_cgo_export.h"
#include "yield.h"

// FLBPluginFlushCtx delivers one chunk and returns FLB_OK or FLB_RETRY. data and tag are the
// host's and valid during the call. It is in C because the host's event loop goes on while
// Kafka is waited for.
int FLBPluginFlushCtx(void *context, void *data, size_t size, char *tag) {
	struct keytrail_pauses pauses;
	uintptr_t handle = 0;
	int code = keytrailBegin(context, data, size, tag, &handle);

	if (code >= 0)
		return code;
	if (!keytrail_pauses_begin(&pauses, -code)) // the milliseconds between two questions
		return keytrailWait(handle);
	do {
		keytrail_pause(&pauses);
		code = keytrailAsk(handle);
	} while (code < 0);
	keytrail_pauses_end(&pauses);
	return code;
}
