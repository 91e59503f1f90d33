// What a plugin does in a process that was forked after the library was loaded, as Fluent
// Bit does for "daemon on". A fork takes the calling thread with it and leaves behind those
// on which Go runs, some of them with locks of Go's runtime. Any call of Go may wait for
// such a lock for ever, so this is C. Include it in one file of a plugin.

#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>

static pid_t loaded_by;

__attribute__((constructor)) static void loaded(void) { loaded_by = getpid(); }

// forked reports whether this is not the process that loaded the library.
static int forked(void) { return getpid() != loaded_by; }

// refuse_forked logs that the plugin cannot work here, and returns FLB_ERROR. A process in
// the background has no standard error any more, so Fluent Bit's own log is used.
static int refuse_forked(const char *name) {
	static const char *why =
		"the process went into the background after it had loaded this plugin, which cannot work there, as no "
		"plugin in Go can; leave out daemon, and have systemd or the shell put Fluent Bit into the background";
	enum { error = 1 }; // FLB_LOG_ERROR
	void (*print)(int type, const char *file, int line, const char *format, ...);

	*(void **)&print = dlsym(RTLD_DEFAULT, "flb_log_print");
	if (print != NULL)
		print(error, NULL, 0, "[%s] %s", name, why);
	else
		fprintf(stderr, "[%s] [error] %s\n", name, why);
	return 0;
}
