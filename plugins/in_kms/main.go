// Command in_kms is a Fluent Bit input that reads CloudTrail's events from files, S3,
// SQS or LookupEvents. It is built as a C shared object, in_kms.so, and holds only the
// functions that Fluent Bit looks up by name: each guards, finds its instance and calls
// plugins/internal/input, whose package comment has the guarantees.
//
// plugins/README.md lists its properties, from input.ParseConfig. A value that is not
// understood stops Fluent Bit's start, and so does a property of another source; from
// 5.1.1 a name that is not known does too.
//
// Fluent Bit calls each instance once a second, on a separate thread. Its pause, resume
// and exit calls name no instance, so they apply to all instances of the process. Cores
// before 4.1.1 do not name it in the callback either: use one instance with them, because
// any call returns the records of all instances.
package main

// #include <stdlib.h>
import "C"

import (
	"sync"
	"unsafe"

	flbinput "github.com/fluent/fluent-bit-go/input"

	"keytrail/plugins/internal/flb"
	"keytrail/plugins/internal/hostconfig"
	"keytrail/plugins/internal/input"
	"keytrail/plugins/internal/logging"
	"keytrail/plugins/internal/property"
	"keytrail/schemas/decoding"
)

const name = "in_kms"

// instance is one input section of Fluent Bit's configuration.
type instance struct {
	in       *input.Input
	log      *logging.Log
	counters *flb.Counters
	token    unsafe.Pointer
	host     flb.Appender
}

// instances are those that were initialized and not yet stopped.
var instances struct {
	mu   sync.Mutex // guards list
	list []*instance
}

// global logs what belongs to no instance.
var global = flb.StderrLog("[" + name + "] ")

func main() {} // never called; -buildmode=c-shared wants a main package

// FLBPluginRegister tells Fluent Bit the plugin's name.
// C: int FLBPluginRegister(struct flb_plugin_proxy_def *def); -1 ends the start.
//
//export FLBPluginRegister
func FLBPluginRegister(def unsafe.Pointer) C.int {
	return C.int(flb.Guard(global, "FLBPluginRegister", -1, func() int {
		code := flbinput.FLBPluginRegister(def, name, "CloudTrail events of AWS KMS use, from files, S3, SQS or LookupEvents")
		flb.Describe(def, flb.Options(property.Specs(func(r *property.Reader) { _, _ = input.ParseConfig(r) })))
		return code
	}))
}

// keytrailInit makes an instance from its properties and starts reading.
// FLBPluginInit in start.c calls it:
// int FLBPluginInit(struct flbgo_input_plugin *plugin); 0 ends the start.
//
//export keytrailInit
func keytrailInit(plugin unsafe.Pointer) C.int {
	log := flb.InputLog(plugin, "["+name+"] ")
	return C.int(flb.Guard(log, "FLBPluginInit", flbinput.FLB_ERROR, func() int {
		flb.FreeMemory()
		properties := property.NewReader(flb.InputProperty(plugin))
		hostconfig.Hide(log.Secrets(), properties, hostconfig.Input, name)
		hostconfig.Refuse(properties, hostconfig.Input, name, input.Misplaced)
		cfg, err := input.ParseConfig(properties)
		properties.Hide(log.Secrets())
		if err != nil {
			flb.LogError(log, err)
			return flbinput.FLB_ERROR
		}
		in, err := input.New(cfg, log)
		if err != nil {
			flb.LogError(log, err)
			return flbinput.FLB_ERROR
		}
		log.Printf(logging.Info, "reading with %s", properties.Summary())
		i := &instance{in: in, log: log, host: flb.NewAppender(plugin)}
		i.counters = flb.InputCounters(plugin, name, counters(in))
		i.token = flb.SetInputContext(plugin, i)
		instances.mu.Lock()
		instances.list = append(instances.list, i)
		instances.mu.Unlock()
		in.Start()
		return flbinput.FLB_OK
	}))
}

// counters are what an instance counts in Fluent Bit's metrics.
func counters(in *input.Input) []flb.Counter {
	return []flb.Counter{
		{Name: "objects_total", Help: "Objects read to their end.", Read: func() int64 { return in.Stats().Objects }},
		{Name: "events_total", Help: "Events decoded.", Read: func() int64 { return in.Stats().Events }},
		{Name: "filtered_total", Help: "Events that Keytrail is not about, not passed on.", Read: func() int64 { return in.Stats().Filtered }},
		{Name: "filtered_network_activity_total", Help: "Of these, network activity events: a call's second record.", Read: func() int64 { return in.Stats().FilteredBy[decoding.NetworkActivity] }},
		{Name: "filtered_aggregated_total", Help: "Of these, aggregated events.", Read: func() int64 { return in.Stats().FilteredBy[decoding.Aggregated] }},
		{Name: "filtered_insight_total", Help: "Of these, events of CloudTrail Insights.", Read: func() int64 { return in.Stats().FilteredBy[decoding.Insight] }},
		{Name: "handed_over_total", Help: "Events that Fluent Bit has taken.", Read: func() int64 { return in.Stats().HandedOver }},
		{Name: "bad_records_total", Help: "Records that were not events.", Read: func() int64 { return in.Stats().BadRecords }},
		{Name: "retried_objects_total", Help: "Objects that could not be read to their end, and are tried again.", Read: func() int64 { return in.Stats().Retried }},
		{Name: "acknowledged_total", Help: "Events that out_kms has acknowledged.", Read: func() int64 { return in.Stats().Acknowledged }},
		{Name: "handed_over_again_total", Help: "Events that were handed over again, because they were not acknowledged.", Read: func() int64 { return in.Stats().Again }},
		{Name: "unacknowledged_done_total", Help: "Events taken for done without an acknowledgement, because unacknowledged is done.", Read: func() int64 { return in.Stats().Accepted }},
		{Name: "unacknowledged_bytes", Help: "Bytes that are handed over and not acknowledged.", Read: func() int64 { return in.Stats().Waiting }, Gauge: true},
		{Name: "parked_objects", Help: "Objects with events that are not acknowledged and are, or will be, handed over again.", Read: func() int64 { return in.Stats().Parked }, Gauge: true},
		{Name: "unreadable_objects", Help: "Objects that could not be read and are tried again.", Read: func() int64 { return int64(in.Waiting().Size) }, Gauge: true},
		{Name: "unreadable_oldest_seconds", Help: "How long the oldest of them waits.", Read: func() int64 { return int64(in.Waiting().Oldest.Seconds()) }, Gauge: true},
		{Name: "skipped_keys_not_cloudtrail_total", Help: "Keys without CloudTrail's form, passed over.", Read: func() int64 { return in.Skipped("not_cloudtrail") }},
		{Name: "skipped_keys_misplaced_total", Help: "Keys whose name and folders disagree, passed over.", Read: func() int64 { return in.Skipped("misplaced") }},
		{Name: "skipped_keys_future_total", Help: "Keys with a time in the future, passed over until then.", Read: func() int64 { return in.Skipped("future") }},
		{Name: "skipped_keys_folder_total", Help: "Keys of folders that a console made, named by a queue.", Read: func() int64 { return in.Skipped("folder") }},
		{Name: "given_up_objects_total", Help: "Objects that could not be read, and are in the dead-letter file.", Read: func() int64 { return in.Stats().GivenUp }},
	}
}

// FLBPluginInputCallbackCtx hands over the waiting records. Where the host exports the
// function for it, it does so during the call, so that the engine begins while more is read.
// C: int FLBPluginInputCallbackCtx(void *context, void **data, size_t *size).
// data is the host's until it gives it to the cleanup callback.
//
//export FLBPluginInputCallbackCtx
func FLBPluginInputCallbackCtx(context unsafe.Pointer, data *unsafe.Pointer, size *C.size_t) C.int {
	*data, *size = nil, 0
	i, ok := flb.Context(context).(*instance)
	if !ok { // already stopped
		return flbinput.FLB_OK
	}
	return C.int(flb.Guard(i.log, "FLBPluginInputCallbackCtx", flbinput.FLB_ERROR, func() int {
		if i.host.Takes() {
			var piece unsafe.Pointer
			defer func() { C.free(piece) }()
			i.in.Stream(func(n int) []byte {
				C.free(piece)
				return allocate(n, &piece)
			}, func(size int) bool { return i.host.Append(piece, size) })
		} else {
			*size = C.size_t(i.in.Drain(func(n int) []byte { return allocate(n, data) }))
		}
		i.counters.Update()
		return flbinput.FLB_OK
	}))
}

// FLBPluginInputCallback is FLBPluginInputCallbackCtx for cores that do not
// know contexts: it returns the waiting records of all instances.
// C: int FLBPluginInputCallback(void **data, size_t *size).
//
//export FLBPluginInputCallback
func FLBPluginInputCallback(data *unsafe.Pointer, size *C.size_t) C.int {
	*data, *size = nil, 0
	return C.int(flb.Guard(global, "FLBPluginInputCallback", flbinput.FLB_ERROR, func() int {
		var all []byte
		each(func(i *instance) {
			before := len(all)
			n := i.in.Drain(func(n int) []byte {
				all = append(all, make([]byte, n)...)
				return all[before:]
			})
			all = all[:before+n]
			i.counters.Update()
			i.log.Emit()
		})
		if len(all) > 0 {
			*size = C.size_t(copy(allocate(len(all), data), all))
		}
		return flbinput.FLB_OK
	}))
}

// allocate returns n bytes of C's memory and makes data point to them.
func allocate(n int, data *unsafe.Pointer) []byte {
	*data = C.malloc(C.size_t(n)) // Go ends the process when there is none
	return unsafe.Slice((*byte)(*data), n)
}

// FLBPluginInputCleanupCallbackCtx frees what a callback returned.
// C: int FLBPluginInputCleanupCallbackCtx(void *context, void *data).
//
//export FLBPluginInputCleanupCallbackCtx
func FLBPluginInputCleanupCallbackCtx(_, data unsafe.Pointer) C.int {
	C.free(data)
	return flbinput.FLB_OK
}

// FLBPluginInputCleanupCallback is the same for cores without contexts.
// C: int FLBPluginInputCleanupCallback(void *data).
//
//export FLBPluginInputCleanupCallback
func FLBPluginInputCleanupCallback(data unsafe.Pointer) C.int {
	C.free(data)
	return flbinput.FLB_OK
}

// FLBPluginInputPause stops handing over, in all instances. Fluent Bit calls it
// when its buffers are full, and first thing when it stops.
// C: void FLBPluginInputPause(void).
//
//export FLBPluginInputPause
func FLBPluginInputPause() {
	all("FLBPluginInputPause", func(i *instance) { i.in.Pause() })
}

// FLBPluginInputResume ends FLBPluginInputPause.
// C: void FLBPluginInputResume(void).
//
//export FLBPluginInputResume
func FLBPluginInputResume() {
	all("FLBPluginInputResume", func(i *instance) { i.in.Resume() })
}

// FLBPluginInputPreExit stops handing over for good: what Fluent Bit is given
// from now on is lost.
// C: void FLBPluginInputPreExit(int hot_reload).
//
//export FLBPluginInputPreExit
func FLBPluginInputPreExit(C.int) {
	all("FLBPluginInputPreExit", func(i *instance) { i.in.Closing() })
}

// FLBPluginExit ends all instances. Fluent Bit calls it once for each of them
// and does not say for which; when it exits one it exits all.
// C: int FLBPluginExit(void).
//
//export FLBPluginExit
func FLBPluginExit() C.int {
	instances.mu.Lock()
	list := instances.list
	instances.list = nil
	instances.mu.Unlock()
	code := C.int(flbinput.FLB_OK)
	for _, i := range list {
		c := flb.Guard(i.log, "FLBPluginExit", flbinput.FLB_ERROR, func() int {
			flb.ReleaseContext(i.token)
			i.counters.Close()
			if err := i.in.Stop(); err != nil {
				flb.LogError(i.log, err)
			}
			i.log.Printf(logging.Info, "stopped: %v", i.in.Stats())
			return flbinput.FLB_OK
		})
		if c != flbinput.FLB_OK {
			code = C.int(c)
		}
	}
	return code
}

// keytrailUnregister frees what FLBPluginRegister allocated, and what the instances had.
// FLBPluginUnregister in start.c calls it: void FLBPluginUnregister(struct flb_plugin_proxy_def *def).
//
//export keytrailUnregister
func keytrailUnregister(def unsafe.Pointer) {
	flb.Guard(global, "FLBPluginUnregister", 0, func() int {
		flbinput.FLBPluginUnregister(def)
		flb.FreeMemory() // the buffers of the instances are most of both heaps
		return 0
	})
}

// each calls f for the instances that run.
func each(f func(*instance)) {
	instances.mu.Lock()
	defer instances.mu.Unlock()
	for _, i := range instances.list {
		f(i)
	}
}

// all guards a call that Fluent Bit makes for every instance at once.
func all(what string, f func(*instance)) {
	flb.Guard(global, what, 0, func() int {
		each(func(i *instance) {
			f(i)
			i.log.Emit()
		})
		return 0
	})
}
