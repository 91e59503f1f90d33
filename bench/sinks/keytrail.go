package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"go.yaml.in/yaml/v3"

	"keytrail/processor/sink"
	"keytrail/processor/sink/all"
	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/aws/normalize"
	"keytrail/schemas/corpus"
	"keytrail/schemas/decoding"
	"keytrail/schemas/otellog"
)

// observed is the records' observed time: 2026-03-02T10:00:00Z.
const observed = 1772445600000000000

// makeRecords makes the stored records of the first n events of the corpus, outside Go's
// heap: beside a large live heap the garbage collector would hardly run.
func makeRecords(n int) (records []sink.Record, size int, err error) {
	dec := cloudtrail.NewDecoder(decoding.Limits{})
	norm := normalize.New(normalize.Options{Direct: true})
	var ev cloudtrail.Event
	var rec otellog.Record
	var text []byte
	var ends []int
	for raw := range corpus.Records(n) {
		if err := dec.Decode(raw, &ev); err != nil {
			return nil, 0, err
		}
		if ok, err := norm.Record(&ev, observed, &rec); err != nil || !ok {
			return nil, 0, errors.Join(err, fmt.Errorf("%s is filtered", ev.Name))
		}
		text = otellog.AppendRequest(text, &rec)
		ends = append(ends, len(text))
	}
	mem, err := syscall.Mmap(-1, 0, len(text), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return nil, 0, err
	}
	copy(mem, text)
	from := 0
	for i, end := range ends {
		records = append(records, sink.Record{Value: mem[from:end:end], EventName: "aws.kms.api_call", Topic: "kms.events",
			Partition: int32(i / block % partitions), Offset: int64(i)})
		from = end
	}
	return records, len(text), nil
}

// partitions are those of the topic, and block is how many records of one come at a time: as
// many as a batch has.
const partitions, block, inFlight = 4, 1000, 4

// configuration is a sink's, by its type and settings.
type configuration struct{ name, kind, settings string }

func configurations(to *receivers, dir string) []configuration {
	return []configuration{
		{"keytrail otlp, HTTP, gzip", "otlp", "endpoint: http://" + to.http},
		{"keytrail otlp, HTTP, uncompressed", "otlp", "compression: none\nendpoint: http://" + to.http},
		{"keytrail otlp, gRPC, gzip", "otlp", "protocol: grpc\nendpoint: http://" + to.http},
		{"keytrail splunk_hec, gzip, without acknowledgements", "splunk_hec",
			"token: t\nack: \"off\"\nendpoint: http://" + to.http},
		{"keytrail splunk_hec, gzip, with acknowledgements", "splunk_hec", "token: t\nendpoint: http://" + to.http},
		{"keytrail opensearch, gzip", "opensearch", "endpoint: http://" + to.http},
		{"keytrail syslog, TCP, body json", "syslog", "endpoint: tcp://" + to.syslog},
		{"keytrail syslog, TCP, body cef", "syslog", "body: cef\nendpoint: tcp://" + to.syslog},
		{"keytrail webhook, framing array", "webhook", "framing: array\nurl: http://" + to.http + "/hook"},
		{"keytrail webhook, framing single", "webhook", "url: http://" + to.http + "/hook"},
		{"keytrail kafka, zstd, in transactions", "kafka", "brokers: [" + to.kafka + "]"},
		{"keytrail sqs", "sqs", "region: eu-central-1\nendpoint: http://" + to.http +
			"\nqueue_url: http://" + to.http + "/111122223333/queue"},
		{"keytrail sns", "sns", "topic_arn: arn:aws:sns:eu-central-1:111122223333:topic\nendpoint: http://" + to.http},
		{"keytrail s3, gzip", "s3", "region: eu-central-1\nbucket: trail\nbatch: {linger: 200ms}\nendpoint: http://" + to.http},
		{"keytrail file, with fsync", "file", "path: " + filepath.Join(dir, "out.ndjson")},
	}
}

// ours returns a row for each of our sinks.
func ours(to *receivers, records []sink.Record, dir string) (rows []*row, err error) {
	for _, c := range configurations(to, dir) {
		at := slices.IndexFunc(all.Kinds, func(k all.Kind) bool { return string(k.Type) == c.kind })
		if at < 0 {
			return nil, fmt.Errorf("%s: unknown sink type %q", c.name, c.kind)
		}
		config, flying := all.Kinds[at].Default(), min(inFlight, all.Kinds[at].InFlight)
		if err := yaml.Unmarshal([]byte(c.settings), config); err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		rows = append(rows, &row{name: c.name, run: func(ctx context.Context) (cost, error) {
			return deliver(ctx, config, flying, records)
		}})
	}
	return rows, nil
}

// deliver brings all records through a chain to a sink, as stage forward does.
func deliver(ctx context.Context, config sink.Config, flying int, records []sink.Record) (c cost, err error) {
	// A new group: with the last one's, a sink that stores positions knows the records.
	to, err := config.Open(sink.Identity{Name: "bench", Group: "bench-" + rand.Text()})
	if err != nil {
		return c, err
	}
	o := sink.Options{Name: "bench", Sink: to, Batch: sink.DefaultBatch(), Retry: sink.DefaultRetry(), InFlight: flying,
		Log:        slog.New(slog.NewTextHandler(os.Stderr, nil)),
		DeadLetter: func(_ context.Context, _ sink.Record, _ sink.Reason, why error) error { return why }}
	if own, ok := config.(sink.Batcher); ok { // its batches are objects; the last ones do not linger
		o.Batch = own.DefaultBatch()
		o.Batch.Linger = sink.DefaultBatch().Linger
	}
	if _, ok := to.(sink.Planned); ok {
		o.Plan = func(context.Context, sink.Plan) error { return nil }
	}
	chain, err := sink.NewChain(o)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	began, busy := time.Now(), cpuTime()
	go func() { ended <- chain.Run(ctx, 0) }()
	wait := func(until func() bool) error {
		for {
			changed := chain.Changed()
			if until() {
				return nil
			}
			select {
			case <-changed:
			case err := <-ended:
				return errors.Join(err, errors.New("the chain has ended"))
			}
		}
	}
	ends := map[int32]int64{}
	for from := 0; from < len(records); from += block {
		if err := wait(func() bool { return !chain.Full() }); err != nil {
			return c, err
		}
		part := records[from:min(from+block, len(records))]
		p := part[0].Partition
		ends[p] = part[len(part)-1].Offset + 1
		chain.Put(part[0].Topic, p, part, ends[p])
	}
	err = wait(func() bool {
		for p, at := range chain.Positions()["kms.events"] {
			if at < ends[p] {
				return false
			}
		}
		return len(chain.Positions()["kms.events"]) == len(ends)
	})
	return cost{cpu: cpuTime() - busy, wall: time.Since(began)}, err
}

// cpuTime returns the CPU time of all threads of this process.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // it fails on a wrong argument only
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
