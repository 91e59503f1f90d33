package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/kafka"
	"keytrail/processor/kafka/kafkatest"
	"keytrail/schemas/wire"
)

// catchUp measures how long each sink takes to deliver what an outage has left in Kafka: it
// writes that backlog at once, and starts a process that forwards it.
func catchUp(ctx context.Context, o options, to *receivers, dir string) error {
	root, err := checkout()
	if err != nil {
		return err
	}
	if err := os.Chdir(root); err != nil { // kafkatest looks for scripts/kafka
		return err
	}
	program := filepath.Join(dir, "keytrail")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "keytrail")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return err
	}
	cluster, err := kafkatest.StartCluster(filepath.Join(dir, "kafka"), 1, os.Stderr)
	if err != nil {
		return err
	}
	defer cluster.Close()
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.Brokers()...))
	if err != nil {
		return err
	}
	defer client.Close()
	total := int(o.outage.Seconds()) * o.rate
	if err := backlog(ctx, client, cluster.Brokers(), total); err != nil {
		return err
	}
	fmt.Printf("\nAfter an outage of %v with %d events/s: %d records wait in a real Kafka on the same machine\n", o.outage,
		o.rate, total)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "seconds to catch up\trecords/s\t")
	for i, c := range configurations(to, dir) {
		took, err := drain(ctx, program, dir, i, c, cluster.Brokers(), kadm.NewClient(client), int64(total))
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		fmt.Fprintf(w, "%.1f\t%.0f\t   %s\n", took.Seconds(), float64(total)/took.Seconds(), c.name)
	}
	return w.Flush()
}

// backlog writes records of the corpus into the topic of events.
func backlog(ctx context.Context, client *kgo.Client, brokers []string, total int) error {
	topic := wire.DefaultTopics().Events
	if _, err := kafka.EnsureTopics(ctx, kafka.Config{Brokers: brokers, ClientID: "bench"}, 1,
		[]kafka.Topic{{Name: topic, Partitions: partitions}}); err != nil {
		return err
	}
	records, _, err := makeRecords(min(total, 50_000))
	if err != nil {
		return err
	}
	for i := range total {
		client.Produce(ctx, &kgo.Record{Topic: topic, Value: records[i%len(records)].Value,
			Headers: []kgo.RecordHeader{{Key: wire.HeaderEvent, Value: []byte("aws.kms.api_call")}}}, nil)
	}
	return client.Flush(ctx)
}

// drain runs a process with one sink until its group has committed everything. The time
// counts from the start of the process.
func drain(ctx context.Context, program, dir string, n int, c configuration, brokers []string, admin *kadm.Client,
	total int64) (time.Duration, error) {
	settings := filepath.Join(dir, fmt.Sprintf("keytrail-%d.yaml", n))
	text := fmt.Sprintf("kafka:\n  brokers: [%s]\n  partitions: {events: %d, partials: %d}\nstages: [forward]\n"+
		"sinks:\n  - name: s%d\n    type: %s\n    from: earliest\n    %s\n",
		strings.Join(brokers, ", "), partitions, partitions, n, c.kind, strings.ReplaceAll(c.settings, "\n", "\n    "))
	if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
		return 0, err
	}
	began := time.Now()
	run := exec.CommandContext(ctx, program, "run", "-c", settings)
	run.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log, err := os.Create(settings + ".log")
	if err != nil {
		return 0, err
	}
	defer log.Close()
	run.Stderr = log
	if err := run.Start(); err != nil {
		return 0, err
	}
	ended := make(chan struct{})
	go func() {
		_ = run.Wait() // the log has more than its error
		close(ended)
	}()
	defer func() {
		_ = run.Process.Kill()
		<-ended
	}()
	group := fmt.Sprintf("keytrail-forward-s%d", n)
	for end := false; !end && ctx.Err() == nil && time.Since(began) < 5*time.Minute; {
		select {
		case <-ended:
			end = true
		case <-time.After(100 * time.Millisecond):
		}
		offsets, err := admin.FetchOffsets(ctx, group)
		if err != nil {
			continue // the group is not there yet
		}
		done := int64(0)
		for _, o := range offsets[wire.DefaultTopics().Events] {
			done += max(o.At, 0)
		}
		if done >= total {
			return time.Since(began), nil
		}
	}
	said, _ := os.ReadFile(log.Name())
	return 0, fmt.Errorf("the process has not delivered everything: %s", said[max(0, len(said)-2000):])
}
