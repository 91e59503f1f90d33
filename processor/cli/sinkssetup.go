package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"keytrail/processor/cli/flags"
	"keytrail/processor/sink/search"
)

// sinksSetup is "keytrail sinks setup NAME -c FILE".
func (a *app) sinksSetup() *cobra.Command {
	var file string
	var apply bool
	setup := &cobra.Command{
		Use: "setup NAME -c FILE [--apply]", Short: "Install the templates, policies and searches of a sink",
		Long: "Installs what a sink of the type elasticsearch or opensearch needs at its receiver:\n" +
			"index templates with a mapping for every attribute, policies that delete old indices,\n" +
			"and searches. Without --apply it changes nothing and prints the requests that it would\n" +
			"send. It leaves existing indices as they are.",
		Example: "keytrail sinks setup -c keytrail.yaml siem            # what it would change\n" +
			"keytrail sinks setup -c keytrail.yaml --apply siem",
		Args: needs("the name of a sink"),
		RunE: func(_ *cobra.Command, names []string) error {
			if file == "" || len(names) > 1 {
				return usagef("sinks setup needs -c FILE and one NAME; see keytrail sinks setup --help")
			}
			return a.setupSink(file, names[0], apply)
		},
	}
	flags.Config(setup, &file, "configuration `FILE`")
	setup.Flags().BoolVar(&apply, "apply", false, "make the changes")
	return setup
}

// planner is a type of sinks whose receiver can be set up.
type planner interface {
	Plan(context.Context) (*search.Setup, error)
}

// setupSink prints what a sink's receiver lacks, and installs it if apply is set.
func (a *app) setupSink(file, name string, apply bool) (err error) {
	_, to, err := a.sinkOf(file, name)
	if err != nil {
		return err
	}
	by, ok := to.To.(planner)
	if !ok {
		return usagef("sink %q has the type %s, which needs no setup", name, to.Type)
	}
	plan, err := by.Plan(a.ctx)
	if err != nil {
		return fmt.Errorf("sink %q: %w", name, err)
	}
	defer func() {
		if failed := plan.Close(); err == nil {
			err = failed
		}
	}()
	fmt.Fprintf(a.stderr, "sink %q: the receiver is %s\n", name, plan.Receiver)
	for _, note := range plan.Notes {
		fmt.Fprintln(a.stderr, note)
	}
	for i := range plan.Changes {
		c := &plan.Changes[i]
		fmt.Fprintf(a.stdout, "PUT %s\n", c.Path)
		if c.New {
			fmt.Fprintf(a.stdout, "%s\n\n", c.Body())
			continue
		}
		fmt.Fprintf(a.stdout, "  %s\n\n", strings.Join(c.Lines, "\n  "))
	}
	switch {
	case len(plan.Changes) == 0:
		fmt.Fprintln(a.stderr, "the receiver has everything; nothing to change")
	case !apply:
		fmt.Fprintf(a.stderr, "%d changes are not made; make them with --apply\n", len(plan.Changes))
	default:
		if err := plan.Apply(a.ctx); err != nil {
			return fmt.Errorf("sink %q: %w", name, err)
		}
		fmt.Fprintf(a.stderr, "%d changes are made; indices that exist keep their mapping\n", len(plan.Changes))
	}
	return nil
}
