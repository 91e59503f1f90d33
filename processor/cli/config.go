package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"keytrail/processor/config"
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
	cmd.AddCommand(&cobra.Command{
		Use: "check -c FILE", Short: "Check a configuration and its rules", Args: noArguments,
		Long: "Checks a configuration and the rules that it names. Each problem is a line with the\n" +
			"setting, its value, and what to write instead.",
		Example: "keytrail config check -c keytrail.yaml",
		RunE: func(*cobra.Command, []string) error {
			if file == "" {
				return usagef("config check needs -c FILE; see keytrail config check --help")
			}
			cfg, err := a.load(file)
			if err == nil && len(cfg.Rules.Sigma) > 0 {
				_, err = a.input().Rules(cfg.Rules.Sigma)
			}
			if err != nil {
				return usageError{err}
			}
			fmt.Fprintf(a.stdout, "%s is valid\n", file)
			return nil
		},
	}, &cobra.Command{
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
