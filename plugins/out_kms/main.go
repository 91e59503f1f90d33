// Command out_kms is a Fluent Bit output that normalizes CloudTrail events of
// AWS KMS and delivers them to Kafka. It is built as a C shared object,
// out_kms.so, and holds the functions that Fluent Bit looks up by name and
// nothing else: each guards, finds its instance and calls
// plugins/internal/output, whose package comment says what is guaranteed.
//
// plugins/README.md lists the properties, from output.ParseConfig. A value that is not
// understood stops Fluent Bit's start, and from 5.1.1 a name that is not known does.
//
// Fluent Bit calls a flush on its engine's only thread, where a slow Kafka
// stops everything else, unless the output has workers: set workers to 1 or
// more. Flushes of one instance may then run at the same time. Workers and
// hot_reload together crash Fluent Bit 5.1.1 (it makes their thread pool twice).
// Set retry_limit to no_limits: by default Fluent Bit drops a chunk at the
// second failure, and it tells no plugin what its limit is.
package main

// #include <stddef.h>
import "C"

import (
	"runtime/debug"
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

// instance is one output section of Fluent Bit's configuration. fluent-bit-go
// keeps contexts for ever, so that of an instance which has ended, as at each reload,
// holds no more than a nil pointer.
type instance struct{ live atomic.Pointer[live] }

// live is what an instance has until its exit.
type live struct {
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

// FLBPluginInit makes an instance from its properties. It does not connect.
// C: int FLBPluginInit(struct flbgo_output_plugin *plugin); 0 ends the start.
//
//export FLBPluginInit
func FLBPluginInit(plugin unsafe.Pointer) C.int {
	log := flb.OutputLog(plugin, "["+name+"] ")
	return C.int(flb.Guard(log, "FLBPluginInit", flboutput.FLB_ERROR, func() int {
		if err := flb.CheckProcess(); err != nil {
			flb.LogError(log, err)
			return flboutput.FLB_ERROR
		}
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
		i := &instance{}
		i.live.Store(&live{out, log, flb.OutputCounters(plugin, name, counters(out))})
		flboutput.FLBPluginSetContext(plugin, i)
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

// FLBPluginFlushCtx delivers one chunk and returns FLB_OK or FLB_RETRY.
// C: int FLBPluginFlushCtx(void *context, const void *data, size_t size, char *tag).
// data and tag are the host's and valid during the call.
//
//export FLBPluginFlushCtx
func FLBPluginFlushCtx(context, data unsafe.Pointer, size C.size_t, tag *C.char) C.int {
	i, ok := flboutput.FLBPluginGetContext(context).(*instance)
	if !ok { // never initialized: keep the chunk
		return flboutput.FLB_RETRY
	}
	l := i.live.Load()
	if l == nil { // after the exit
		return flboutput.FLB_RETRY
	}
	return C.int(flb.Guard(l.log, "FLBPluginFlushCtx", flboutput.FLB_RETRY, func() int {
		if data == nil || size == 0 {
			return flboutput.FLB_OK
		}
		defer l.counters.Update()
		return int(l.out.Flush(unsafe.Slice((*byte)(data), size), C.GoString(tag)))
	}))
}

// FLBPluginExitCtx waits for what is in flight and ends the instance.
// C: int FLBPluginExitCtx(void *context).
//
//export FLBPluginExitCtx
func FLBPluginExitCtx(context unsafe.Pointer) C.int {
	i, ok := flboutput.FLBPluginGetContext(context).(*instance)
	if !ok {
		return flboutput.FLB_OK
	}
	l := i.live.Swap(nil)
	if l == nil {
		return flboutput.FLB_OK
	}
	defer debug.FreeOSMemory() // the buffers of an instance are most of the heap
	return C.int(flb.Guard(l.log, "FLBPluginExitCtx", flboutput.FLB_ERROR, func() int {
		l.out.Close()
		l.counters.Close()
		l.log.Printf(logging.Info, "stopped: %v", l.out.Stats())
		return flboutput.FLB_OK
	}))
}

// FLBPluginUnregister frees what FLBPluginRegister allocated.
// C: void FLBPluginUnregister(struct flb_plugin_proxy_def *def).
//
//export FLBPluginUnregister
func FLBPluginUnregister(def unsafe.Pointer) {
	flb.Guard(global, "FLBPluginUnregister", 0, func() int {
		flboutput.FLBPluginUnregister(def)
		return 0
	})
}
