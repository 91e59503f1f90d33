// Package flb is the boundary between Fluent Bit's C and the bodies of the
// plugins: it guards every call that Fluent Bit makes, reads properties, prints
// log lines and keeps the instances' contexts. fluent-bit-go does the registration
// and the properties. It has no logger, no metrics and no list of the known
// properties, keeps an output's context forever, and looks for an input's in the
// place of an output's; this package does these.
//
// Limits. The layouts are those of Fluent Bit 3.0 to 5.1 on 64-bit Linux: the
// table of functions has only ever grown at its end. No property can be listed,
// only asked for by name. A panic is caught; Go's fatal errors (a concurrent map
// write, stack or memory exhausted) end the process, as in every Go plugin.
//
// Source: Fluent Bit 5.1, include/fluent-bit/flb_api.h and flb_plugin_proxy.h.
package flb

import (
	"fmt"
	"runtime/debug"
	"strings"

	"keytrail/plugins/internal/logging"
	"keytrail/plugins/internal/property"
)

// Guard runs body and returns its code, or failure when it panics, and emits
// log. Every exported function of a plugin that does more than free memory goes
// through it: a panic that left one would end the Fluent Bit process with all
// its other pipelines. The parameter what names the function in the log line,
// which carries the place of the panic.
func Guard(log *logging.Log, what string, failure int, body func() int) (code int) {
	defer log.Emit()
	defer func() {
		if p := recover(); p != nil {
			log.Printf(logging.Error, "%s panicked, please report it: %v at %s", what, p, place(debug.Stack()))
			code = failure
		}
	}()
	return body()
}

// place picks the frame that panicked out of a stack: the first one behind those
// of the runtime.
func place(stack []byte) string {
	_, after, found := strings.Cut(string(stack), "\npanic(")
	if !found {
		return "an unknown place"
	}
	lines := strings.Split(after, "\n") // panic's arguments, its file, then the frame
	for i := 2; i+1 < len(lines); i += 2 {
		if !strings.HasPrefix(lines[i], "runtime.") {
			return fmt.Sprintf("%s %s", lines[i], strings.TrimSpace(lines[i+1]))
		}
	}
	return "an unknown place"
}

// LogError logs each line of err, which may join several errors, as an error.
func LogError(log *logging.Log, err error) {
	for _, line := range strings.Split(err.Error(), "\n") {
		log.Printf(logging.Error, "%s", line)
	}
}

// Option is a property that a plugin knows.
type Option struct{ Name, Description, Default string }

// Options are properties as Describe takes them.
func Options(specs []property.Spec) []Option {
	list := make([]Option, len(specs))
	for i, s := range specs {
		list[i] = Option{s.Name, s.Description(), s.Default}
	}
	return list
}
