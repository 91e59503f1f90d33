package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"time"

	"keytrail/processor/config"
	"keytrail/processor/sink"
	"keytrail/processor/source/feed"
	"keytrail/processor/stream"
)

// openSources locks and opens the sources of a process that collects. release gives the locks
// back; call it after the pipeline has ended, also after an error.
func openSources(ctx context.Context, cfg *config.Config, p *stream.Pipeline, run stream.Stages) (release func(),
	err error) {
	var locks []io.Closer
	release = func() {
		for _, l := range locks {
			l.Close()
		}
	}
	if !run.Collect {
		return release, nil
	}
	never := neverRead(cfg)
	for i := range cfg.Sources {
		s := &cfg.Sources[i]
		lock, err := lockSource(s)
		if err != nil {
			return release, fmt.Errorf("source %q: %w", s.Name, err)
		}
		if lock != nil {
			locks = append(locks, lock)
		}
		log := p.Log.With("stage", "collect", "source", s.Name)
		c := s.Feed(never, time.Now())
		f, err := feed.Open(context.WithoutCancel(ctx), c, sayTo(log))
		if err != nil {
			return release, fmt.Errorf("source %q: %w", s.Name, err)
		}
		p.Sources = append(p.Sources, stream.Source{Name: s.Name, Kind: c.Kind, Feed: f, Interval: c.PollInterval,
			Readers: s.Readers, Self: readerOf(ctx, c, log)})
	}
	return release, nil
}

// lockSource takes the lock of a source's checkpoint, nil for a queue.
func lockSource(s *config.Source) (io.Closer, error) {
	path := s.CheckpointPath()
	lock, err := feed.Lock(path)
	if err != nil {
		return nil, fmt.Errorf("%w; the folder %q must exist and be writable, and only one process may run stage collect: "+
			"run the others with --stages normalize,count,detect,forward", err, filepath.Dir(path))
	}
	return lock, nil
}

// neverRead returns the files that this installation writes, which no source reads.
func neverRead(cfg *config.Config) (list []string) {
	for i := range cfg.Sources {
		if path := cfg.Sources[i].CheckpointPath(); path != "" {
			list = append(list, path, path+".lock")
		}
	}
	for _, s := range cfg.Sinks {
		if path := s.To.Output(); path != "" && path != sink.Stdout {
			list = append(list, path)
		}
	}
	return list
}

// readerOf returns the principal that reads a source from AWS: its reads of an encrypted trail
// are the collector's own. Without an answer they are not marked.
func readerOf(ctx context.Context, c feed.Config, log *slog.Logger) []string {
	if c.Kind == feed.File {
		return nil
	}
	arn, err := feed.Caller(ctx, c.AWS)
	if err != nil {
		log.Warn("reads by the collector itself are not marked, unless self_principals names it", "error", err)
		return nil
	}
	log.Info("reads of encrypted trails are marked as the collector's own", "principal", arn)
	return []string{arn}
}

// sayTo returns a feed.Say that logs.
func sayTo(log *slog.Logger) feed.Say {
	return func(warn bool, format string, args ...any) {
		level := slog.LevelInfo
		if warn {
			level = slog.LevelWarn
		}
		log.Log(context.Background(), level, fmt.Sprintf(format, args...))
	}
}
