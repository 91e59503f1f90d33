package screen

import (
	"io"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"
	"golang.org/x/text/width"
)

// Screen describes a person's terminal.
type Screen struct {
	Width int  // columns
	Color bool // escape sequences for color are wanted
	ASCII bool // only ASCII is wanted
}

// Bounds of a Screen's width: a narrower picture shows nothing, and a wider line is hard
// to read.
const (
	MinWidth, MaxWidth = 40, 250
	usualWidth         = 80
)

// Wipe clears the terminal's current line.
const Wipe = "\r\x1b[K"

// New examines out. getenv is os.Getenv.
func New(out io.Writer, getenv func(string) string) Screen {
	s := Screen{Width: Columns(out, getenv), ASCII: !utf8Locale(getenv)}
	if Terminal(out) {
		// The name and its meaning: no-color.org. A terminal that is "dumb" knows no
		// escape sequences (terminfo).
		s.Color = getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
	}
	s.Width = min(max(s.Width, MinWidth), MaxWidth)
	return s
}

// underlying returns the file that a stream of the process writes to.
func underlying(w io.Writer) io.Writer {
	switch s := w.(type) {
	case *Output:
		return s.w
	case Raw:
		return s.w
	case *Diagnostics:
		return s.w
	}
	return w
}

// Columns returns the width of w's terminal, or usualWidth.
func Columns(w io.Writer, getenv func(string) string) int {
	if n, err := strconv.Atoi(getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	if f, ok := underlying(w).(*os.File); ok {
		if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil && size.Col > 0 {
			return int(size.Col)
		}
	}
	return usualWidth
}

// Fit cuts text to a number of terminal columns. Characters of East Asian scripts and
// pictures take two; combining ones count as one here, which is never too few.
func Fit(text string, columns int) string {
	n := 0
	for i, r := range text {
		n++
		if k := width.LookupRune(r).Kind(); k == width.EastAsianWide || k == width.EastAsianFullwidth {
			n++
		}
		if n > columns {
			return text[:i]
		}
	}
	return text
}

// Ellipsis cuts text to a number of terminal columns, and marks that with "…".
func Ellipsis(text string, columns int) string {
	if cut := Fit(text, columns); cut == text {
		return text
	}
	return Fit(text, max(columns-1, 0)) + "…"
}

// utf8Locale reports whether the environment's locale writes UTF-8. Source: POSIX.1,
// "Environment Variables": the first of these that is not empty counts.
func utf8Locale(getenv func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToLower(getenv(name)); v != "" {
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return false
}

// Wrap breaks text into lines of at most width characters at spaces; a longer word,
// such as an ARN, has its own line, so that it can be copied.
func Wrap(text string, width int) (lines []string) {
	line, n := "", 0
	for _, word := range strings.Fields(text) {
		size := utf8.RuneCountInString(word)
		if n > 0 && n+1+size > width {
			lines = append(lines, line)
			line, n = "", 0
		}
		if n > 0 {
			line, n = line+" ", n+1
		}
		line, n = line+word, n+size
	}
	if n > 0 {
		lines = append(lines, line)
	}
	return lines
}

// WrapRow breaks a row of a table into lines of at most width columns, at spaces where it
// can. Later lines begin below the row's last column, which two spaces precede, or at the
// fourth column if that leaves too little room.
func WrapRow(row string, width int) (lines []string) {
	text := strings.Trim(row, " ")
	indent := strings.LastIndex(text, "  ") + 2
	if indent += len(row) - len(strings.TrimLeft(row, " ")); !strings.Contains(text, "  ") || width-indent < width/3 {
		indent = 4
	}
	for room := width; ; room = width - indent {
		part := Fit(row, room)
		rest := row[len(part):]
		if i := strings.LastIndexByte(part, ' '); rest != "" && rest[0] != ' ' && strings.TrimSpace(part[:max(i, 0)]) != "" {
			part, rest = part[:i], part[i:]+rest
		}
		if len(lines) > 0 {
			part = strings.Repeat(" ", indent) + part
		}
		lines = append(lines, strings.TrimRight(part, " "))
		if row = strings.TrimLeft(rest, " "); row == "" {
			return lines
		}
	}
}

// Terminal reports whether w is a terminal, where a person reads.
func Terminal(w io.Writer) bool {
	f, ok := underlying(w).(*os.File)
	if !ok {
		return false
	}
	st, err := f.Stat()
	if err != nil || st.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull) // a character device too, and nobody reads it
	return err != nil || !os.SameFile(st, null)
}
