// Package plot draws a series of numbers as a small bar chart of text lines. It knows
// nothing of terminals; the caller gives the number of columns, the allowed characters,
// and whether escape sequences are allowed.
package plot

import (
	"fmt"
	"math"
	"strings"
)

// Gutter is the width of the labels and the axis to the left of the columns.
const Gutter = 8

// Chart is a bar chart. Every value is one column.
type Chart struct {
	// Values are the bars, from left to right. NaN and infinities are unknown and leave a
	// gap in the axis; negative values are drawn as 0.
	Values []float64
	// Height is the number of lines for the bars, limited to 1 to MaxHeight.
	Height int
	// Line is a level drawn across the chart, such as an expected value; NaN: none.
	Line float64
	// Marks are drawn below their columns; of two at one column the last is drawn.
	Marks []Mark
	// Ticks are labels of the axis, from left to right. A label that would touch the
	// previous one, or does not fit, is omitted.
	Ticks []Tick
	// ASCII restricts the chart to ASCII characters.
	ASCII bool
	// Color draws columns with a Hot mark in red and the line in cyan, with the escape
	// sequences of ECMA-48.
	Color bool
}

// MaxHeight bounds Chart.Height.
const MaxHeight = 100

// Mark is a sign below a column.
type Mark struct {
	Column int // from 0; marks outside the chart are omitted
	Hot    bool
}

// Tick is a label of the axis, whose first character is below the column.
type Tick struct {
	Column int
	Text   string
}

// style is a set of characters.
type style struct {
	bars          []string // from a little to full
	line          string
	edge, labeled string // of the axis on the left
	corner, floor string
	tick          string
	hot, mark     string
}

var (
	unicode = style{[]string{"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"}, "┄", "│", "┤", "┼", "─", "┬", "▲", "!"}
	ascii   = style{[]string{".", "#"}, "-", "|", "+", "+", "-", "+", "^", "!"}
)

// Lines returns the chart, top line first, each at most Gutter + len(Values)
// characters wide: the bars, the axis, the marks if there are any, and the labels
// of the axis if any has room.
func (c *Chart) Lines() []string {
	d := drawing{Chart: c, style: &unicode, height: min(max(c.Height, 1), MaxHeight), hot: map[int]bool{}}
	if c.ASCII {
		d.style = &ascii
	}
	for _, m := range c.Marks {
		d.hot[m.Column] = m.Hot
	}
	d.top = c.top()
	d.lineRow = 0
	if known(c.Line) && c.Line > 0 {
		d.lineRow = min(max(int(math.Ceil(c.Line/d.top*float64(d.height))), 1), d.height)
	}
	var lines []string
	for row := d.height; row >= 1; row-- {
		lines = append(lines, d.row(row))
	}
	lines = append(lines, d.axis())
	if len(c.Marks) > 0 {
		lines = append(lines, d.marks())
	}
	if len(d.shown()) > 0 {
		lines = append(lines, d.labels())
	}
	return lines
}

// top is the value at the upper edge, above 0.
func (c *Chart) top() float64 {
	top := 0.0
	for _, v := range c.Values {
		if known(v) {
			top = max(top, v)
		}
	}
	if known(c.Line) {
		top = max(top, c.Line)
	}
	if top == 0 {
		return 1
	}
	return top
}

func known(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// drawing is a chart with the data that all its lines need.
type drawing struct {
	*Chart
	*style
	height, lineRow int // rows count from 1 at the bottom; 0: no line
	top             float64
	hot             map[int]bool // by column with a mark
}

// row draws one line of bars.
func (d *drawing) row(row int) string {
	label, edge := "", d.edge
	switch {
	case row == d.height:
		label = Number(d.top)
	case row == d.lineRow:
		label = Number(d.Line)
	}
	if label != "" {
		edge = d.labeled
	}
	p := pen{wanted: d.Color}
	fmt.Fprintf(&p, "%*s %s", Gutter-2, label, edge)
	for i, v := range d.Values {
		cell := d.cell(v, row)
		switch {
		case cell != "" && d.hot[i]:
			p.put(red, cell)
		case cell != "":
			p.put("", cell)
		case row == d.lineRow:
			p.put(cyan, d.line)
		default:
			p.put("", " ")
		}
	}
	return p.line()
}

// cell returns the part of a bar in a row, "" for none. Any value above 0 is visible.
func (d *drawing) cell(v float64, row int) string {
	if !known(v) || v <= 0 {
		return ""
	}
	steps := len(d.bars)
	filled := int(math.Round(v / d.top * float64(d.height*steps)))
	filled = max(filled, 1) - (row-1)*steps
	if filled <= 0 {
		return ""
	}
	return d.bars[min(filled, steps)-1]
}

// The colors: ECMA-48, select graphic rendition.
const (
	red   = "\x1b[31m"
	cyan  = "\x1b[36m"
	reset = "\x1b[0m"
)

// pen writes a line whose pieces may have colors.
type pen struct {
	strings.Builder
	wanted bool
	color  string // at the moment
}

// put writes text in a color, "" for none.
func (p *pen) put(color, text string) {
	if color != p.color && p.wanted {
		if p.color != "" {
			p.WriteString(reset)
		}
		p.WriteString(color)
		p.color = color
	}
	p.WriteString(text)
}

// line ends the line.
func (p *pen) line() string {
	p.put("", "")
	return strings.TrimRight(p.String(), " ")
}

// axis draws the zero line.
func (d *drawing) axis() string {
	ticks := map[int]bool{}
	for _, t := range d.shown() {
		ticks[t.Column] = true
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%*s %s", Gutter-2, "0", d.corner)
	for i, v := range d.Values {
		switch {
		case !known(v):
			b.WriteByte(' ')
		case ticks[i]:
			b.WriteString(d.tick)
		default:
			b.WriteString(d.floor)
		}
	}
	return strings.TrimRight(b.String(), " ")
}

// marks draws the signs below the columns.
func (d *drawing) marks() string {
	p := pen{wanted: d.Color}
	fmt.Fprintf(&p, "%*s", Gutter, "")
	for i := range d.Values {
		hot, ok := d.hot[i]
		switch {
		case ok && hot:
			p.put(red, d.style.hot)
		case ok:
			p.put("", d.mark)
		default:
			p.put("", " ")
		}
	}
	return p.line()
}

// shown returns the ticks whose labels fit.
func (d *drawing) shown() (list []Tick) {
	free := 0 // the first column without a label
	for _, t := range d.Ticks {
		n := len([]rune(t.Text))
		if t.Column < free || t.Column >= len(d.Values) || n > len(d.Values)-t.Column {
			continue
		}
		list, free = append(list, t), t.Column+n+1
	}
	return list
}

// labels draws the ticks' texts.
func (d *drawing) labels() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%*s", Gutter, "")
	at := 0
	for _, t := range d.shown() {
		b.WriteString(strings.Repeat(" ", t.Column-at) + t.Text)
		at = t.Column + len([]rune(t.Text))
	}
	return strings.TrimRight(b.String(), " ")
}

// Number writes a nonnegative number in at most six characters: "34", "7.21", "12.3k", or
// "1.2e9" beyond the suffixes. NaN and infinities are "?".
func Number(v float64) string {
	switch {
	case !known(v) || v < 0:
		return "?"
	case v == math.Trunc(v) && v < 1e4:
		return fmt.Sprintf("%.0f", v)
	case v < 0.001:
		return "<0.001"
	case v < 1e3:
		return short(v)
	case v < 1e4:
		return fmt.Sprintf("%.0f", v)
	}
	for _, unit := range []string{"k", "M", "G", "T"} {
		if v /= 1e3; v < 1e3 {
			return short(v) + unit
		}
	}
	return fmt.Sprintf("%.0e", v*1e12)
}

// short writes a number below 1000 with three digits.
func short(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return trim(fmt.Sprintf("%.1f", v))
	case v >= 1:
		return trim(fmt.Sprintf("%.2f", v))
	}
	return trim(fmt.Sprintf("%.3f", v))
}

// trim removes zeros after a point, and a final point.
func trim(s string) string { return strings.TrimRight(strings.TrimRight(s, "0"), ".") }
