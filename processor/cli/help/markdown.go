package help

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// Markdown writes a document with all commands below root.
func Markdown(w io.Writer, root *cobra.Command) {
	fmt.Fprint(w, "# Command line\n\n"+
		"Generated from the commands by `make generate`. `keytrail help COMMAND` prints the same\n"+
		"in a terminal, and `make man` writes man pages into `build/man`.\n\n"+
		"Flags have two dashes, and some a short form of one letter; they may stand before or after\n"+
		"arguments, and `--` ends them. Sizes are written as `512KiB` or `524288`, durations as\n"+
		"`5m`, `24h` or `1h30m`.\n\n"+
		"| exit code | meaning |\n|---|---|\n| 0 | done |\n| 1 | failed |\n| 2 | the command line or the configuration is wrong |\n"+
		"| 3 | done, but some records went to the dead letter |\n")
	for _, cmd := range Commands(root) {
		fmt.Fprintf(w, "\n## %s\n", cmd.CommandPath())
		for _, p := range paragraphs(cmd.Long) {
			if literal(p) {
				p = "```text\n" + p + "\n```"
			}
			fmt.Fprintf(w, "\n%s\n", p)
		}
		example := ""
		if cmd.Example != "" {
			example = "\n\n" + cmd.Example
		}
		fmt.Fprintf(w, "\n```sh\n%s%s\n```\n", usage(cmd), example)
		for _, g := range commandsOf(cmd) {
			fmt.Fprintf(w, "\n| %s | |\n|---|---|\n", g.title)
			for _, e := range g.entries {
				fmt.Fprintf(w, "| [%s](#%s) | %s |\n", e.head, strings.ReplaceAll(cmd.CommandPath()+" "+e.head, " ", "-"),
					cell(e.text))
			}
		}
		for _, g := range flagsOf(cmd) {
			fmt.Fprintf(w, "\n| %s | |\n|---|---|\n", g.title)
			for _, e := range g.entries {
				fmt.Fprintf(w, "| `%s` | %s |\n", cell(strings.TrimSpace(e.head)), cell(e.text))
			}
		}
	}
}

// cell escapes the characters that end a table cell.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
