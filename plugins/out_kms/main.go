// Command out_kms is a Fluent Bit output that normalizes CloudTrail events of
// AWS KMS and delivers them to Kafka. It is built as a C shared object,
// out_kms.so, and holds only the functions that Fluent Bit looks up by name:
// each guards, finds its instance and calls plugins/internal/output, whose
// package comment has the guarantees.
//
// plugins/README.md lists the properties, from output.ParseConfig. A value that is not
// understood stops Fluent Bit's start, and from 5.1.1 a name that is not known does.
//
// Fluent Bit calls a flush on its engine's only thread, in a coroutine. A flush gives the
// thread back while it waits (yield.c), so that a slow Kafka holds up nothing else and many
// flushes run at a time; workers are not needed. In a host without the functions for it a
// flush blocks its thread, and there workers help. Workers and hot_reload together crash Fluent Bit 5.1.1 (it
// makes their thread pool twice).
// Set retry_limit to no_limits: by default Fluent Bit drops a chunk at the
// second failure, and it tells no plugin what its limit is.
package main

// #cgo LDFLAGS: -ldl
// #include <stddef.h>
// #include <stdint.h>
import "C"

import (
	"runtime/cgo"
	"sync/atomic"
	"unsafe"

	flboutput "github.com/fluent/fluent-bit-go/output"

	"keytrail/plugins/internal/flb"
	"keytrail/plugins/internal/hostconfig"
	"keytrail/plugins/internal/logging"
	"keytrail/plugins/internal/output"
	"keytrail/plugins/internal/property"
	"keytrail/schemas/decoding"
)

const name = "out_kms"

// instance is one output section of Fluent Bit's configuration.
type instance struct {
	out      *output.Output
	log      *logging.Log
	counters *flb.Counters
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
		code := flboutput.FLBPluginRegister(def, name, "AWS KMS use, normalized, to Kafka")
		flb.Describe(def, flb.Options(output.Properties()))
		return code
	}))
}

// keytrailInit makes an instance from its properties. It does not connect.
// FLBPluginInit in start.c calls it:
// int FLBPluginInit(struct flbgo_output_plugin *plugin); 0 ends the start.
//
//export keytrailInit
func keytrailInit(plugin unsafe.Pointer) C.int {
	log := flb.OutputLog(plugin, "["+name+"] ")
	return C.int(flb.Guard(log, "FLBPluginInit", flboutput.FLB_ERROR, func() int {
		flb.FreeMemory()
		properties := property.NewReader(flb.OutputProperty(plugin))
		hostconfig.Hide(log.Secrets(), properties, hostconfig.Output, name)
		hostconfig.Refuse(properties, hostconfig.Output, name, output.Misplaced)
		cfg, err := output.ParseConfig(properties)
		properties.Hide(log.Secrets())
		if err != nil {
			flb.LogError(log, err)
			return flboutput.FLB_ERROR
		}
		out, err := output.New(cfg, flb.OutputName(plugin, name), log)
		if err != nil {
			flb.LogError(log, err)
			return flboutput.FLB_ERROR
		}
		log.Printf(logging.Info, "delivering with %s", properties.Summary())
		flb.SetOutputContext(plugin, &instance{out, log, flb.OutputCounters(plugin, name, counters(out))})
		return flboutput.FLB_OK
	}))
}

// counters are what an instance counts in Fluent Bit's metrics.
func counters(out *output.Output) []flb.Counter {
	return []flb.Counter{
		{Name: "received_total", Help: "Events, and records that hold none.", Read: func() int64 { return out.Stats().Received }},
		{Name: "delivered_total", Help: "Events that Kafka acknowledged.", Read: func() int64 { return out.Stats().Delivered }},
		{Name: "dead_lettered_total", Help: "Dead letters that Kafka acknowledged.", Read: func() int64 { return out.Stats().DeadLettered }},
		{Name: "filtered_total", Help: "Events that Keytrail is not about.", Read: func() int64 { return out.Stats().Filtered }},
		{Name: "filtered_network_activity_total", Help: "Of these, network activity events: a call's second record.", Read: func() int64 { return out.Stats().FilteredBy[decoding.NetworkActivity] }},
		{Name: "filtered_aggregated_total", Help: "Of these, aggregated events.", Read: func() int64 { return out.Stats().FilteredBy[decoding.Aggregated] }},
		{Name: "filtered_insight_total", Help: "Of these, events of CloudTrail Insights.", Read: func() int64 { return out.Stats().FilteredBy[decoding.Insight] }},
		{Name: "failed_total", Help: "Records that Kafka refused; a retry produces them again.", Read: func() int64 { return out.Stats().Failed }},
		{Name: "acknowledged_total", Help: "Records of in_kms that it was told about: Kafka has them, or they were filtered.", Read: func() int64 { return out.Stats().Acknowledged }},
		{Name: "abandoned_chunks_total", Help: "Chunks that Fluent Bit did not hand over again, as after its retry_limit.", Read: func() int64 { return out.Stats().Abandoned }},
	}
}

// ended counts the deliveries that have ended, of all instances.
var ended atomic.Int32

// keytrailEnded returns a number that changes when a delivery ends.
//
//export keytrailEnded
func keytrailEnded() C.int { return C.int(ended.Load()) }

// keytrailBegin begins the delivery of a chunk for FLBPluginFlushCtx, which is in flush.c.
// It returns FLB_OK or FLB_RETRY, or -1 and the handle for keytrailAsk or keytrailWait. data
// is the host's, and stays until the host has the code or FLBPluginExitCtx has returned.
//
//export keytrailBegin
func keytrailBegin(context, data unsafe.Pointer, size C.size_t, tag *C.char, handle *C.uintptr_t) C.int {
	i, ok := flb.Context(context).(*instance)
	if !ok { // after the exit: keep the chunk
		return flboutput.FLB_RETRY
	}
	return C.int(flb.Guard(i.log, "FLBPluginFlushCtx", flboutput.FLB_RETRY, func() int {
		if data == nil || size == 0 {
			return flboutput.FLB_OK
		}
		d := i.out.Begin(unsafe.Slice((*byte)(data), size), C.GoString(tag), func() { ended.Add(1) })
		*handle = C.uintptr_t(cgo.NewHandle(&flush{d, i}))
		return -1
	}))
}

// flush is a delivery that the host waits for.
type flush struct {
	*output.Delivery
	of *instance
}

// keytrailAsk returns the code of a delivery, which frees the handle, or -1 while it is
// under way.
//
//export keytrailAsk
func keytrailAsk(handle C.uintptr_t) C.int {
	f := cgo.Handle(handle).Value().(*flush)
	if f.Ask() == 0 {
		return -1
	}
	return keytrailWait(handle)
}

// keytrailWait is keytrailAsk for a host that cannot do anything else meanwhile.
//
//export keytrailWait
func keytrailWait(handle C.uintptr_t) C.int {
	f := cgo.Handle(handle).Value().(*flush)
	cgo.Handle(handle).Delete()
	return C.int(flb.Guard(f.of.log, "FLBPluginFlushCtx", flboutput.FLB_RETRY, func() int {
		code := f.Wait()
		f.of.counters.Update()
		return int(code)
	}))
}

// FLBPluginExitCtx ends the instance.
// C: int FLBPluginExitCtx(void *context).
//
//export FLBPluginExitCtx
func FLBPluginExitCtx(context unsafe.Pointer) C.int {
	i, ok := flb.ReleaseContext(context).(*instance)
	if !ok {
		return flboutput.FLB_OK
	}
	return C.int(flb.Guard(i.log, "FLBPluginExitCtx", flboutput.FLB_ERROR, func() int {
		i.out.Close()
		i.counters.Close()
		i.log.Printf(logging.Info, "stopped: %v", i.out.Stats())
		return flboutput.FLB_OK
	}))
}

// keytrailUnregister frees what FLBPluginRegister allocated, and what the instances had.
// FLBPluginUnregister in start.c calls it: void FLBPluginUnregister(struct flb_plugin_proxy_def *def).
//
//export keytrailUnregister
func keytrailUnregister(def unsafe.Pointer) {
	flb.Guard(global, "FLBPluginUnregister", 0, func() int {
		flboutput.FLBPluginUnregister(def)
		flb.FreeMemory() // the buffers of the instances are most of both heaps
		return 0
	})
}
