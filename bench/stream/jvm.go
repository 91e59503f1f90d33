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

// jvmPeer is a program in jvm/ that makes the same counts as Keytrail.
type jvmPeer struct {
	name    string // of its row
	project string // its folder in jvm/, and the end of its group's name
	class   string
	options []string // of the JVM
}

// The programs. Flink's serializers access the JDK's classes, for which its documentation
// requires these options since Java 17.
var (
	streamsPeer = jvmPeer{nameStreams, "kstreams", "keytrail.StreamsCounts", nil}
	flinkPeer   = jvmPeer{nameFlink, "flink", "keytrail.FlinkCounts",
		[]string{"--add-opens=java.base/java.util=ALL-UNNAMED", "--add-opens=java.base/java.lang=ALL-UNNAMED"}}
)

// measure builds the program, measures it until look reports that it has finished, and
// returns its counts. Its group and its topics have the prefix app.
func (j jvmPeer) measure(ctx context.Context, e *environment, input string, events int64, end time.Time,
	look func(app string, p *process) func(context.Context) (state, error)) (cost, totals, error) {
	built, app := filepath.Join(e.root, "build", j.project), "bench-"+j.project
	err := command(ctx, filepath.Join(e.root, "bench", "stream", "jvm", j.project), "mvn", "-q", "-B", "package",
		"dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory="+filepath.Join(built, "lib"))
	if err != nil {
		return cost{}, nil, err
	}
	output := app + "-windows"
	if err := e.create(ctx, output, partialPartitions); err != nil {
		return cost{}, nil, err
	}
	args := append(j.options, "-cp", filepath.Join(built, j.project+"-1.jar")+":"+filepath.Join(built, "lib", "*"),
		j.class,
		strings.Join(e.brokers(), ","), app, input, output, filepath.Join(e.dir, app), strconv.FormatInt(end.UnixMilli(), 10))
	p, err := start(exec.Command("java", args...), filepath.Join(e.dir, app+".log"))
	if err != nil {
		return cost{}, nil, err
	}
	c, err := e.watch(ctx, p, events, lookEvery, look(app, p))
	c.name = j.name
	p.end(syscall.SIGKILL)
	if err != nil {
		return c, nil, err
	}
	t, err := e.jvmTotals(ctx, output)
	return c, t, err
}

// kafkaStreams measures the Kafka Streams program until it has consumed the events and
// its repartition topic.
func kafkaStreams(ctx context.Context, e *environment, input string, events int64,
	end time.Time) (cost, totals, error) {
	return streamsPeer.measure(ctx, e, input, events, end, func(app string,
		_ *process) func(context.Context) (state, error) {
		return e.through(hop{app, input}, hop{app, app + "-calls-repartition"})
	})
}

// flink measures the Flink program until it reports that it has committed everything. Its
// progress is the offsets that it commits with each checkpoint.
func flink(ctx context.Context, e *environment, input string, events int64, end time.Time) (cost, totals, error) {
	return flinkPeer.measure(ctx, e, input, events, end, func(app string,
		p *process) func(context.Context) (state, error) {
		return func(ctx context.Context) (s state, err error) {
			if len(p.logged("done")) > 0 {
				return state{events, true}, nil
			}
			s.consumed, _, err = e.consumed(ctx, app, input)
			return s, err
		}
	})
}
