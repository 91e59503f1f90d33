// What a plugin does in a process that was forked after the library was loaded, as Fluent
// Bit does for "daemon on". A fork takes the calling thread with it and leaves behind those
// on which Go runs, some of them with locks of Go's runtime. Any call of Go may wait for
// such a lock for ever, so this is C. Include it in one file of a plugin.

#include <stdio.h>
#include <unistd.h>

static pid_t loaded_by;

__attribute__((constructor)) static void loaded(void) { loaded_by = getpid(); }

// forked reports whether this is not the process that loaded the library.
static int forked(void) { return getpid() != loaded_by; }

// refuse_forked says on standard error that the plugin cannot work here, and returns
// FLB_ERROR.
static int refuse_forked(const char *name) {
	fprintf(stderr,
		"[error] [%s] the process went into the background after it had loaded this plugin, which cannot work "
		"there, as no plugin in Go can; leave out daemon, and have systemd or the shell put Fluent Bit into "
		"the background\n",
		name);
	return 0;
}
