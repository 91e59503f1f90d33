// Package help writes a command's help as the text of --help, as Markdown and as a man page.
// In a command's Long text, indented lines keep their form.
package help

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"keytrail/processor/cli/flags"
	"keytrail/processor/screen"
)

// entry is a flag or a command, and what it does.
type entry struct{ head, text string }

// group is entries below a heading.
type group struct {
	title   string
	entries []entry
}

// flagsOf returns the flags of a command by their headings, in the order in which the command
// has registered them.
func flagsOf(cmd *cobra.Command) (list []group) {
	cmd.InitDefaultHelpFlag()
	cmd.Flag("help").Usage = "print this help"
	cmd.LocalFlags() // adds those of the parents to Flags
	cmd.Flags().SortFlags = false
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		title := flags.SectionOf(f.Annotations)
		i := slices.IndexFunc(list, func(g group) bool { return g.title == title })
		if i < 0 {
			i, list = len(list), append(list, group{title: title})
		}
		list[i].entries = append(list[i].entries, flagEntry(f))
	})
	return list
}

func flagEntry(f *pflag.Flag) entry {
	head := "    --" + f.Name
	if f.Shorthand != "" {
		head = "-" + f.Shorthand + ", --" + f.Name
	}
	name, text := pflag.UnquoteUsage(f)
	if f.Value.Type() != "bool" {
		head += " " + name
		switch f.DefValue {
		case "", "[]", "0", "0s":
		default:
			text += " (default " + f.DefValue + ")"
		}
	}
	return entry{head, text}
}

// commandsOf returns the commands of a command by their groups.
func commandsOf(cmd *cobra.Command) (list []group) {
	for _, g := range cmd.Groups() {
		list = append(list, group{title: g.Title})
	}
	if len(list) == 0 && cmd.HasAvailableSubCommands() {
		list = append(list, group{title: "Commands"})
	}
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() || c.Name() == "help" {
			i := max(0, slices.IndexFunc(cmd.Groups(), func(g *cobra.Group) bool { return g.ID == c.GroupID }))
			list[i].entries = append(list[i].entries, entry{c.Name(), c.Short})
		}
	}
	return list
}

// usage returns the line that shows how to call a command.
func usage(cmd *cobra.Command) string {
	if cmd.HasParent() {
		return cmd.Parent().CommandPath() + " " + cmd.Use
	}
	return cmd.Use
}

// Commands returns a command and all below it that are not hidden.
func Commands(cmd *cobra.Command) []*cobra.Command {
	list := []*cobra.Command{cmd}
	for _, c := range cmd.Commands() {
		if !c.Hidden {
			list = append(list, Commands(c)...)
		}
	}
	return list
}

// Text writes the text of --help for a screen of so many columns.
func Text(w io.Writer, cmd *cobra.Command, columns int) {
	fmt.Fprintf(w, "%s\n\nUsage:\n  %s\n", cmd.Long, usage(cmd))
	if cmd.Example != "" {
		fmt.Fprintf(w, "\nExamples:\n%s\n", indent(cmd.Example, "  "))
	}
	for _, g := range append(commandsOf(cmd), flagsOf(cmd)...) {
		fmt.Fprintf(w, "\n%s:\n", g.title)
		wide := 0
		for _, e := range g.entries {
			if len(e.head) <= 30 { // a longer one has its own line
				wide = max(wide, len(e.head))
			}
		}
		for _, e := range g.entries {
			head := e.head
			for _, line := range screen.Wrap(e.text, min(columns, 100)-wide-4) {
				if len(head) > wide {
					fmt.Fprintf(w, "  %s\n", head)
					head = ""
				}
				fmt.Fprintf(w, "  %-*s  %s\n", wide, head, line)
				head = ""
			}
		}
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(w, "\n\"%s COMMAND --help\" shows a command's flags and examples.\n", cmd.CommandPath())
	}
}

func indent(text, by string) string { return by + strings.ReplaceAll(text, "\n", "\n"+by) }

// paragraphs splits a Long text at empty lines; literal ones begin with a space.
func paragraphs(text string) []string { return strings.Split(text, "\n\n") }

func literal(paragraph string) bool { return strings.HasPrefix(paragraph, " ") }
