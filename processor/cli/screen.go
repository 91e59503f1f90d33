package cli

import (
	"io"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"
	"golang.org/x/text/width"
)

// screen is what is known of where a person reads.
type screen struct {
	width int  // columns
	color bool // escape sequences for color are wanted
	ascii bool // nothing but ASCII is
}

// Bounds of a screen's width: below the first a picture says nothing, and beyond the
// second a line is hard to read.
const (
	minWidth, maxWidth = 40, 250
	usualWidth         = 80
)

// newScreen finds out about out. getenv is os.Getenv.
func newScreen(out io.Writer, getenv func(string) string) screen {
	s := screen{width: usualWidth, ascii: !utf8Locale(getenv)}
	if terminal(out) {
		// The name and its meaning: no-color.org. A terminal that is "dumb" knows no
		// escape sequences (terminfo).
		s.color = getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
		if f, ok := underlying(out).(*os.File); ok {
			if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil && size.Col > 0 {
				s.width = int(size.Col)
			}
		}
	}
	if n, err := strconv.Atoi(getenv("COLUMNS")); err == nil && n > 0 {
		s.width = n
	}
	s.width = min(max(s.width, minWidth), maxWidth)
	return s
}

// underlying returns what the streams of the process write to.
func underlying(w io.Writer) io.Writer {
	switch s := w.(type) {
	case *output:
		return s.w
	case raw:
		return s.o.w
	case *diagnostics:
		return s.w
	}
	return w
}

// columns returns how wide the terminal is that w writes to, or usualWidth.
func columns(w io.Writer, getenv func(string) string) int {
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

// fit cuts text to what a terminal shows in so many columns. Characters of East Asian
// scripts and pictures take two; what is combined with another takes one here, which is
// never too few.
func fit(text string, columns int) string {
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

// utf8Locale tells whether the environment's locale writes UTF-8. Source: POSIX.1,
// "Environment Variables": the first of these that is not empty counts.
func utf8Locale(getenv func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToLower(getenv(name)); v != "" {
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return false
}

// wrap breaks text into lines of at most width characters at spaces; a longer word,
// such as an ARN, has a line of its own, so that it can be copied.
func wrap(text string, width int) (lines []string) {
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
