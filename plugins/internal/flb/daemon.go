package flb

import (
	"errors"
	"os"
)

// loadedBy is the process that loaded the library.
var loadedBy = os.Getpid()

// CheckProcess returns an error in a process that was forked after the library was
// loaded, as Fluent Bit does for "daemon on": a fork takes the calling thread with it and
// leaves behind those on which Go runs goroutines, so that the plugin would start, do
// nothing and say nothing. Call it in FLBPluginInit before anything that starts a
// goroutine.
func CheckProcess() error {
	if os.Getpid() == loadedBy {
		return nil
	}
	return errors.New("the process went into the background after it had loaded this plugin, which cannot work there, as no plugin in Go can; " +
		"leave out daemon, and have systemd or the shell put Fluent Bit into the background")
}
