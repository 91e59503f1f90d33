// Package cli is the command line: it reads flags, wires the parts together and
// prints. Machine output goes to standard output as OTLP/JSON, one LogsData
// object a line; tables and progress go to a terminal only; errors go to
// standard error.
//
// Exit codes: 0 done; 1 failed; 2 the command line or the configuration is
// wrong; 3 done, but some records went to the dead letter.
package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
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
	stdout io.Writer
	stderr io.Writer
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
		{"normalize", "PATHS", "print every event as an OpenTelemetry log record", (*app).normalize},
		{"run", "-c FILE", "run the stages over Kafka", (*app).serve},
		{"generate", "--out DIR", "write labelled synthetic CloudTrail files", (*app).generate},
		{"config", "check|print -c FILE", "check a configuration, or print it in full", (*app).config},
		{"schema", "[EVENT]", "print the JSON Schema of an event's log record", (*app).schema},
		{"version", "", "print the version", (*app).version},
	}
}

// Main runs the command line and returns the exit code. SIGINT and SIGTERM end
// a command gracefully; a second one ends the process.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // back to the default: the second signal kills
	a := &app{ctx: ctx, stdin: stdin, stdout: stdout, stderr: stderr}
	if len(args) == 0 {
		a.help(stderr)
		return exitUsage
	}
	switch args[0] {
	case "help", "-h", "--help":
		a.help(stdout)
		return exitOK
	}
	names := []string{}
	for _, c := range commands() {
		if c.name == args[0] {
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

// fail reports err and returns the exit code for it.
func (a *app) fail(err error) int {
	if errors.Is(err, context.Canceled) && a.ctx.Err() != nil {
		a.errorf("interrupted")
		return exitError
	}
	a.errorf("%v", err)
	return exitError
}

// flags returns a flag set that prints its errors and its help to standard
// error, in the form of the other messages.
func (a *app) flags(name, args, about string) *flag.FlagSet {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(a.stderr)
	f.Usage = func() {
		fmt.Fprintf(a.stderr, "Usage: keytrail %s %s\n\n%s\n\n", name, args, about)
		f.PrintDefaults()
	}
	return f
}

// parse parses args into f, flags and arguments in any order, and returns the
// arguments; done tells that the command ends here, with the exit code.
func (a *app) parse(f *flag.FlagSet, args []string) (rest []string, code int, done bool) {
	for {
		switch err := f.Parse(args); {
		case errors.Is(err, flag.ErrHelp):
			return nil, exitOK, true
		case err != nil:
			return nil, exitUsage, true
		}
		if f.NArg() == 0 {
			return rest, exitOK, false
		}
		rest = append(rest, f.Arg(0))
		args = f.Args()[1:]
	}
}

// terminal tells whether w is a terminal, where a person reads.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0 && st.Name() != os.DevNull
}
