package cli

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"keytrail/processor/cli/flags"
	"keytrail/processor/generate"
)

// trailFlags are the flags of the generated trail.
type trailFlags struct {
	seed             uint64
	duration         time.Duration
	keys, principals int
	events           int
	scenarios        string
	repeat           int
}

func (t *trailFlags) register(cmd *cobra.Command, events int) {
	*t = trailFlags{seed: 1, duration: 72 * time.Hour, keys: 20, principals: 40, events: events, scenarios: "all",
		repeat: 1}
	flags.Integer(cmd, &t.seed, "seed", "`number` that chooses the trail: the same seed gives the same trail", 0,
		math.MaxUint64)
	flags.Duration(cmd, &t.duration, "duration", "event time that the trail covers, a `duration`", time.Hour,
		400*24*time.Hour, time.Second)
	flags.Integer(cmd, &t.keys, "keys", "`number` of KMS keys", 10, 100_000)
	flags.Integer(cmd, &t.principals, "principals", "`number` of principals", 10, 1_000_000)
	flags.Integer(cmd, &t.events, "events", "approximate `number` of background events; 0 is 20 an hour per principal", 0,
		9600*1_000_000)
	flags.Integer(cmd, &t.repeat, "repeat",
		"`number` of times that each scenario is planted; more than 1 needs a duration of 168h", 1, 50)
	cmd.Flags().StringVar(&t.scenarios, "scenarios", t.scenarios,
		"scenarios to plant: `all|none|a,b,c` of "+strings.Join(generate.Scenarios(), ", "))
}

// config returns the trail's configuration, beginning at start.
func (t *trailFlags) config(start time.Time) generate.Config {
	c := generate.Config{Seed: t.seed, Start: start, Duration: t.duration, Keys: t.keys, Principals: t.principals,
		Events: t.events, Repeat: t.repeat}
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
func (a *app) generate() *cobra.Command {
	var t trailFlags
	var out string
	live := liveFlags{history: 14 * 24 * time.Hour, every: 5 * time.Minute}
	start := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	cmd := &cobra.Command{
		Use: "generate --out DIR [FLAGS]", GroupID: groupTry,
		Short: "Write labelled synthetic CloudTrail files",
		Long: "Writes a made-up trail of CloudTrail files below DIR/AWSLogs, as S3 would hold them,\n" +
			"with attacks in it, and DIR/labels.ndjson, which names them, one a line.\n\n" +
			"With --live it writes a history without attacks, and then goes on as time passes until\n" +
			"SIGINT or SIGTERM: the files of each minute, with an attack every few minutes, which it\n" +
			"announces on standard error and in DIR/.labels.ndjson. Started again with the same DIR,\n" +
			"it continues.",
		Example: "keytrail generate --out trail\n" +
			"keytrail generate --out big --duration 720h --keys 300 --principals 1000 --events 2000000\n" +
			"keytrail generate --out trail --live --keys 12 --principals 16",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if out == "" {
				return usagef("generate needs --out DIR; see keytrail generate --help")
			}
			if err := live.check(cmd); err != nil {
				return err
			}
			if live.on {
				return a.generateLive(out, generate.LiveConfig{Seed: t.seed, Keys: t.keys, Principals: t.principals,
					History: live.history, Every: live.every})
			}
			g, err := generate.New(t.config(start))
			if err != nil {
				return usageError{err}
			}
			records, files, err := writeTrail(a.ctx, g, out)
			if err != nil {
				return err
			}
			fmt.Fprintf(a.stderr, "%d records in %d files below %s, %d labels\n", records, files, out, len(g.Labels()))
			return nil
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "`DIR` to write to")
	t.register(cmd, 0)
	live.register(cmd)
	flags.Func(cmd, &start, "start", "`time` of the first event, RFC 3339",
		"an RFC 3339 time such as 2026-01-05T00:00:00Z",
		func(text string) (time.Time, error) { return time.Parse(time.RFC3339, text) },
		func(t time.Time) string { return t.Format(time.RFC3339) })
	return cmd
}

// writeTrail writes g's trail into dir. When ctx is done it returns at once, while the
// writing continues until the process ends: the caller discards an incomplete trail.
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
