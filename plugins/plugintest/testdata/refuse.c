#include <stdio.h>
#include <stdlib.h>

/* What Fluent Bit's function does with a ring buffer that is often full: it refuses two
 * pieces of three. It is preloaded, so that a plugin finds it. */
int flb_input_log_append(void *ins, const char *tag, size_t tag_len, const void *buf, size_t size);

int flb_input_log_append(void *ins, const char *tag, size_t tag_len, const void *buf, size_t size)
{
	static int calls;
	FILE *out;

	if (ins == NULL || tag != NULL || tag_len != 0 || size == 0)
		abort();
	if (++calls % 3 != 0)
		return -1;
	out = fopen(getenv("KEYTRAIL_APPENDED"), "ab");
	if (out == NULL || fwrite(buf, 1, size, out) != size || fclose(out) != 0)
		abort();
	return 0;
}
