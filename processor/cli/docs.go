package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"keytrail/processor/cli/help"
)

//go:generate go run ../.. docs markdown ../../docs/cli.md

// docs is "keytrail docs FORM PATH". It is for those who build Keytrail, and hidden from the
// help text.
func (a *app) docs() *cobra.Command {
	cmd := &cobra.Command{
		Use: "docs FORM", Short: "Write the documentation of the commands", Hidden: true,
		Long:    "Writes the documentation of the commands: as Markdown, or as a man page for each.",
		Example: "keytrail docs markdown docs/cli.md\nkeytrail docs man build/man",
		RunE:    parent,
	}
	cmd.AddCommand(&cobra.Command{
		Use: "markdown FILE", Short: "Write one Markdown document", Args: needs("a FILE"),
		Long: "Writes one Markdown document with all commands.", Example: "keytrail docs markdown docs/cli.md",
		RunE: func(cmd *cobra.Command, args []string) error {
			var b bytes.Buffer
			help.Markdown(&b, cmd.Root())
			return writeFile(args[0], b.Bytes())
		},
	}, &cobra.Command{
		Use: "man DIR", Short: "Write man pages", Args: needs("a DIR"),
		Long: "Writes a man page for each command, such as DIR/keytrail-scan.1.", Example: "keytrail docs man build/man",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("cannot create %s: %w", args[0], err)
			}
			for _, c := range help.Commands(cmd.Root()) {
				var b bytes.Buffer
				help.Man(&b, c, release)
				if err := writeFile(filepath.Join(args[0], help.Page(c)+".1"), b.Bytes()); err != nil {
					return err
				}
			}
			return nil
		},
	})
	return cmd
}

// writeFile writes a file that everybody may read.
func writeFile(path string, text []byte) error {
	if err := os.WriteFile(path, text, 0o644); err != nil {
		return fmt.Errorf("cannot write the documentation: %w", err)
	}
	return nil
}
