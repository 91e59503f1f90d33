package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"keytrail/processor/cli/flags"
	"keytrail/processor/config"
	"keytrail/processor/kafka"
	"keytrail/processor/report"
	"keytrail/processor/status"
	"keytrail/processor/stream"
	"keytrail/schemas/printable"
)

// The severities of findings.
const (
	sevOK      = "ok"
	sevWarning = "warning"
	sevError   = "error"
	sevSkipped = "skipped"
)

// finding is one result of "keytrail doctor".
type finding struct {
	Check    string `json:"check"`
	Severity string `json:"severity"`
	Detail   string `json:"detail"`
	Advice   string `json:"advice,omitempty"`
}

// doctor is "keytrail doctor -c FILE".
func (a *app) doctor() *cobra.Command {
	d := &examining{app: a}
	cmd := &cobra.Command{
		Use: "doctor -c FILE [FLAGS]", GroupID: groupRun,
		Short: "Examine brokers, sinks, processes and this machine",
		Long: "Examines what a configuration needs: the brokers' versions, transactions, topics and their\n" +
			"settings, access lists and the brokers' clock; the addresses of sinks; certificates; what\n" +
			"AWS allows to sources; the processes that publish their status; file descriptors and\n" +
			"memory limits of this machine. Each finding has a severity and says what to do. With\n" +
			"--sinks it also sends a marked record to each sink, as \"keytrail sinks test\" does. The\n" +
			"exit code is 1 when something cannot work.",
		Example: "keytrail doctor -c keytrail.yaml\nkeytrail doctor -c keytrail.yaml --sinks -o json",
		Args:    noArguments,
		RunE:    func(*cobra.Command, []string) error { return d.run() },
	}
	flags.Config(cmd, &d.file, "configuration `FILE`")
	flags.Output(cmd, &d.output, "form of the output; auto is a table on a terminal, JSON elsewhere", auto, report.JSON,
		report.Table)
	cmd.Flags().BoolVar(&d.sinks, "sinks", false, "send a marked record to each sink")
	return cmd
}

// examining is one run of "keytrail doctor".
type examining struct {
	*app
	file, output string
	sinks        bool
	list         []finding
}

func (d *examining) add(check, severity, detail, advice string) {
	d.list = append(d.list, finding{check, severity, detail, advice})
}

// doctorTimeout bounds the whole examination without sinks.
const doctorTimeout = time.Minute

func (d *examining) run() error {
	if d.file == "" {
		return usagef("doctor needs -c FILE; see keytrail doctor --help")
	}
	cfg, err := d.load(d.file)
	if err == nil && cfg.Kafka.Embedded {
		err = errors.New("doctor needs a Kafka that stays: kafka.embedded is true")
	}
	if err != nil {
		return usageError{err}
	}
	ctx, cancel := context.WithTimeout(d.ctx, doctorTimeout)
	defer cancel()
	p := d.surroundings(ctx, cfg)
	d.processes(ctx, p)
	d.machine()
	return d.print(cfg)
}

// surroundings examines what the configuration names: Kafka, sinks and sources.
func (d *examining) surroundings(ctx context.Context, cfg *config.Config) *stream.Pipeline {
	p := newPipeline(cfg, cfg.Kafka.Brokers, nil, slog.New(slog.DiscardHandler))
	for _, s := range cfg.Sinks {
		p.Sinks = append(p.Sinks, stream.Destination{Name: s.Name, ID: s.ID, Events: s.Take.Events,
			Anomalies: s.Take.Anomalies, Incidents: s.Take.Incidents})
	}
	p.Examine(ctx, stageSet(cfg.Stages), d.found)
	d.peers(ctx, cfg)
	d.tokens(cfg)
	d.sources(ctx, cfg)
	return p
}

// found adds a finding about Kafka or a certificate.
func (d *examining) found(f kafka.Finding) {
	grades := map[kafka.Grade]string{kafka.Good: sevOK, kafka.Risky: sevWarning, kafka.Broken: sevError}
	d.add(f.Check, grades[f.Grade], f.Detail, f.Advice)
}

// processes reports what the processes of the installation have published.
func (d *examining) processes(ctx context.Context, p *stream.Pipeline) {
	in, err := p.Installation(ctx)
	if err != nil {
		d.add("processes", sevWarning, fmt.Sprintf("the status of processes cannot be read: %v", err),
			"see the findings above")
		return
	}
	if len(in.Processes) == 0 {
		d.add("processes", sevWarning, "no process has published its status", "start keytrail run")
	}
	versions := map[string]bool{}
	for _, m := range in.Processes {
		if m.Stale {
			d.add("processes", sevWarning, fmt.Sprintf("process %s on %s last reported %s", m.ID, m.Host, reportedAt(m)),
				"look whether it still runs; its record ends after a day")
			continue
		}
		versions[m.Version] = true
		d.add("processes", sevOK, fmt.Sprintf("process %s on %s, version %s, reports", m.ID, m.Host, m.Version), "")
	}
	if len(versions) > 1 {
		d.add("processes", sevWarning, fmt.Sprintf("the processes have %d versions", len(versions)), "finish the upgrade")
	}
	if differ := in.DifferentRules(); differ != "" {
		d.add("processes", sevWarning, differ, "give all processes the same rules, and reload them")
	}
	for _, w := range append(in.Stages, in.Sinks...) {
		switch {
		case w.Sink == status.Paused || w.State == status.Stop || w.State == status.Stall || w.State == status.Rewind:
			d.add("progress", sevError, fmt.Sprintf("%s: %s %s %s", w.Name, w.State, w.Sink, w.Cause),
				"resolve its trouble below; docs/runbook.md has an entry per alert")
		case w.State == status.Warning || w.Sink == status.Retrying:
			d.add("progress", sevWarning, fmt.Sprintf("%s: %s %s", w.Name, w.State, w.Sink), "see its trouble below")
		}
	}
	for _, line := range in.Troubles() {
		d.add("troubles", sevWarning, line, "docs/operations.md, \"Health\", explains the conditions")
	}
}

func reportedAt(m status.Member) string { return m.At.UTC().Format(time.RFC3339) }

// tokens sends a marked record to each sink.
func (d *examining) tokens(cfg *config.Config) {
	for _, s := range cfg.Sinks {
		if !d.sinks {
			d.add("sinks", sevSkipped, fmt.Sprintf("sink %s is not tried", s.Name), "run keytrail sinks test "+s.Name)
			continue
		}
		if _, took, err := d.tryTest(cfg, s); err != nil {
			d.add("sinks", sevError, err.Error(), "resolve the receiver's answer, and run keytrail sinks test "+s.Name)
		} else {
			d.add("sinks", sevOK, fmt.Sprintf("sink %s took a marked record in %v", s.Name, took), "")
		}
	}
}

// leastFiles is how many file descriptors a process with many partitions and sinks may need.
const leastFiles = 4096

// machine reports limits of this machine, as they apply to this process.
func (d *examining) machine() {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err == nil && files.Max < leastFiles {
		d.add("files", sevWarning, fmt.Sprintf("a process may open %d files", files.Max),
			fmt.Sprintf("raise the limit to %d (ulimit -Hn, LimitNOFILE of systemd)", leastFiles))
	} else if err == nil {
		d.add("files", sevOK, fmt.Sprintf("a process may open %d files", files.Max), "")
	}
	group, soft := memoryMax(), debug.SetMemoryLimit(-1)
	switch {
	case group == 0:
		d.add("memory", sevOK, "no cgroup limits the memory", "")
	case os.Getenv("GOMEMLIMIT") == "":
		d.add("memory", sevWarning, fmt.Sprintf("the cgroup allows %d MB, and GOMEMLIMIT is not set", group/1e6),
			fmt.Sprintf("set GOMEMLIMIT=%dMiB, 90 %% of it", group*9/10>>20))
	case soft > group*95/100:
		d.add("memory", sevError, fmt.Sprintf("GOMEMLIMIT is %d MB, and the cgroup kills at %d MB", soft/1e6, group/1e6),
			fmt.Sprintf("set GOMEMLIMIT=%dMiB, 90 %% of it", group*9/10>>20))
	default:
		d.add("memory", sevOK, fmt.Sprintf("GOMEMLIMIT is %d MB, and the cgroup allows %d MB", soft/1e6, group/1e6), "")
	}
}

// memoryMax returns the least memory limit of this process's cgroup (version 2) and those
// above it, in bytes; 0 without one.
func memoryMax() (least int64) {
	text, err := os.ReadFile("/proc/self/cgroup")
	_, name, ok := strings.Cut(strings.TrimSpace(string(text)), "0::")
	if err != nil || !ok {
		return 0
	}
	for dir := filepath.Clean("/" + name); ; dir = filepath.Dir(dir) {
		limit, _ := os.ReadFile(filepath.Join("/sys/fs/cgroup", dir, "memory.max"))
		if n, err := strconv.ParseInt(strings.TrimSpace(string(limit)), 10, 64); err == nil && (least == 0 || n < least) {
			least = n
		}
		if dir == "/" {
			return least
		}
	}
}

// errDoctor is the error of an examination that found something that cannot work.
var errDoctor = errors.New("the installation cannot work as it is")

// print prints the findings, without secrets.
func (d *examining) print(cfg *config.Config) error {
	failed := 0
	table := d.form(d.output) == report.Table
	t := tabwriter.NewWriter(d.stdout, 0, 0, 2, ' ', 0)
	if table {
		fmt.Fprintln(t, "SEVERITY\tCHECK\tFINDING")
	}
	for _, f := range d.list {
		f.Detail, f.Advice = cfg.Secrets().Clean(f.Detail), cfg.Secrets().Clean(f.Advice)
		if f.Severity == sevError {
			failed++
		}
		if !table {
			b, err := json.Marshal(f)
			if err != nil {
				return err
			}
			fmt.Fprintf(d.stdout, "%s\n", b)
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", f.Severity, f.Check, printable.Text(f.Detail))
		if f.Advice != "" {
			fmt.Fprintf(t, "\t\t-> %s\n", printable.Text(f.Advice))
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%w: %d findings are errors", errDoctor, failed)
	}
	return nil
}
