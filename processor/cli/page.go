package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"keytrail/processor/anomaly"
	"keytrail/processor/cli/input"
	"keytrail/processor/read"
	"keytrail/processor/scan"
	"keytrail/processor/source"
	"keytrail/processor/store"
	"keytrail/processor/stream"
	"keytrail/processor/web"
	"keytrail/processor/window"
	"keytrail/schemas/cloud"
	"keytrail/schemas/decoding"
	"keytrail/schemas/otellog"
)

// page is the page that a command serves, and its history.
type page struct {
	listen   string
	dir      string // of a history that ends with the command; "" for another
	history  *store.Store
	listener net.Listener
}

// The port on which the page is served unless it is taken.
const pageAddress = "127.0.0.1:8321"

// flag registers --listen.
func (p *page) flag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.listen, "listen", "", "`ADDRESS` of the page on this machine; by default "+pageAddress+
		", or a free port")
}

// open listens, and opens a history that ends with the command.
func (p *page) open() (err error) {
	address := p.listen
	if address == "" {
		address = pageAddress
	}
	p.listener, err = web.Listen(address)
	if err != nil && p.listen == "" {
		p.listener, err = web.Listen("127.0.0.1:0")
	}
	if err != nil {
		return usageError{err}
	}
	if p.dir, err = os.MkdirTemp("", "keytrail-page-"); err != nil {
		return fmt.Errorf("cannot create a temporary directory for the page's history: %w", err)
	}
	limits := store.DefaultLimits()
	limits.Retention = scannedRetention
	p.history, err = store.Open(filepath.Join(p.dir, "history.db"), limits)
	return err
}

// scannedRetention keeps whatever a scan has read: a hundred years.
const scannedRetention = 100 * 365 * 24 * time.Hour

// url returns the address to open in a browser.
func (p *page) url() string { return "http://" + p.listener.Addr().String() + "/" }

// close removes the history that ends with the command.
func (p *page) close() {
	if p.listener != nil {
		p.listener.Close()
	}
	if p.history != nil {
		p.history.Close()
	}
	if p.dir != "" {
		os.RemoveAll(p.dir)
	}
}

// serve serves the page until ctx is done.
func (p *page) serve(ctx context.Context, cfg web.Config) error {
	cfg.Store = p.history
	s, err := web.New(cfg)
	if err != nil {
		return err
	}
	return s.Serve(ctx, p.listener)
}

// livePage returns what a page needs of the pipeline that fills its history.
func livePage(p *stream.Pipeline) web.Config {
	return web.Config{Live: true, Log: p.Log, Event: p.Event, Pipeline: func() any {
		parts, ready := p.Telemetry.Health().States()
		return map[string]any{"parts": parts, "ready": ready, "installation": p.Status.Installation(time.Now())}
	}}
}

// serve reads the paths into the page's history and serves it until the command is
// interrupted.
func (s *scanning) serve(paths []string) error {
	defer s.page.close()
	if err := s.page.open(); err != nil {
		return err
	}
	objects := numbered{of: map[string]int64{}}
	s.cfg.Event = func(from *decoding.Origin, rec *otellog.Record) error {
		err := s.page.history.AddEvent(rec, store.Place{Object: objects.number(from.Object), Offset: int64(from.Index)})
		if err != nil || s.page.history.Pending() < pageRecords {
			return err
		}
		return s.page.history.Commit(s.ctx)
	}
	s.cfg.Ended = func(rec *otellog.Record) { s.page.history.Add(rec) } // open, it was added without an error
	sc := scan.New(s.cfg)
	defer sc.Close()
	stop := s.progress(sc)
	err := sc.Read(s.ctx, objects.count(s.in.Objects(paths)))
	stop()
	if err != nil {
		return err
	}
	totals, err := s.remember(sc)
	if err != nil {
		return err
	}
	s.summary(totals)
	fmt.Fprintf(s.stdout, "The page is at %s until Ctrl-C.\n", s.page.url())
	return s.page.serve(s.ctx, web.Config{Title: strings.Join(paths, " "), Log: slog.New(slog.NewTextHandler(s.stderr,
		nil)),
		Event: func(ctx context.Context, at store.Place) (*otellog.Record, error) {
			return readAgain(ctx, s.in, s.cfg.Read, objects.name(at.Object), at.Offset)
		},
		Pipeline: func() any { return map[string]any{"scan": totals} }})
}

// pageRecords is the number of records of one commit.
const pageRecords = 20_000

// remember puts windows and anomalies into the page's history.
func (s *scanning) remember(sc *scan.Scanner) (scan.Totals, error) {
	var rec otellog.Record
	now := s.cfg.Now.UnixNano()
	history := s.page.history
	add := func(a *anomaly.Anomaly) error {
		anomaly.AnomalyRecord(&rec, a, now)
		return history.Add(&rec)
	}
	totals, err := sc.Finish(func(r *window.Result) error {
		anomaly.WindowRecord(&rec, r.Window, s.cfg.Detect.Size, now)
		err := history.Add(&rec)
		for i := range r.Anomalies {
			if err == nil {
				err = add(&r.Anomalies[i])
			}
		}
		s.shownWindows++
		s.shownAnomalies += len(r.Anomalies)
		if err != nil || history.Pending() < pageRecords {
			return errors.Join(err, s.ctx.Err())
		}
		return history.Commit(s.ctx)
	})
	sc.Correlated(func(c *anomaly.Anomaly) {
		totals.Anomalies++
		err = errors.Join(err, add(c))
	})
	return totals, errors.Join(err, history.Commit(s.ctx))
}

// numbered gives objects the number of their place in the input.
type numbered struct {
	mu    sync.Mutex
	of    map[string]int64
	names []string
}

// count numbers the objects of a sequence.
func (n *numbered) count(objects iter.Seq2[source.Object, error]) iter.Seq2[source.Object, error] {
	return func(yield func(source.Object, error) bool) {
		for o, err := range objects {
			n.mu.Lock()
			n.of[o.Name] = int64(len(n.names))
			n.names = append(n.names, o.Name)
			n.mu.Unlock()
			if !yield(o, err) {
				return
			}
		}
	}
}

func (n *numbered) number(name string) int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.of[name]
}

// name returns the name of an object, "" for an unknown number.
func (n *numbered) name(number int64) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if number < 0 || number >= int64(len(n.names)) {
		return ""
	}
	return n.names[number]
}

// errRead ends the reading of an object.
var errRead = errors.New("the record was found")

// readAgain reads one record of an object again.
func readAgain(ctx context.Context, in *input.Input, options cloud.Options, name string,
	index int64) (*otellog.Record, error) {
	if name == "" || name == source.Stdin {
		return nil, errors.New("standard input can be read only once; scan a file to see its events")
	}
	path := name
	if archive, _, inside := strings.Cut(name, "!"); inside {
		if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
			path = archive
		}
	}
	var found *otellog.Record
	var counts read.Counts
	r := read.NewRecords(read.Config{Options: options, Counts: &counts,
		Record: func(_ context.Context, from *decoding.Origin, rec *otellog.Record) error {
			if int64(from.Index) != index {
				return nil
			}
			found = &otellog.Record{}
			if err := found.Decode(otellog.AppendRequest(nil, rec)); err != nil { // rec's strings are the reader's
				return err
			}
			return errRead
		},
		Dead: func(context.Context, *decoding.BadRecord) error { return nil }})
	for o, err := range in.Objects([]string{path}) {
		if err != nil {
			return nil, err
		}
		if o.Name != name {
			continue
		}
		if err := r.Object(ctx, o); err != nil && !errors.Is(err, errRead) {
			return nil, err
		}
	}
	if found == nil {
		return nil, fmt.Errorf("%s has no record %d any longer: it has changed since it was scanned", name, index)
	}
	return found, nil
}
