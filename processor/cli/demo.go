package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"keytrail/processor/cli/flags"
	"keytrail/processor/config"
	"keytrail/processor/demo"
	"keytrail/processor/generate"
	"keytrail/processor/kafka"
	"keytrail/processor/screen"
	"keytrail/processor/setting"
	"keytrail/processor/sigma"
	"keytrail/processor/sink"
	"keytrail/processor/sink/all"
	"keytrail/processor/sink/otlphttp"
	"keytrail/processor/source"
	"keytrail/processor/status"
	"keytrail/processor/stream"
	"keytrail/processor/telemetry"
)

// trying is one run of "keytrail demo".
type trying struct {
	*app
	trail trailFlags
	limit time.Duration
	pace  time.Duration
	keep  string
	paths []string     // of rules
	rules *sigma.Rules // at paths
	page  page
	stays bool   // serve the page after the verdict, until Ctrl-C
	dark  func() // ends the live screen
}

// demo is "keytrail demo".
func (a *app) demo() *cobra.Command {
	d := &trying{app: a, limit: 55 * time.Second, pace: 15 * time.Second}
	cmd := &cobra.Command{
		Use: "demo [FLAGS]", GroupID: groupTry,
		Short: "Run the whole pipeline in one process, on made-up trails with attacks in them",
		Long: "Runs the whole pipeline in this process: it makes up a trail of CloudTrail files with\n" +
			"attacks in it, reads and normalizes them, sends them through Kafka topics (an embedded\n" +
			"broker), counts and judges them, and forwards windows and anomalies over OTLP/HTTP to a\n" +
			"small SIEM, and shows them on a page in the browser. On a terminal one live screen shows\n" +
			"the flow, the newest anomalies and the entities in trouble; the page stays until Ctrl-C\n" +
			"after that, unless --for is given. Elsewhere the anomalies come as lines in the order of\n" +
			"time. It leaves nothing behind, unless --keep names a directory.",
		Example: "keytrail demo\nkeytrail demo --seed 7 --pace 30s --keep demo/",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d.stays = screen.Terminal(a.stdout) && !cmd.Flags().Changed("for")
			return d.run()
		},
	}
	d.trail.register(cmd, 60_000)
	flags.Duration(cmd, &d.limit, "for", "longest `duration` of the demo", time.Second, 24*time.Hour, 1)
	flags.Duration(cmd, &d.pace, "pace", "`duration` over which the trail is replayed; 0 is as fast as possible", 0,
		24*time.Hour, 1)
	cmd.Flags().StringArrayVar(&d.paths, "rules", nil,
		"`PATH` of your own rules in Sigma form, a directory or a file; repeatable")
	d.page.flag(cmd)
	cmd.Flags().StringVar(&d.keep, "keep", "", "keep the trail, the broker's data and the SIEM's records in `DIR`")
	return cmd
}

func (d *trying) run() (err error) {
	if len(d.paths) > 0 {
		if d.rules, err = d.input().Rules(d.paths); err != nil {
			return usageError{err}
		}
	}
	// The trail ends an hour ago, so that no clock sees its last windows in the future.
	g, err := generate.New(d.trail.config(time.Now().UTC().Add(-d.trail.duration - time.Hour).Truncate(time.Hour)))
	if err != nil {
		return usageError{err}
	}
	ctx, cancel := context.WithTimeout(d.ctx, d.limit)
	defer cancel()
	defer d.page.close()
	if err := d.page.open(); err != nil {
		return err
	}
	show := demo.NewShow(d.stdout, screen.Terminal(d.stdout), d.page.url())
	d.dark = show.Live(d.ctx, d.stdin, func() { syscall.Kill(os.Getpid(), syscall.SIGINT) }) // raw terminals send none
	defer d.dark()
	if err := d.stages(ctx, g, show); err != nil {
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() == nil {
			return err
		}
		show.Line("--for %s is over before the trail was.", setting.Duration(d.limit))
	}
	if !d.stays {
		d.verdict(g, show)
	}
	return nil
}

// verdict ends the live screen and prints the verdict.
func (d *trying) verdict(g *generate.Generator, show *demo.Show) {
	d.dark()
	show.Verdict(g.Labels(), d.keep)
}

// The names of files and folders in the demo's folder.
const (
	demoTrails = "trail"
	demoBroker = "broker"
	demoSIEM   = "siem.ndjson"
)

// folder returns the demo's folder, and the function that removes it unless it is kept. It
// refuses a folder that holds an earlier demo before it touches anything in it.
func (d *trying) folder() (dir string, remove func(), err error) {
	if d.keep == "" {
		if dir, err = os.MkdirTemp("", "keytrail-demo-"); err != nil {
			return "", nil, fmt.Errorf("cannot create a temporary directory: %w", err)
		}
		return dir, func() { os.RemoveAll(dir) }, nil
	}
	for _, name := range []string{demoTrails, demoBroker, demoSIEM} {
		path := filepath.Join(d.keep, name)
		if _, err := os.Lstat(path); err == nil {
			return "", nil, fmt.Errorf("cannot keep the demo in %q: it holds %s of an earlier one; name an empty folder", d.keep,
				name)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", nil, fmt.Errorf("cannot keep the demo in %q: %w", d.keep, err)
		}
	}
	if err := os.MkdirAll(d.keep, 0o700); err != nil {
		return "", nil, fmt.Errorf("cannot create %s: %w", d.keep, err)
	}
	return d.keep, func() {}, nil
}

// stages wires the parts and waits until everything has arrived.
func (d *trying) stages(ctx context.Context, g *generate.Generator, show *demo.Show) (err error) {
	dir, remove, err := d.folder()
	if err != nil {
		return err
	}
	defer remove()
	records := ""
	if d.keep != "" {
		records = filepath.Join(dir, demoSIEM)
	}
	siem, err := demo.StartSIEM(show, records)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := siem.Close(); err == nil {
			err = cerr
		}
	}()
	log := slog.New(slog.NewTextHandler(d.stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	broker, err := kafka.StartEmbedded(filepath.Join(dir, demoBroker), log)
	if err != nil {
		return err
	}
	defer broker.Close()
	show.Line("Embedded Kafka broker on %s (for trying things, not crash-safe); SIEM on %s.",
		strings.Join(broker.Brokers(), ","), siem.URL)
	// The trail is written before the stages start: otherwise a slow disk would look like
	// a silent trail (see demoIdle).
	objects, err := demoTrail(g, filepath.Join(dir, demoTrails), show)
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(d.ctx) // the stages serve the page after the demo's time
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p, tel, err := demoPipeline(ctx, broker.Brokers(), siem, log)
	if err != nil {
		return err
	}
	p.Rules, p.History = d.rules, d.page.history
	show.Stages(func() ([]telemetry.Balance, error) { return tel.Balances(ctx) })
	defer tel.Shutdown(context.WithoutCancel(ctx))
	ended, ready, failed := make(chan error, 1), make(chan struct{}), make(chan struct{})
	p.Ready = func() { close(ready) }
	go func() {
		defer close(failed)
		defer cancel() // a stage that failed ends the replay too
		ended <- p.Run(running, stream.Stages{Count: true, Detect: true, Forward: true, Web: true})
	}()
	served := make(chan error, 1)
	go func() { served <- d.page.serve(running, livePage(p)) }()
	defer func() {
		stop()
		if werr := <-served; err == nil {
			err = werr
		}
		if perr := <-ended; perr != nil && !errors.Is(perr, context.Canceled) { // else it was stopped while it started
			err = perr // the other errors follow from it
		}
	}()
	select {
	case <-ready:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := replay(ctx, p, d.pace, objects, show); err != nil {
		return err
	}
	if err := siem.Quiet(ctx, demoIdle); err != nil || !d.stays {
		return err
	}
	d.verdict(g, show)
	fmt.Fprintf(d.stdout, "\nThe page stays at %s until Ctrl-C.\n", d.page.url())
	select {
	case <-d.ctx.Done(): // as the user asked
	case <-failed:
	}
	return nil
}

// demoTrail writes the trail's files and returns them in the order of their
// delivery.
func demoTrail(g *generate.Generator, dir string, show *demo.Show) ([]source.Object, error) {
	records := 0
	files, err := g.WriteFiles(dir, func(n int) { records = n })
	if err != nil {
		return nil, err
	}
	show.Line("%d CloudTrail records in %d files, with %d incidents planted in them.", records, files,
		demo.Incidents(g.Labels()))
	var objects []source.Object
	for o, err := range source.Objects([]string{filepath.Join(dir, "AWSLogs")}) {
		if err != nil {
			return nil, err
		}
		objects = append(objects, o)
	}
	slices.SortFunc(objects, source.ByDelivery)
	return objects, nil
}

// demoIdle is the silence after which the demo's last windows close. Three days pass in
// seconds, so a silence takes seconds as well. A busy machine may delay the replay for
// longer; its records are then not late.
const demoIdle = 3 * time.Second

// demoPipeline is the pipeline as "keytrail run" makes it, with one sink.
func demoPipeline(ctx context.Context, brokers []string, siem *demo.SIEM, log *slog.Logger) (*stream.Pipeline,
	*telemetry.Telemetry, error) {
	tel, err := telemetry.New(ctx, telemetry.DefaultConfig())
	if err != nil {
		return nil, nil, err
	}
	cfg := config.Default()
	cfg.Kafka.Partitions = config.Partitions{Events: 4, Partials: 2}
	cfg.Window.IdleAfter = demoIdle
	p := newPipeline(cfg, brokers, tel, log)
	receiver := otlphttp.DefaultConfig()
	receiver.Endpoint = siem.URL
	to, _ := config.NewSink(all.OTLP)
	to.Name, to.To, to.From = "siem", &receiver, sink.Earliest()
	to.Take = config.Take{Windows: config.WindowsAnomalous, Anomalies: true}
	there, err := destination(to, p)
	p.Sinks, p.Status = []stream.Destination{there}, status.NewTable(time.Now())
	return p, tel, err
}

// replay publishes the files, spread over pace.
func replay(ctx context.Context, p *stream.Pipeline, pace time.Duration, objects []source.Object,
	show *demo.Show) error {
	pub, err := stream.NewPublisher(p.Kafka, p.Topics, p.Read)
	if err != nil {
		return err
	}
	defer pub.Close()
	began := time.Now()
	for i, o := range objects {
		due := began.Add(pace * time.Duration(i) / time.Duration(len(objects)))
		if wait := time.Until(due); wait > 0 {
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err := pub.Object(ctx, o); err != nil {
			return err
		}
		show.Progress(i+1, len(objects), pub.Counts())
	}
	if err := pub.Flush(ctx); err != nil {
		return err
	}
	c := pub.Counts()
	show.Progress(len(objects), len(objects), c)
	show.Line("All files are read: %d records, %d published to kms.events, %d filtered%s, %d dead letters.", c.Received,
		c.Published, c.Filtered, c.FilteredBy.Named(), c.DeadLettered)
	return nil
}
