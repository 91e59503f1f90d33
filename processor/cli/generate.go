package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"keytrail/processor/generate"
)

// trailFlags are the flags that say what trail to make up.
type trailFlags struct {
	seed             uint64
	duration         time.Duration
	keys, principals int
	events           int
	scenarios        string
	repeat           int
}

func (t *trailFlags) register(f *flagSet, events int) {
	t.duration, t.keys, t.principals, t.events, t.scenarios = 72*time.Hour, 20, 40, events, "all"
	f.Uint64Var(&t.seed, "seed", 1, "`number` that chooses the trail: the same seed gives the same trail")
	f.duration(&t.duration, "duration", "event time that the trail covers, a `duration`", time.Hour, 400*24*time.Hour, time.Second)
	integer(f, &t.keys, "keys", "`number` of KMS keys", 10, 100_000)
	integer(f, &t.principals, "principals", "`number` of principals", 10, 1_000_000)
	integer(f, &t.events, "events", "about how many background `events`; 0: 20 an hour for each principal", 0, 9600*1_000_000)
	t.repeat = 1
	integer(f, &t.repeat, "repeat", "`number` of times that each scenario is planted; more than 1 needs a duration of 168h", 1, 50)
	f.StringVar(&t.scenarios, "scenarios", t.scenarios, "scenarios to plant: `all|none|a,b,c` of "+strings.Join(generate.Scenarios(), ", "))
}

// config returns the trail's configuration, beginning at start.
func (t *trailFlags) config(start time.Time) generate.Config {
	c := generate.Config{Seed: t.seed, Start: start, Duration: t.duration, Keys: t.keys, Principals: t.principals, Events: t.events, Repeat: t.repeat}
	switch t.scenarios {
	case "all":
	case "none", "":
		c.Scenarios = []string{}
	default:
		c.Scenarios = strings.Split(t.scenarios, ",")
	}
	return c
}

// generate is "keytrail generate --out DIR".
func (a *app) generate(args []string) int {
	f := a.flags("generate", "--out DIR [FLAGS]", "Writes a made-up trail of CloudTrail files below DIR/AWSLogs, as S3 would hold\nthem, with attacks in it, and DIR/labels.ndjson, which tells them,\none a line.")
	out := f.String("out", "", "`directory` to write to")
	var t trailFlags
	t.register(f, 0)
	start := f.String("start", "2026-01-05T00:00:00Z", "`time` of the first event, RFC 3339")
	rest, code, done := a.parse(f, args)
	if done {
		return code
	}
	at, err := time.Parse(time.RFC3339, *start)
	switch {
	case *out == "" || len(rest) > 0:
		a.errorf("generate needs --out DIR and takes no arguments; see keytrail generate -h")
		return exitUsage
	case err != nil:
		a.errorf("--start %q is no RFC 3339 time", *start)
		return exitUsage
	}
	g, err := generate.New(t.config(at))
	if err != nil {
		a.errorf("%v", err)
		return exitUsage
	}
	records, files, err := writeTrail(a.ctx, g, *out)
	if err != nil {
		return a.fail(err)
	}
	fmt.Fprintf(a.stderr, "%d records in %d files below %s, %d labels\n", records, files, *out, len(g.Labels()))
	return exitOK
}

// writeTrail writes g's trail into dir. When ctx is done it returns at once, and
// the writing goes on until the process ends: a trail that is not whole is
// whoever asked for it to throw away.
func writeTrail(ctx context.Context, g *generate.Generator, dir string) (records, files int, err error) {
	type result struct {
		records, files int
		err            error
	}
	done := make(chan result, 1)
	go func() {
		var r result
		r.files, r.err = g.WriteFiles(dir, func(n int) { r.records = n })
		done <- r
	}()
	select {
	case r := <-done:
		return r.records, r.files, r.err
	case <-ctx.Done():
		return 0, 0, ctx.Err()
	}
}
