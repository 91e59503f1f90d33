package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"keytrail/processor/cli/flags"
	"keytrail/processor/config"
	"keytrail/processor/report"
)

// config is "keytrail config check|print -c FILE".
func (a *app) config() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "config COMMAND [FLAGS]", GroupID: groupRun,
		Short: "Check a configuration, or print it in full",
		Long: "Checks a configuration and the rules that it names, or prints it with every default\n" +
			"filled in and secrets left out.",
		Example: "keytrail config print >keytrail.yaml         # a file to begin with\n" +
			"keytrail config check -c keytrail.yaml",
		RunE: parent,
	}
	cmd.PersistentFlags().StringVarP(&file, "config", "c", "", "configuration `FILE`")
	if err := cmd.MarkPersistentFlagFilename("config", "yaml", "yml"); err != nil {
		panic("BUG: " + err.Error())
	}
	cmd.AddCommand(a.configCheck(&file), &cobra.Command{
		Use: "print [-c FILE]", Short: "Print a configuration with every default filled in", Args: noArguments,
		Long: "Prints a configuration with every default filled in and secrets left out. Without -c it\n" +
			"prints the defaults.",
		Example: "keytrail config print -c keytrail.yaml",
		RunE: func(*cobra.Command, []string) (err error) {
			cfg := config.Default()
			if file != "" {
				if cfg, err = a.load(file); err != nil {
					return usageError{err}
				}
			}
			return cfg.Print(a.stdout)
		},
	}, &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of configurations", Args: noArguments,
		Long: "Prints the JSON Schema of configurations, with which an editor completes and checks\n" +
			"settings. config check also checks what a schema cannot say.",
		Example: "keytrail config schema >keytrail.schema.json",
		RunE:    func(*cobra.Command, []string) error { return config.Schema(a.stdout) },
	})
	return cmd
}

// configCheck is "keytrail config check -c FILE".
func (a *app) configCheck(file *string) *cobra.Command {
	d := &examining{app: a}
	var online bool
	cmd := &cobra.Command{
		Use: "check -c FILE [FLAGS]", Short: "Check a configuration and its rules", Args: noArguments,
		Long: "Checks a configuration and the rules that it names. Each problem is a line with the\n" +
			"setting, its value, and what to write instead.\n\n" +
			"With --online it also tries what the configuration names, as far as that changes nothing:\n" +
			"brokers, topics, access lists, addresses and certificates of sinks, and what AWS allows to\n" +
			"sources. The exit code is 1 when something cannot work. \"keytrail doctor\" also examines\n" +
			"what runs.",
		Example: "keytrail config check -c keytrail.yaml\nkeytrail config check -c keytrail.yaml --online",
		RunE: func(*cobra.Command, []string) error {
			if *file == "" {
				return usagef("config check needs -c FILE; see keytrail config check --help")
			}
			cfg, err := a.load(*file)
			if err == nil && len(cfg.Rules.Sigma) > 0 {
				_, err = a.input().Rules(cfg.Rules.Sigma)
			}
			if err == nil && online && cfg.Kafka.Embedded {
				err = errors.New("--online needs a Kafka that stays: kafka.embedded is true")
			}
			if err != nil {
				return usageError{err}
			}
			if !online {
				fmt.Fprintf(a.stdout, "%s is valid\n", *file)
				return nil
			}
			ctx, cancel := context.WithTimeout(a.ctx, doctorTimeout)
			defer cancel()
			d.surroundings(ctx, cfg)
			return d.print(cfg)
		},
	}
	cmd.Flags().BoolVar(&online, "online", false, "try brokers, topics, sinks and sources")
	flags.Output(cmd, &d.output, "form of the output with --online; auto is a table on a terminal, JSON elsewhere", auto,
		report.JSON, report.Table)
	return cmd
}
