package help

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// Page returns the name of a command's man page, such as keytrail-config-check.
func Page(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// Man writes the man page of a command of a version, in section 1. Source: man-pages(7) and
// groff_man(7).
func Man(w io.Writer, cmd *cobra.Command, version string) {
	page := Page(cmd)
	fmt.Fprintf(w, ".TH %s 1 \"\" \"keytrail %s\" \"Keytrail\"\n.SH NAME\n%s \\- %s\n", roff(strings.ToUpper(page)),
		version, roff(page), roff(cmd.Short))
	fmt.Fprintf(w, ".SH SYNOPSIS\n.B %s\n.SH DESCRIPTION\n", roff(usage(cmd)))
	for i, p := range paragraphs(cmd.Long) {
		if i > 0 {
			fmt.Fprintln(w, ".PP")
		}
		if literal(p) {
			p = block(p)
		} else {
			p = roff(p)
		}
		fmt.Fprintln(w, p)
	}
	for _, g := range append(commandsOf(cmd), flagsOf(cmd)...) {
		fmt.Fprintf(w, ".SH %s\n", roff(strings.ToUpper(g.title)))
		for _, e := range g.entries {
			fmt.Fprintf(w, ".TP\n.B %s\n%s\n", roff(strings.TrimSpace(e.head)), roff(e.text))
		}
	}
	if cmd.Example != "" {
		fmt.Fprintf(w, ".SH EXAMPLES\n%s\n", block(cmd.Example))
	}
	fmt.Fprint(w, ".SH EXIT STATUS\n0 done; 1 failed; 2 the command line or the configuration is wrong;\n"+
		"3 done, but some records went to the dead letter.\n")
	if cmd.HasParent() {
		fmt.Fprintf(w, ".SH SEE ALSO\n.BR %s (1)\n", roff(Page(cmd.Parent())))
	}
}

// block is text whose lines keep their form.
func block(text string) string { return ".nf\n" + roff(text) + "\n.fi" }

// roff escapes roff's special characters, and the first of a line.
func roff(text string) string {
	lines := strings.Split(strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text), "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}
