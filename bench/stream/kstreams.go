package main

import (
	"context"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// streamsApp is the application id of the Kafka Streams program: the name of its
// group, and the beginning of the names of its own topics.
const streamsApp = "bench-kstreams"

// kafkaStreams builds the Kafka Streams program, measures it until it has consumed
// the events and its own repartition topic, and returns what it counted.
func kafkaStreams(ctx context.Context, e *environment, input string, events int64, end time.Time) (cost, totals, error) {
	project, built := filepath.Join(e.root, "bench", "stream", "kstreams"), filepath.Join(e.root, "build", "kstreams")
	err := command(ctx, project, "mvn", "-q", "-B", "package", "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory="+filepath.Join(built, "lib"))
	if err != nil {
		return cost{}, nil, err
	}
	const output = streamsApp + "-windows"
	if err := e.create(ctx, output, partialPartitions); err != nil {
		return cost{}, nil, err
	}
	cmd := exec.Command("java", "-cp", filepath.Join(built, "kstreams-1.jar")+":"+filepath.Join(built, "lib", "*"), "keytrail.Counts",
		strings.Join(e.brokers(), ","), streamsApp, input, output, filepath.Join(e.dir, streamsApp), strconv.FormatInt(end.UnixMilli(), 10))
	p, err := start(cmd, filepath.Join(e.dir, streamsApp+".log"))
	if err != nil {
		return cost{}, nil, err
	}
	c, err := e.watch(ctx, p, events, lookEvery, e.through(hop{streamsApp, input}, hop{streamsApp, streamsApp + "-calls-repartition"}))
	c.name = nameStreams
	p.end(syscall.SIGKILL)
	if err != nil {
		return c, nil, err
	}
	t, err := e.streamsTotals(ctx, output)
	return c, t, err
}
