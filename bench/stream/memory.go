package main

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// restart is the session timeout of the memory runs: shorter than the default, because
// the group waits that long for the killed member.
const restart = 20 * time.Second

// held is the cost of a state of n entities.
type held struct {
	events, entities int // entities as counted by the restored process
	cost             cost
	live             int64 // live bytes after the last garbage collection
	restore          time.Duration
	restored         usage
}

// trace makes Go's runtime log every garbage collection: the live bytes after it are the
// state and the current transaction; other memory is garbage.
const trace = "GODEBUG=gctrace=1"

// memory measures the second table.
func memory(ctx context.Context, e *environment, o options, out io.Writer) error {
	head := strings.Split("entities,events,s,CPU us/event,peak MB,live heap MB,restore s,MB after it,peak MB in it,", ",")
	var rows, ended [][]string
	for _, n := range o.entities {
		h, err := e.hold(ctx, n)
		if err != nil {
			return fmt.Errorf("%d entities: %w", n, err)
		}
		row := []string{fmt.Sprint(h.entities), fmt.Sprint(h.events), seconds(h.cost.wall),
			micros(h.cost.cpu, int64(h.events)), megabytes(h.cost.peak),
			megabytes(h.live), fmt.Sprintf("%.2f", h.restore.Seconds()), megabytes(h.restored.rss),
			megabytes(h.restored.peak), ""}
		if h.entities != n {
			row[len(row)-1] = fmt.Sprintf("NOT %d", n)
		}
		rows = append(rows, row)
		ended = append(ended, commitRows(fmt.Sprintf("%d entities", h.entities), h.cost.ended)...)
	}
	table(out, "Memory of count and detect, and restore of detect after SIGKILL, by entities in the state", head, rows,
		"The aim at 1,000,000 entities: below 600 MB and 10 s.")
	commitTable(out, ended)
	return nil
}

// hold lets count and detect process events that make n entities, kills them, and starts
// detect again.
func (e *environment) hold(ctx context.Context, n int) (h held, err error) {
	in, err := e.install(fmt.Sprintf("e%d.", n), restart)
	if err != nil {
		return h, err
	}
	l, err := in.newLoader(ctx, 10*time.Millisecond)
	if err != nil {
		return h, err
	}
	defer l.close()
	if h.events, err = entities(ctx, l, n); err != nil {
		return h, err
	}
	p, err := in.run("count,detect", trace)
	if err != nil {
		return h, err
	}
	defer p.end(syscall.SIGKILL)
	if h.cost, err = e.watch(ctx, p, int64(h.events), lookEvery, e.through(in.count(), in.detect())); err != nil {
		return h, err
	}
	if h.cost.ended, err = in.scrape(ctx); err != nil {
		return h, p.failure(err)
	}
	h.live = liveHeap(p.logged("gc "))
	p.end(syscall.SIGKILL)
	say("%d events: %.1f s, peak %s MB; killed, and detect is started again", h.events, h.cost.wall.Seconds(),
		megabytes(h.cost.peak))
	if err := in.restore(ctx, &h); err != nil {
		return h, err
	}
	say("%d entities: restored in %.2f s", h.entities, h.restore.Seconds())
	return h, in.forget(ctx, true)
}

// restore starts only stage detect and waits until every partition has its state. A
// partition without state logs nothing; with a thousand entities each has some.
func (in *installation) restore(ctx context.Context, h *held) error {
	p, err := in.run("detect")
	if err != nil {
		return err
	}
	defer p.end(syscall.SIGKILL)
	var lines []string
	err = until(ctx, 5*time.Minute, "the state is restored", func() (bool, error) {
		lines = p.logged("detect: state restored")
		var err error
		h.restored, err = p.usage()
		return len(lines) >= partialPartitions, err
	})
	if err != nil {
		return p.failure(err)
	}
	for _, line := range lines {
		n, took, err := parseRestored(line)
		if err != nil {
			return err
		}
		h.entities += n
		h.restore = max(h.restore, took) // all partitions are restored in one go
	}
	return nil
}

var gcLine = regexp.MustCompile(`^gc \d+ .*->(\d+) MB,`)

// liveHeap returns the live bytes after the last garbage collection, from the log lines
// of Go's runtime: "gc 12 @8.539s 4%: ..., 610->615->491 MB, 717 MB goal, ...".
func liveHeap(lines []string) (bytes int64) {
	for _, line := range lines {
		if m := gcLine.FindStringSubmatch(line); m != nil {
			n, _ := strconv.ParseInt(m[1], 10, 64) // digits
			bytes = n << 20
		}
	}
	return bytes
}

var restoredLine = regexp.MustCompile(`entities=(\d+) took=(\S+)`)

// parseRestored reads the line that stage detect logs for a restored partition.
func parseRestored(line string) (entities int, took time.Duration, err error) {
	m := restoredLine.FindStringSubmatch(line)
	if m == nil {
		return 0, 0, fmt.Errorf("no entities and took in %q", line)
	}
	if entities, err = strconv.Atoi(m[1]); err != nil {
		return 0, 0, err
	}
	took, err = time.ParseDuration(m[2])
	return entities, took, err
}
