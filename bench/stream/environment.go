package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/kafka"
	"keytrail/processor/kafka/kafkatest"
	"keytrail/schemas/wire"
)

// The partitions of the topics.
const (
	eventPartitions   = 6
	partialPartitions = 4
)

// environment is shared by all parts: the broker and the built programs.
type environment struct {
	dir      string
	root     string // of keytrail's checkout
	keytrail string // the binary
	cluster  *kafkatest.Cluster
	broker   int // its process
	client   *kgo.Client
	adm      *kadm.Client
	runs     int
	codec    kgo.CompressionCodec // of the events
}

// setUp builds keytrail and starts the broker. It changes the working directory to
// the root of keytrail's checkout, where kafkatest looks for scripts/kafka.
func setUp(ctx context.Context, o options, dir string) (*environment, error) {
	root, err := checkout()
	if err != nil {
		return nil, err
	}
	e := &environment{dir: dir, root: root, keytrail: filepath.Join(dir, "keytrail"), codec: codecs[o.codec]}
	if o.keytrail != "" {
		if e.keytrail, err = filepath.Abs(o.keytrail); err != nil {
			return nil, err
		}
	} else if err := command(ctx, root, "go", "build", "-o", e.keytrail, "."); err != nil {
		return nil, err
	}
	if err := os.Chdir(root); err != nil {
		return nil, err
	}
	if e.cluster, err = kafkatest.StartCluster(filepath.Join(dir, "kafka"), 1, os.Stderr); err != nil {
		return nil, err
	}
	if e.broker, err = descendant(os.Getpid(), "kafka.Kafka"); err == nil {
		e.client, err = kgo.NewClient(kgo.SeedBrokers(e.brokers()...))
	}
	if err != nil {
		e.cluster.Close()
		return nil, err
	}
	e.adm = kadm.NewClient(e.client)
	return e, nil
}

// checkout finds the root of keytrail's module above the working directory, which is in
// bench/, a separate module.
func checkout() (string, error) {
	dir, err := os.Getwd()
	for ; err == nil; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "scripts", "kafka")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no scripts/kafka above the working directory: run it inside keytrail's checkout")
		}
	}
	return "", err
}

// command runs a program in dir, and returns its output if it fails.
func command(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}

func (e *environment) brokers() []string { return e.cluster.Brokers() }

func (e *environment) kafka() kafka.Config {
	return kafka.Config{Brokers: e.brokers(), ClientID: "bench"}
}

func (e *environment) close() {
	e.client.Close()
	e.cluster.Close()
}

// create makes a topic that does not exist.
func (e *environment) create(ctx context.Context, name string, partitions int32) error {
	_, err := e.adm.CreateTopic(ctx, partitions, 1, nil, name)
	return err
}

// installation is one installation of Keytrail: a prefix of topics, and the name of its
// groups. A new name over an old prefix starts with the first event again.
type installation struct {
	e       *environment
	topics  wire.Topics
	name    string
	config  string
	metrics string // the metrics address of the running process
}

// install writes a configuration with the defaults except partitions, session timeout and
// metrics.
func (e *environment) install(prefix string, session time.Duration) (*installation, error) {
	e.runs++
	metrics, err := freeAddress()
	if err != nil {
		return nil, err
	}
	in := &installation{e: e, topics: wire.NewTopics(prefix), name: fmt.Sprintf("bench-%d", e.runs), metrics: metrics}
	in.config = filepath.Join(e.dir, in.name+".yaml")
	text := fmt.Sprintf(`kafka:
  brokers: [%s]
  prefix: %s
  transactional_id: %s
  session_timeout: %v
  partitions: {events: %d, partials: %d}
telemetry: {listen: %q}
`, strings.Join(e.brokers(), ", "), prefix, in.name, session, eventPartitions, partialPartitions, metrics)
	return in, os.WriteFile(in.config, []byte(text), 0o600)
}

// run starts the binary with some stages, and with additional environment variables.
func (in *installation) run(stages string, variables ...string) (*process, error) {
	in.e.runs++
	log := filepath.Join(in.e.dir, fmt.Sprintf("keytrail-%02d.log", in.e.runs))
	cmd := exec.Command(in.e.keytrail, "run", "-c", in.config, "--stages", stages)
	cmd.Env = append(os.Environ(), variables...)
	return start(cmd, log)
}

// forget deletes the topics that the stages write, and on request those of events.
func (in *installation) forget(ctx context.Context, events bool) error {
	t := in.topics
	names := []string{t.Raw, t.Partials, t.Windows, t.Anomalies, t.State, t.Dedup, t.DeadLetter}
	if events {
		names = append(names, t.Events)
	}
	_, err := in.e.adm.DeleteTopics(ctx, names...) // the call succeeds for missing topics
	return err
}

// stored returns the size of a topic on the broker's disk in bytes.
func (e *environment) stored(ctx context.Context, topic string) (bytes int64, err error) {
	all, err := e.adm.DescribeAllLogDirs(ctx, nil)
	all.Each(func(d kadm.DescribedLogDir) {
		d.Topics.Each(func(p kadm.DescribedLogDirPartition) {
			if p.Topic == topic {
				bytes += p.Size
			}
		})
	})
	return bytes, err
}
