package cli

import (
	"github.com/spf13/cobra"

	"keytrail/processor/cli/flags"
)

// completion is "keytrail completion SHELL".
func (a *app) completion() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use: "completion SHELL", GroupID: groupAbout,
		Short: "Print the script that completes commands and flags in a shell",
		Long:  "Prints the script with which bash, zsh, fish or powershell completes Keytrail's commands,\nflags and values.",
		Example: "source <(keytrail completion bash)                                    # this bash only\n" +
			"keytrail completion bash >/etc/bash_completion.d/keytrail             # every bash\n" +
			"keytrail completion zsh >\"${fpath[1]}/_keytrail\"                      # every zsh\n" +
			"keytrail completion fish >~/.config/fish/completions/keytrail.fish    # every fish",
		Args: needs("bash, zsh, fish or powershell"), ValidArgs: shells,
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch {
			case len(args) > 1:
				return usagef("completion takes one shell, not %q; see keytrail completion --help", args)
			case args[0] == "bash":
				return root.GenBashCompletionV2(a.stdout, true)
			case args[0] == "zsh":
				return root.GenZshCompletion(a.stdout)
			case args[0] == "fish":
				return root.GenFishCompletion(a.stdout, true)
			case args[0] == "powershell":
				return root.GenPowerShellCompletionWithDesc(a.stdout)
			}
			return usagef("completion does not know the shell %q%s; want bash, zsh, fish or powershell", args[0],
				flags.DidYouMean("", args[0], shells))
		},
	}
}
