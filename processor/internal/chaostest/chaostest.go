// Package chaostest holds what the programs chaos and chaossinks share: the keytrail that they
// run, a log, and readers of Kafka's topics.
package chaostest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/kafka"
)

// SessionTimeout is that of consumer groups. It is short, so that a run sees many of them.
const SessionTimeout = 8 * time.Second

// Main runs a program until SIGINT or SIGTERM, and prints the last line that run returns. It
// exits with status 1 if run fails or its verdict is not clean. name begins its errors.
func Main(name string, run func(context.Context) (line string, clean bool, err error)) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	line, clean, err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
	fmt.Println(line)
	if !clean {
		os.Exit(1)
	}
}

// Dir returns the folder of a run: dir, or a new temporary folder if dir is "". The caller
// calls done at the end: it deletes a temporary folder after a clean run, and otherwise names
// it.
func Dir(name, dir string) (path string, done func(clean bool), err error) {
	done = func(bool) {}
	if dir == "" {
		if dir, err = os.MkdirTemp("", "keytrail-"+name+"-"); err != nil {
			return "", nil, err
		}
		done = func(clean bool) {
			if clean {
				_ = os.RemoveAll(dir)
			} else {
				fmt.Fprintf(os.Stderr, "%s: data and logs are in %s\n", name, dir)
			}
		}
	}
	path, err = filepath.Abs(dir)
	return path, done, err
}

// Build builds keytrail into dir, with more flags of "go build", and returns its path.
func Build(ctx context.Context, dir string, flags ...string) (string, error) {
	path := filepath.Join(dir, "keytrail")
	build := exec.CommandContext(ctx, "go", append(append([]string{"build"}, flags...), "-o", path, "keytrail")...)
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return "", fmt.Errorf("cannot build keytrail: %w", err)
	}
	return path, nil
}

// began is the start of the program, from which its log counts time.
var began = time.Now()

// Say writes a line of the log, with the seconds since the start of the program.
func Say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%6.1fs "+format+"\n", append([]any{time.Since(began).Seconds()}, args...)...)
}

// Pause waits for d or until ctx is done.
func Pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// Read calls f for every committed record of a topic.
func Read(ctx context.Context, brokers []string, topic string, f func(*kgo.Record) error) error {
	client := kafka.Config{Brokers: brokers, ClientID: "chaos"}
	counts, err := kafka.EnsureTopics(ctx, client, 1, []kafka.Topic{{Name: topic, Partitions: 1}})
	if err != nil {
		return err
	}
	var all []int32
	for p := range counts[topic] {
		all = append(all, p)
	}
	if len(all) == 0 {
		return errors.New("no topic " + topic)
	}
	return kafka.ReadLog(ctx, client, topic, all, f)
}
