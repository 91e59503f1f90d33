package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"keytrail/processor/cli/input"
	"keytrail/processor/config"
	"keytrail/processor/sigma"
	"keytrail/processor/sink"
	"keytrail/processor/stream"
	"keytrail/processor/telemetry"
)

// running is the configuration of a running pipeline. SIGHUP changes it: the rules, the
// expected anomalies, the sinks and the level of the log.
type running struct {
	cfg     *config.Config
	p       *stream.Pipeline
	forward bool                 // stage forward runs
	open    map[string]sink.Sink // the sinks, by name
	level   *slog.LevelVar
	part    *telemetry.Part
	collect bool // stage collect runs
}

// newRunning returns the running configuration, with the sinks of p.
func newRunning(cfg *config.Config, p *stream.Pipeline, run stream.Stages, level *slog.LevelVar) *running {
	r := &running{cfg: cfg, p: p, forward: run.Forward, collect: run.Collect, open: map[string]sink.Sink{}, level: level,
		part: p.Telemetry.Health().Part(stream.PartConfiguration)}
	for _, d := range p.Sinks {
		r.open[d.Name] = d.Sink
	}
	p.Telemetry.Rules(p.Judging().Digest)
	return r
}

// close closes the sinks, after the pipeline has ended.
func (r *running) close() (err error) {
	for _, s := range r.open {
		err = errors.Join(err, s.Close())
	}
	return err
}

// listen reloads the configuration on every SIGHUP, one after another, until stop is
// called, which waits for the last one.
func (r *running) listen(ctx context.Context, hup <-chan os.Signal) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.serve(ctx, hup)
	}()
	return func() {
		cancel()
		<-ended
	}
}

func (r *running) serve(ctx context.Context, hup <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
			r.reload(ctx)
		}
	}
}

// catchHangup has SIGHUP reload the configuration, instead of ending the process, until
// stop is called.
func catchHangup() (hup chan os.Signal, stop func()) {
	hup = make(chan os.Signal, 1) // one that waits stands for all
	signal.Notify(hup, syscall.SIGHUP)
	return hup, func() { signal.Stop(hup) }
}

// reload applies the configuration and its rules as their files are now, or refuses them
// as a whole, says why, and leaves everything as it was.
func (r *running) reload(ctx context.Context) {
	err := r.apply(ctx)
	if err != nil && ctx.Err() != nil {
		return // the pipeline ends
	}
	r.p.Telemetry.Reloaded(err == nil)
	if err != nil {
		r.part.Report(telemetry.ReloadRefused, "%v; the configuration from before the change runs on", err)
		r.p.Log.Error("the changed configuration is refused as a whole, and the one before runs on; correct it, and send "+
			"SIGHUP again", "error", err)
		return
	}
	r.part.Clear(telemetry.ReloadRefused)
	r.p.Log.Info("the configuration was read again", "rules", r.p.Judging().Digest, "sinks", len(r.open))
}

// apply changes the pipeline to the configuration in the file. It changes nothing before
// everything that can fail has succeeded.
func (r *running) apply(ctx context.Context) error {
	next, err := r.cfg.Reread()
	if err != nil {
		return err
	}
	next.Stages = r.cfg.Stages // also those of --stages
	if err := r.cfg.Reload(next); err != nil {
		return err
	}
	var rules *sigma.Rules
	if len(next.Rules.Sigma) > 0 {
		if rules, err = input.LoadRules(next.Rules.Sigma); err != nil {
			return err
		}
	}
	if r.forward {
		if err := r.changeSinks(ctx, next); err != nil {
			return err
		}
	}
	r.p.Judge(stream.NewJudging(rules, next.Detect.Allow))
	r.level.Set(next.Telemetry.Log.Level.Slog())
	r.cfg = next
	return nil
}

// changeSinks opens the sinks that are new or changed, ends those that are gone or
// changed, and starts the opened ones.
func (r *running) changeSinks(ctx context.Context, next *config.Config) (err error) {
	if never := neverRead(next); r.collect && len(next.Sources) > 0 && !slices.Equal(never, neverRead(r.cfg)) {
		return errors.New("sinks: the files that sinks write have changed, which stage collect must not read; " +
			"restart Keytrail")
	}
	ended, started := r.compare(next.Sinks)
	var opened []stream.Destination
	for _, s := range started {
		d, err := destination(s, r.p)
		if err != nil {
			for _, d := range opened {
				_ = d.Sink.Close() // it has taken nothing
			}
			i := slices.IndexFunc(next.Sinks, func(other config.Sink) bool { return other.Name == s.Name })
			return next.At(fmt.Sprintf("sinks[%d]", i), err)
		}
		opened = append(opened, d)
	}
	if err := r.p.Reforward(ctx, ended, opened); err != nil {
		for _, d := range opened {
			_ = d.Sink.Close() // it has taken nothing
		}
		return err
	}
	for _, name := range ended {
		if err := r.open[name].Close(); err != nil {
			r.p.Log.Warn("a sink that has ended cannot be closed", "sink", name, "error", err)
		}
		delete(r.open, name)
	}
	for _, d := range opened {
		r.open[d.Name] = d.Sink
	}
	return nil
}

// compare returns the names of the running sinks that end, and the sinks that start.
func (r *running) compare(next []config.Sink) (ended []string, started []config.Sink) {
	for _, was := range r.cfg.Sinks {
		i := slices.IndexFunc(next, func(s config.Sink) bool { return s.Name == was.Name })
		if i < 0 || !was.Same(&next[i]) {
			ended = append(ended, was.Name)
		}
	}
	for _, s := range next {
		i := slices.IndexFunc(r.cfg.Sinks, func(was config.Sink) bool { return s.Name == was.Name })
		if i < 0 || !s.Same(&r.cfg.Sinks[i]) {
			started = append(started, s)
		}
	}
	return ended, started
}

// processName names this process: its host and its process id.
func processName() string {
	host, err := os.Hostname()
	if err != nil || len(host) > 150 {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d", host, os.Getpid())
}
