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

// row is one line of a table: an operation on the whole corpus.
type row struct {
	name    string
	run     func() error
	samples []sample
}

// sample is the cost of one run.
type sample struct {
	cpu            time.Duration
	mallocs, bytes uint64
}

// table is a group of rows; the row called base is the base of comparison.
type table struct {
	title  string
	notes  []string
	base   string
	rows   []*row
	size   int     // bytes of input, for MB/s
	count  int     // records
	target float64 // target of the first row's ratio to base; 0: none
	values []string
	column string // name of the column of values, one per row; "" for none
}

// cpuTime returns the CPU time of all threads of this process, in user and kernel mode.
// Unlike wall time, it does not grow while other programs use the processor.
func cpuTime() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("cannot read the process's CPU time: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// once runs r and stores the cost.
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
	r.samples = append(r.samples, sample{end - start, after.Mallocs - before.Mallocs,
		after.TotalAlloc - before.TotalAlloc})
	return nil
}

// rounds runs every row of every table n times. All take turns, so that a busy minute of
// the machine hits each of them once instead of one of them often.
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

// times returns r's runs in nanoseconds per record, sorted.
func (r *row) times(records int) []float64 {
	var list []float64
	for _, s := range r.samples {
		list = append(list, float64(s.cpu.Nanoseconds())/float64(records))
	}
	slices.Sort(list)
	return list
}

func median(sorted []float64) float64 { return sorted[len(sorted)/2] }

// ratio returns how many times as fast as base r is, as the median over the rounds: both
// were measured within seconds of each other.
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
