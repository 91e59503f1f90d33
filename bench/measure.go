package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"
)

// row is one line of a table: something that is done to the whole corpus.
type row struct {
	name    string
	run     func() error
	samples []sample
}

// sample is what one run cost.
type sample struct {
	cpu            time.Duration
	mallocs, bytes uint64
}

// table is a group of rows of which the one called base is the measure of the
// others.
type table struct {
	title  string
	notes  []string
	base   string
	rows   []*row
	size   int     // bytes of input, of which MB/s are
	count  int     // records
	target float64 // how many times as fast as base the first row should be; 0: no target
	values []string
	column string // name of the column that holds values, one for each row; "" for none
}

// cpuTime is the time that all threads of this process have computed, in user
// and kernel mode. Unlike time on the wall it does not grow while other programs
// have the processor.
func cpuTime() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("cannot read the process's CPU time: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// once runs r and keeps what it cost.
func (r *row) once() error {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start, err := cpuTime()
	if err != nil {
		return err
	}
	if err := r.run(); err != nil {
		return fmt.Errorf("%s: %w", r.name, err)
	}
	end, err := cpuTime()
	if err != nil {
		return err
	}
	runtime.ReadMemStats(&after)
	r.samples = append(r.samples, sample{end - start, after.Mallocs - before.Mallocs, after.TotalAlloc - before.TotalAlloc})
	return nil
}

// rounds runs every row of every table so many times. All take turns, so that a
// busy minute of the machine hits each of them once and not one of them often.
func rounds(tables []*table, n int) error {
	for range n {
		for _, t := range tables {
			for _, r := range t.rows {
				if err := r.once(); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// times are r's runs in nanoseconds a record, sorted.
func (r *row) times(records int) []float64 {
	var list []float64
	for _, s := range r.samples {
		list = append(list, float64(s.cpu.Nanoseconds())/float64(records))
	}
	slices.Sort(list)
	return list
}

func median(sorted []float64) float64 { return sorted[len(sorted)/2] }

// ratio is how many times as fast as base r is, in the median over the rounds:
// the two were measured within seconds of each other.
func (r *row) ratio(base *row) float64 {
	var list []float64
	for i, s := range r.samples {
		list = append(list, float64(base.samples[i].cpu)/float64(s.cpu))
	}
	slices.Sort(list)
	return median(list)
}

func (t *table) row(name string) *row {
	for _, r := range t.rows {
		if r.name == name {
			return r
		}
	}
	return nil
}

// report prints the tables.
func report(out io.Writer, tables []*table) {
	for _, t := range tables {
		fmt.Fprintf(out, "\n%s\n", t.title)
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
		head := "ns/record median\tmin\tMB/s at min\tallocs\tbytes\t"
		if t.base != "" {
			head += "ratio\t"
		}
		if t.column != "" {
			head += t.column + "\t"
		}
		fmt.Fprintf(w, "%s\n", head)
		for i, r := range t.rows {
			ns, last := r.times(t.count), r.samples[len(r.samples)-1]
			fmt.Fprintf(w, "%.0f\t%.0f\t%.0f\t%.2f\t%.0f\t", median(ns), ns[0], float64(t.size)/float64(t.count)/ns[0]*1e3,
				float64(last.mallocs)/float64(t.count), float64(last.bytes)/float64(t.count))
			if t.base != "" {
				fmt.Fprintf(w, "%.2f\t", r.ratio(t.row(t.base)))
			}
			if t.column != "" {
				fmt.Fprintf(w, "%s\t", t.values[i])
			}
			fmt.Fprintf(w, "   %s\n", r.name)
		}
		w.Flush()
		if t.target > 0 {
			base := t.row(t.base)
			fmt.Fprintf(out, "RATIO %s: %.2f times (by the fastest runs %.2f); the target is %v\n", t.rows[0].name,
				t.rows[0].ratio(base), base.times(t.count)[0]/t.rows[0].times(t.count)[0], t.target)
		}
		for _, n := range t.notes {
			fmt.Fprintf(out, "%s\n", n)
		}
	}
}
