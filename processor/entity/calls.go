package entity

import (
	"math"

	"keytrail/processor/eventtime"
)

// Calls are the numbers of calls that a principal makes on two consecutive days (UTC):
// their sum varies less than one of them. The zero value has learned nothing.
type Calls struct {
	Day    int64   // the last day with calls, in days since 1970; 0: none yet
	Days   int     // days with calls before it
	Today  float32 // calls of Day
	Before float32 // calls of the day before Day
	Two    Usual   // calls of two days
}

// add adds the calls of a window to those of its day.
func (c *Calls) add(w *Window) {
	today := w.Start / eventtime.Day
	switch {
	case c.Day == 0:
		c.Day = today
	case today < c.Day:
		return // late
	case today > c.Day:
		if c.Days == 0 {
			c.Before = c.Today // the day before the first is unknown
		}
		c.Two.learn(float64(c.Today)+float64(c.Before), c.Days, math.Exp(2*c.Two.sigma(c.Days)))
		c.Days++
		if c.Before = 0; today == c.Day+1 {
			c.Before = c.Today
		}
		c.Day, c.Today = today, 0
	}
	c.Today += float32(w.Uses())
}

// With returns the calls of the day of w and of the day before so far, including those of
// w.
func (c *Calls) With(w *Window) float64 {
	n := float64(w.Uses())
	switch w.Start/eventtime.Day - c.Day {
	case 0:
		n += float64(c.Today) + float64(c.Before)
	case 1:
		n += float64(c.Today)
	}
	return n
}
