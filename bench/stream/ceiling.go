package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The benchmark's own binary also serves as the yardsticks in Go: its first argument
// selects one.
const (
	childPrefix  = "child:"
	childCeiling = childPrefix + "ceiling" // brokers, topic, number of records
	childGoka    = childPrefix + "goka"    // see goka.go
)

// child is the main function of such a process. It runs until the parent kills it or
// closes its standard input.
func child(args []string) error {
	switch {
	case args[0] == childCeiling && len(args) == 4:
		return consumeAll(strings.Split(args[1], ","), args[2], args[3])
	case args[0] == childGoka && len(args) == 5:
		return runGoka(strings.Split(args[1], ","), args[2], args[3], args[4])
	}
	return fmt.Errorf("no such child: %q", args)
}

// consumeAll reads n records of a topic with the client's defaults, and prints its
// progress on standard output.
func consumeAll(brokers []string, topic, count string) error {
	total, err := strconv.ParseInt(count, 10, 64)
	if err != nil {
		return err
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topic),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer cl.Close()
	n, told := int64(0), int64(0)
	for n < total {
		fetches := cl.PollFetches(context.Background())
		if err := fetches.Err(); err != nil {
			return err
		}
		for it := fetches.RecordIter(); !it.Done(); {
			if r := it.Next(); len(r.Value) > 0 {
				n++
			}
		}
		if n == total || n-told > total/50 {
			fmt.Println(n)
			told = n
		}
	}
	_, err = io.Copy(io.Discard, os.Stdin) // so that the parent can read its usage
	return err
}

// ceiling measures a loop that consumes the events and drops them.
func ceiling(ctx context.Context, e *environment, topic string, events int64) (cost, error) {
	self, err := os.Executable()
	if err != nil {
		return cost{}, err
	}
	cmd := exec.Command(self, childCeiling, strings.Join(e.brokers(), ","), topic, strconv.FormatInt(events, 10))
	in, err := cmd.StdinPipe()
	if err != nil {
		return cost{}, err
	}
	out, into, err := os.Pipe()
	if err != nil {
		return cost{}, err
	}
	defer out.Close()
	cmd.Stdout = into
	p, err := start(cmd, filepath.Join(e.dir, "ceiling.log"))
	into.Close()
	if err != nil {
		return cost{}, err
	}
	var have atomic.Int64
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			n, _ := strconv.ParseInt(lines.Text(), 10, 64) // other lines are ignored
			have.Store(n)
		}
	}()
	c, err := e.watch(ctx, p, events, 5*time.Millisecond, func(context.Context) (state, error) {
		n := have.Load()
		return state{n, n >= events}, nil
	})
	c.name = nameCeiling
	in.Close() // then it ends by itself, once it has read everything
	if err != nil {
		p.end(syscall.SIGKILL)
		return c, err
	}
	<-p.ended
	return c, p.err
}
