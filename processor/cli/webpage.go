package cli

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"keytrail/processor/cli/flags"
	"keytrail/processor/config"
	"keytrail/processor/lockfile"
	"keytrail/processor/store"
	"keytrail/processor/stream"
	"keytrail/processor/telemetry"
)

// web is "keytrail web -c FILE".
func (a *app) web() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "web -c FILE", GroupID: groupRun,
		Short: "Serve the page",
		Long: "Serves the page of an installation until SIGINT or SIGTERM: stage web alone, apart from\n" +
			"the process that counts. It reads the topics and writes only its history\n" +
			"(web.path), which is filled again when it is deleted.",
		Example: "keytrail web -c keytrail.yaml",
		Args:    noArguments,
		RunE: func(*cobra.Command, []string) error {
			if file == "" {
				return usagef("web needs -c FILE; see keytrail web --help")
			}
			return a.runStages(file, []string{string(config.StageWeb)})
		},
	}
	flags.Config(cmd, &file, "configuration `FILE`")
	return cmd
}

// openPage opens the history and the address of stage web, and serves the page until the
// returned function is called. A failure ends stage web only: other stages run without it.
func openPage(ctx context.Context, cfg *config.Config, p *stream.Pipeline, run *stream.Stages) (end func(), err error) {
	end = func() {}
	if !run.Web {
		return end, nil
	}
	page, err := newPage(ctx, cfg, p)
	if err != nil && *run != (stream.Stages{Web: true}) {
		p.Telemetry.Health().Part("stage web").Report(telemetry.Failing, "%v", err)
		p.Log.Error("stage web does not run; the others do", "error", err)
		run.Web = false
		return end, nil
	}
	if err != nil {
		return end, err
	}
	ctx, stop := context.WithCancel(ctx)
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := page.serve(ctx); err != nil {
			p.Telemetry.Health().Part("page").Report(telemetry.Failing, "%v", err)
			p.Log.Error("the page has ended", "error", err)
		}
	}()
	return func() {
		stop()
		<-served
		page.close()
	}, nil
}

// servedPage is the page of an installation.
type servedPage struct {
	page
	lock  io.Closer
	serve func(context.Context) error
}

func (s *servedPage) close() {
	s.page.close()
	if s.lock != nil {
		s.lock.Close()
	}
}

func newPage(ctx context.Context, cfg *config.Config, p *stream.Pipeline) (s *servedPage, err error) {
	w := &cfg.Web
	s = &servedPage{}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	served := livePage(p)
	if served.Access, err = w.Access(ctx); err != nil {
		return s, err
	}
	if err = os.MkdirAll(filepath.Dir(w.Path), 0o700); err != nil {
		return s, fmt.Errorf("cannot make the folder of web.path: %w", err)
	}
	if s.lock, err = lockfile.Take(w.Path + ".lock"); err != nil {
		return s, fmt.Errorf("%w: another process serves this page's history; give each its own web.path", err)
	}
	if s.history, err = store.Open(w.Path, store.Limits{Retention: w.Retention, Bytes: int64(w.MaxBytes)}); err != nil {
		return s, err
	}
	if s.listener, err = w.Listener(); err != nil {
		return s, err
	}
	p.History = s.history
	s.serve = func(ctx context.Context) error { return s.page.serve(ctx, served) }
	scheme := "http"
	if w.CertFile != "" {
		scheme = "https"
	}
	at := s.listener.Addr().String()
	if to, ok := s.listener.Addr().(*net.TCPAddr); ok && to.IP.IsUnspecified() {
		at = net.JoinHostPort("localhost", strconv.Itoa(to.Port)) // an address that a browser can open
	}
	p.Log.Info("the page is served", "url", scheme+"://"+at+"/", "history", w.Path)
	return s, nil
}
