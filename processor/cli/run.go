package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.opentelemetry.io/otel"

	"keytrail/processor/api"
	"keytrail/processor/cli/flags"
	"keytrail/processor/config"
	"keytrail/processor/kafka"
	"keytrail/processor/lograte"
	"keytrail/processor/sigma"
	"keytrail/processor/sink"
	"keytrail/processor/status"
	"keytrail/processor/stream"
	"keytrail/processor/telemetry"
	"keytrail/schemas/cloud"
	"keytrail/schemas/otellog"
	"keytrail/schemas/wire"
)

// serve is "keytrail run -c FILE".
func (a *app) serve() *cobra.Command {
	var file string
	var stages []string
	cmd := &cobra.Command{
		Use: "run -c FILE [FLAGS]", GroupID: groupRun,
		Short: "Run the stages over Kafka",
		Long: "Runs the stages that the configuration names (collect, normalize, count, detect, forward)\n" +
			"over Kafka until SIGINT or SIGTERM, which ends them after the current transaction. Missing\n" +
			"topics are created. Several processes with the same configuration share the work. Stage\n" +
			"collect reads the configuration's sources; run it in one process. Stage web serves the\n" +
			"page where the configuration or --stages names it.",
		Example: "keytrail run -c keytrail.yaml\nkeytrail run -c keytrail.yaml --stages count,detect",
		Args:    noArguments,
		RunE: func(*cobra.Command, []string) error {
			if file == "" {
				return usagef("run needs -c FILE; see keytrail run --help")
			}
			return a.runStages(file, stages)
		},
	}
	flags.Config(cmd, &file, "configuration `FILE`")
	cmd.Flags().StringSliceVar(&stages, "stages", nil,
		"stages to run, instead of the configuration's: `collect,normalize,count,detect,forward,web`")
	return cmd
}

// runStages runs stages, or those of the configuration.
func (a *app) runStages(file string, stages []string) error {
	cfg, err := a.load(file)
	if err == nil && len(stages) > 0 {
		cfg.Stages = nil
		for _, name := range stages {
			cfg.Stages = append(cfg.Stages, config.Stage(strings.TrimSpace(name)))
		}
		if err = cfg.Validate(); err != nil {
			err = fmt.Errorf("--stages %q: %w", strings.Join(stages, ","), err)
		}
	}
	var rules *sigma.Rules
	if err == nil && len(cfg.Rules.Sigma) > 0 {
		rules, err = a.input().Rules(cfg.Rules.Sigma)
	}
	if err != nil {
		return usageError{err}
	}
	level := new(slog.LevelVar)
	log, err := telemetry.NewLogs(a.ctx, a.stderr, cfg.Telemetry, level, cfg.Secrets().Clean)
	if err != nil {
		return err
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(a.ctx), 5*time.Second)
		defer cancel()
		log.Shutdown(end) // the lines are on standard error too
	}()
	err = runPipeline(a.ctx, cfg, rules, log, level)
	if errors.Is(err, context.Canceled) && a.ctx.Err() != nil {
		log.Warn("stopped before the pipeline ran", "error", err) // as the user asked
		return nil
	}
	return err
}

// load reads a configuration. From then on standard error shows no secret of it.
func (a *app) load(path string) (*config.Config, error) {
	cfg, err := config.Load(path)
	if err == nil {
		a.stderr.Hide(cfg.Secrets())
	}
	return cfg, err
}

// runPipeline runs the configured stages until ctx is done.
func runPipeline(ctx context.Context, cfg *config.Config, rules *sigma.Rules, logs *telemetry.Logs,
	level *slog.LevelVar) (err error) {
	log := logs.Logger
	hup, stop := catchHangup()
	defer stop()
	tel, err := telemetry.New(ctx, cfg.Telemetry)
	if err != nil {
		return err
	}
	if err := logs.Count(tel); err != nil {
		return err
	}
	tel.Health().Clean(cfg.Secrets().Clean)
	var gates lograte.Gates
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		held, due := gates.Open("", time.Now(), 1)
		if !due {
			return
		}
		log.Warn("metrics or traces cannot be exported; the next export has the metrics, check telemetry.otlp", "error", err,
			"lines_held_back", held)
	}))
	if err := tel.Build(release, cmp.Or(commit, committed(), "unknown")); err != nil {
		return err
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err = errors.Join(err, tel.Shutdown(end))
	}()
	brokers := cfg.Kafka.Brokers
	if cfg.Kafka.Embedded {
		e, err := kafka.StartEmbedded(cfg.Kafka.DataDir, log)
		if err != nil {
			return err
		}
		defer e.Close()
		brokers = e.Brokers()
	}
	p := newPipeline(cfg, brokers, tel, log)
	p.Rules, p.Process = rules, processName()
	serveAPI(cfg, p)
	var live *running
	defer func() {
		if live != nil {
			err = errors.Join(err, live.close())
			return
		}
		for _, d := range p.Sinks {
			err = errors.Join(err, d.Sink.Close())
		}
	}()
	run := stageSet(cfg.Stages)
	for _, s := range cfg.Sinks {
		if !run.Forward {
			break // the sinks, and their files, are those of the process that forwards
		}
		d, err := destination(s, p)
		if err != nil {
			return err
		}
		p.Sinks = append(p.Sinks, d)
	}
	closeSources, err := openSources(ctx, cfg, p, run)
	defer closeSources()
	if err != nil {
		return err
	}
	closePage, err := openPage(ctx, cfg, p, &run)
	defer closePage()
	if err != nil {
		return err
	}
	live = newRunning(cfg, p, run, level)
	p.Ready = func() { log.Info("the pipeline runs", "stages", cfg.Stages, "brokers", brokers, "sinks", len(p.Sinks)) }
	defer live.listen(ctx, hup)()
	return p.Run(ctx, run)
}

// serveAPI serves the installation's status beside the metrics, if these are served.
func serveAPI(cfg *config.Config, p *stream.Pipeline) {
	if p.Telemetry.Addr() == nil {
		return
	}
	p.Status = status.NewTable(time.Now())
	h := api.Handler(api.Options{Build: buildInfo(), Table: p.Status, Hosts: cfg.Telemetry.Hosts,
		Pprof: cfg.Telemetry.Pprof, Now: time.Now})
	p.Telemetry.Handle(api.Prefix, h)
	p.Telemetry.Handle(api.Debug, h)
}

// newPipeline makes a Pipeline, without sinks, of a configuration.
func newPipeline(cfg *config.Config, brokers []string, tel *telemetry.Telemetry, log *slog.Logger) *stream.Pipeline {
	w, security := cfg.Window, cfg.Kafka.Security()
	security.SASL.OnSecret(cfg.Secrets().AddFile)
	return &stream.Pipeline{
		Secrets: cfg.Secrets(),
		Kafka: kafka.Config{Brokers: brokers, ClientID: cfg.Kafka.ClientID, SessionTimeout: cfg.Kafka.SessionTimeout,
			InstanceID: cfg.Kafka.InstanceID, Security: security, Log: log, Trouble: kafka.NewTrouble(log)},
		Topics: wire.NewTopics(cfg.Kafka.Prefix), Events: int32(cfg.Kafka.Partitions.Events),
		Partials:    int32(cfg.Kafka.Partitions.Partials),
		Replication: int16(cfg.Kafka.Replication), TransactionID: cfg.Kafka.TransactionalID,
		Interval: cfg.Commit.Interval, Records: cfg.Commit.Records,
		Ledger: cfg.Ledger, PageURL: strings.TrimSuffix(cfg.Web.PublicURL, "/"),
		Window: stream.Window{
			Detect: cfg.Detection(), OutOfOrderness: int64(w.OutOfOrderness), FutureSkew: int64(w.FutureSkew),
			IdleAfter: int64(w.IdleAfter),
		},
		MessageRecords: cfg.Decode.MessageRecords, MessageBytes: int64(cfg.Decode.MessageBytes),
		Read: cloud.Options{Limits: cfg.Decode.Limits(), OmitBody: cfg.Decode.Body == config.BodyNone,
			SelfPrincipals: cfg.SelfPrincipals},
		Resource: resource(cfg.Resource), Coverage: cfg.Telemetry.Coverage, Telemetry: tel, Log: log, Version: release,
	}
}

// resource returns the attributes of a configuration's resource, in the order of their
// names.
func resource(attributes map[string]string) (list []otellog.Attr) {
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		list = append(list, otellog.Attr{Key: name, Kind: otellog.KindString, Str: attributes[name]})
	}
	return list
}

// destination opens the sink of a configuration.
func destination(s config.Sink, p *stream.Pipeline) (stream.Destination, error) {
	d := stream.Destination{Name: s.Name, ID: s.Identifier(), From: s.From, Filter: s.Filter, Batch: s.Batch,
		InFlight: s.InFlight, Retry: s.Retry, Events: s.Take.Events, Anomalies: s.Take.Anomalies,
		Incidents: s.Take.Incidents}
	if n, ok := s.To.(sink.Notifier); ok {
		d.Ends = n.Ends()
	}
	switch s.Take.Windows {
	case config.WindowsAnomalous:
		d.Windows = stream.WindowsAnomalous
	case config.WindowsAll:
		d.Windows = stream.WindowsAll
	}
	var err error
	if d.Sink, err = s.To.Open(sink.Identity{Name: s.Name, Group: p.SinkGroup(s.ID, s.Name), Log: p.Log}); err != nil {
		return d, fmt.Errorf("sink %q: %w", s.Name, err)
	}
	return d, nil
}

func stageSet(list []config.Stage) stream.Stages {
	var s stream.Stages
	for _, name := range list {
		switch name {
		case config.StageCollect:
			s.Collect = true
		case config.StageNormalize:
			s.Normalize = true
		case config.StageCount:
			s.Count = true
		case config.StageDetect:
			s.Detect = true
		case config.StageForward:
			s.Forward = true
		case config.StageWeb:
			s.Web = true
		}
	}
	return s
}
