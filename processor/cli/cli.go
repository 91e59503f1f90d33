// Package cli is the command line: it reads flags, wires the parts together and
// prints. Machine output goes to standard output as OTLP/JSON, one LogsData
// object a line; tables and progress go to a terminal only; errors go to
// standard error.
//
// Exit codes: 0 done; 1 failed; 2 the command line or the configuration is
// wrong; 3 done, but some records went to the dead letter. A reader of standard
// output that has seen enough ("| head") ends a command quietly with 0, after it
// has cleaned up; output that cannot be written is a failure.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"keytrail/processor/source/aws/client"
)

// The exit codes.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
	exitDead  = 3
)

// app is one run of the command line.
type app struct {
	ctx    context.Context
	stdin  io.Reader
	stdout *output
	stderr *diagnostics
	aws    client.Config // as the command's flags say
	writes []string      // files that the command, or the installation that it serves, writes to
}

// command is one subcommand.
type command struct {
	name, args, brief string
	run               func(a *app, args []string) int
}

// commands are all of them, in the order of the help text.
func commands() []command {
	return []command{
		{"demo", "", "the whole pipeline in one process, on made-up trails with attacks in them", (*app).demo},
		{"scan", "PATHS", "count and judge CloudTrail files without a broker", (*app).scan},
		{"explain", "ID --from FILE", "show one anomaly with the windows around it, from output of scan or from Kafka", (*app).explain},
		{"usage", "--key ARN PATHS", "show who used a KMS key when and how often", (*app).usage},
		{"normalize", "PATHS", "print every event as an OpenTelemetry log record", (*app).normalize},
		{"run", "-c FILE", "run the stages over Kafka", (*app).serve},
		{"replay", "-c FILE PATHS", "put CloudTrail files into Kafka", (*app).replay},
		{"generate", "--out DIR", "write labelled synthetic CloudTrail files", (*app).generate},
		{"lookup", "--attribute NAME=VALUE", "print events of CloudTrail's event history as log records", (*app).lookup},
		{"config", "check|print -c FILE", "check a configuration, or print it in full", (*app).config},
		{"rules", "check DIR", "check rules in Sigma form, and try them on a sample", (*app).rules},
		{"schema", "[FORM]", "print the log schema: attributes, JSON Schemas, the mapping of fields", (*app).schema},
		{"version", "", "print the version", (*app).version},
	}
}

// Main runs the command line and returns the exit code. SIGINT and SIGTERM end
// a command gracefully; a second one ends the process.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // back to the default: the second signal kills
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	a := &app{ctx: ctx, stdin: stdin, stdout: newOutput(stdout, cancel), stderr: &diagnostics{w: stderr}}
	defer a.stderr.close()
	return a.finish(a.dispatch(args))
}

// dispatch runs the command that args name.
func (a *app) dispatch(args []string) int {
	if len(args) == 0 {
		a.help(a.stderr)
		return exitUsage
	}
	switch args[0] {
	case "help", "-h", "--help":
		a.help(a.stdout)
		return exitOK
	}
	names := []string{}
	for _, c := range commands() {
		if c.name == args[0] {
			if c.name != "run" {
				catchPipe() // run prints nothing itself, and a sink would try again forever
			}
			return c.run(a, args[1:])
		}
		names = append(names, c.name)
	}
	a.errorf("unknown command %q; the commands are %s", args[0], strings.Join(names, ", "))
	return exitUsage
}

func (a *app) help(w io.Writer) {
	fmt.Fprint(w, "keytrail turns the audit trail of AWS KMS keys into counts and anomalies.\n\nUsage: keytrail COMMAND [FLAGS] [ARGUMENTS]\n\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-30s %s\n", strings.TrimSpace(c.name+" "+c.args), c.brief)
	}
	fmt.Fprint(w, "\n\"keytrail COMMAND -h\" tells a command's flags.\n")
}

func (a *app) errorf(format string, args ...any) {
	fmt.Fprintf(a.stderr, "keytrail: "+format+"\n", args...)
}

// fail reports err and returns the exit code for it. What happened to standard
// output comes first: it is why the command was ended.
func (a *app) fail(err error) int {
	switch failed := a.stdout.failed(); {
	case errors.Is(failed, syscall.EPIPE):
		return exitOK // whoever read it has seen enough
	case failed != nil:
		err = fmt.Errorf("cannot write to standard output: %w", failed)
	case errors.Is(err, context.Canceled) && a.ctx.Err() != nil:
		err = errors.New("interrupted")
	}
	a.errorf("%v", err)
	return exitError
}

// finish turns the exit code of a command that knows of no failure into one,
// where its output was lost.
func (a *app) finish(code int) int {
	a.stdout.close()
	if failed := a.stdout.failed(); failed != nil && (code == exitOK || code == exitDead) {
		return a.fail(failed)
	}
	return code
}

// catchPipe makes writing to a closed pipe an error of the write. Without it the
// signal SIGPIPE ends the process on the spot, and its temporary files stay.
func catchPipe() { signal.Ignore(syscall.SIGPIPE) }

// terminal tells whether w is a terminal, where a person reads.
func terminal(w io.Writer) bool {
	f, ok := underlying(w).(*os.File)
	if !ok {
		return false
	}
	st, err := f.Stat()
	if err != nil || st.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull) // a character device too, and nobody reads it
	return err != nil || !os.SameFile(st, null)
}
