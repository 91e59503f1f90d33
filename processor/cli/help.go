package cli

import (
	"os"

	"github.com/spf13/cobra"

	"keytrail/processor/cli/help"
	"keytrail/processor/screen"
)

// help is "keytrail help COMMAND".
func (a *app) help() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", GroupID: groupAbout,
		Short: "Show what a command does, with its flags and examples",
		Long: "Shows what a command does, with its flags and examples, like COMMAND --help. Without\n" +
			"a command it lists all of them.",
		Example: "keytrail help scan\nkeytrail help config check",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return unknownCommand(about, firstName(rest))
			}
			help.Text(a.stdout, about, screen.New(a.stdout, os.Getenv).Width)
			return nil
		},
	}
}
