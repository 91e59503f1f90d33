// Package cli is the command line: one file for each command, which reads flags, wires the
// parts together and prints. Machine output goes to standard output as OTLP/JSON, one
// LogsData object a line; tables and progress go to a terminal only; errors go to standard
// error.
//
// Exit codes: 0 done; 1 failed; 2 the command line or the configuration is wrong; 3 done, but
// some records went to the dead letter. When the reader of standard output closes it ("|
// head"), a command cleans up and ends silently with 0; output that cannot be written is a
// failure.
//
// To add a command, write its file and add it to the list in root; then "make generate"
// renews docs/cli.md.
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

	"github.com/spf13/cobra"

	"keytrail/processor/cli/flags"
	"keytrail/processor/cli/help"
	"keytrail/processor/cli/input"
	"keytrail/processor/report"
	"keytrail/processor/screen"
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
	stdout *screen.Output
	stderr *screen.Diagnostics
}

// The groups of commands in the help text.
const (
	groupAnalyze = "analyze"
	groupRun     = "run"
	groupTry     = "try"
	groupAbout   = "about"
)

// root returns the command line.
func (a *app) root() *cobra.Command {
	cobra.EnableCommandSorting = false // the help has them in the order of this list
	version := false
	root := &cobra.Command{
		Use:   "keytrail COMMAND [FLAGS] [ARGUMENTS]",
		Short: "Turn the audit trail of AWS KMS keys into counts and anomalies",
		Long: "Keytrail turns the audit trail of AWS KMS keys into exact counts per key, principal\n" +
			"and pair of both, and into anomalies.",
		Example: "keytrail demo                              # see it work, in under a minute\n" +
			"keytrail scan s3://my-trail/AWSLogs        # count and judge a trail\n" +
			"keytrail run -c keytrail.yaml              # do so all the time, over Kafka",
		SilenceErrors: true, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if version {
				return a.printVersion(false)
			}
			help.Text(a.stderr, cmd, screen.New(a.stderr, os.Getenv).Width)
			return usageError{}
		},
	}
	root.AddGroup(&cobra.Group{ID: groupAnalyze, Title: "Analyze trails"},
		&cobra.Group{ID: groupRun, Title: "Run the pipeline"},
		&cobra.Group{ID: groupTry, Title: "Try it out"}, &cobra.Group{ID: groupAbout, Title: "About"})
	root.AddCommand(a.scan(), a.usage(), a.reconcile(), a.explain(), a.normalize(), a.lookup(), a.serve(), a.replay(),
		a.config(), a.sinks(), a.deadLetter(), a.tap(), a.top(), a.web(), a.doctor(), a.rules(),
		a.demo(), a.generate(), a.schema(), a.completion(), a.docs(), a.version())
	root.Flags().BoolVar(&version, "version", false, "print the version")
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpCommand(a.help())
	root.InitDefaultHelpCmd()
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		help.Text(a.stdout, cmd, screen.New(a.stdout, os.Getenv).Width)
	})
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError{flags.Explain(cmd, err)} })
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	return root
}

// Main runs the command line and returns the exit code. SIGINT and SIGTERM, and SIGHUP
// except for "run", end a command gracefully; a second one ends the process.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // back to the default: the second signal kills
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	a := &app{ctx: ctx, stdin: stdin, stdout: screen.NewOutput(stdout, cancel), stderr: screen.NewDiagnostics(stderr)}
	defer a.stderr.Close()
	return a.exit(a.dispatch(args))
}

// dispatch runs the command that args name.
func (a *app) dispatch(args []string) error {
	root := a.root()
	if len(args) > 0 && strings.HasPrefix(args[0], cobra.ShellCompRequestCmd) { // from the script of a shell
		root.SetArgs(args)
		return root.Execute()
	}
	cmd, rest, err := root.Find(args)
	if err != nil {
		return unknownCommand(root, firstName(args))
	}
	if cmd.Name() != "run" {
		catchPipe() // run prints nothing itself, and a sink would try again forever
		defer a.catchClosedTerminal()()
	}
	if err := flags.SingleDash(cmd, rest); err != nil {
		return usageError{err}
	}
	root.SetArgs(append([]string{}, args...)) // nil would be those of the process
	return root.Execute()
}

// firstName returns the first argument that is not a flag.
func firstName(args []string) string {
	for _, arg := range args {
		if !strings.HasPrefix(arg, "-") {
			return arg
		}
	}
	return ""
}

// unknownCommand returns the error for a word that is not a command of parent, with
// suggestions.
func unknownCommand(parent *cobra.Command, word string) error {
	var names []string
	for _, c := range parent.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	hint := flags.DidYouMean("", word, names)
	if hint == "" {
		hint = "; the commands are " + strings.Join(names, ", ")
	}
	return usagef("unknown command %q%s; see %s --help", word, hint, parent.CommandPath())
}

// parent runs a command that only has subcommands.
func parent(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return unknownCommand(cmd, args[0])
	}
	var names []string
	for _, c := range cmd.Commands() {
		names = append(names, c.Name())
	}
	return usagef("%s needs %s; see %s --help", cmd.Name(), strings.Join(names, " or "), cmd.CommandPath())
}

// noArguments checks the arguments of a command that takes none.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s takes no arguments, not %q; see %s --help", cmd.Name(), args, cmd.CommandPath())
	}
	return nil
}

// needs checks the arguments of a command that needs at least one.
func needs(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usagef("%s needs %s; see %s --help", cmd.Name(), what, cmd.CommandPath())
		}
		return nil
	}
}

// usageError is an error of the command line or the configuration. Without a text nothing
// is printed.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exit reports err and returns its exit code. A failure of standard output takes
// precedence, because it ended the command.
func (a *app) exit(err error) int {
	a.stdout.Close()
	var usage usageError
	failed := a.stdout.Failed()
	switch {
	case errors.As(err, &usage):
		if usage.error != nil {
			fmt.Fprintf(a.stderr, "keytrail: %v\n", usage.error)
		}
		return exitUsage
	case errors.Is(failed, syscall.EPIPE):
		return exitOK // the reader has closed the pipe
	case failed != nil:
		err = fmt.Errorf("cannot write to standard output: %w", failed)
	case err == nil:
		return exitOK
	case errors.Is(err, input.ErrDead):
		return exitDead
	case errors.Is(err, context.Canceled) && a.ctx.Err() != nil:
		err = errors.New("interrupted")
	}
	fmt.Fprintf(a.stderr, "keytrail: %v\n", err)
	return exitError
}

// catchPipe makes writing to a closed pipe an error of the write. Without it the
// signal SIGPIPE ends the process on the spot, and its temporary files stay.
func catchPipe() { signal.Ignore(syscall.SIGPIPE) }

// catchClosedTerminal has SIGHUP, which a closed terminal sends, end the command as SIGTERM
// does, with its clean-up. Where the parent ignores it (nohup), the command goes on. It
// returns the function that undoes that.
func (a *app) catchClosedTerminal() (undo func()) {
	if signal.Ignored(syscall.SIGHUP) {
		return func() {}
	}
	ctx, stop := signal.NotifyContext(a.ctx, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // back to the default: the second signal kills
	a.ctx = ctx
	return stop
}

// input returns the Input of a command.
func (a *app) input() *input.Input {
	return &input.Input{Ctx: a.ctx, Stdin: a.stdin, Stdout: a.stdout, Stderr: a.stderr}
}

// auto is the output form that depends on the destination.
const auto = "auto"

// form returns the form for auto: a table on a terminal, JSON elsewhere. Tables fit the
// terminal from then on.
func (a *app) form(output string) string {
	if output == auto {
		output = report.JSON
		if screen.Terminal(a.stdout) {
			output = report.Table
		}
	}
	if output == report.Table {
		a.table()
	}
	return output
}

// table returns standard output for a table, which fits the terminal.
func (a *app) table() *screen.Output {
	a.stdout.FitTables(os.Getenv)
	return a.stdout
}
