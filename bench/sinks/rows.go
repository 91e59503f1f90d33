package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// row is one line of the table: a way to deliver all records.
type row struct {
	name string
	base *row // what to compare with
	run  func(context.Context) (cost, error)
	list []cost
}

// cost is that of one delivery of all records.
type cost struct {
	cpu, wall time.Duration
	wire      int64
}

// once delivers all records and notes the cost.
func (r *row) once(ctx context.Context, to *receivers) error {
	before, err := to.wire(ctx)
	if err != nil {
		return err
	}
	c, err := r.run(ctx)
	if err != nil {
		return err
	}
	after, err := to.wire(ctx)
	if err != nil {
		return err
	}
	c.wire = after - before
	r.list = append(r.list, c)
	return nil
}

// middle returns the median of a value of the rounds.
func (r *row) middle(of func(cost) float64) float64 {
	var list []float64
	for _, c := range r.list {
		list = append(list, of(c))
	}
	slices.Sort(list)
	return list[len(list)/2]
}

// ratio returns the median over the rounds of the row's CPU time by that of its base: both
// were measured within seconds of each other.
func (r *row) ratio() float64 {
	var list []float64
	for i, c := range r.list {
		list = append(list, float64(c.cpu)/float64(r.base.list[i].cpu))
	}
	slices.Sort(list)
	return list[len(list)/2]
}

// print prints the table.
func print(out io.Writer, rows []*row, records int) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	n := float64(records)
	fmt.Fprintln(w, "µs CPU/record median\tmin\trecords/s\tbytes/record on the wire\tCPU by the collector's\t")
	for _, r := range rows {
		cpu := func(c cost) float64 { return float64(c.cpu.Nanoseconds()) / 1e3 / n }
		least := cpu(slices.MinFunc(r.list, func(a, b cost) int { return int(a.cpu - b.cpu) }))
		ratio := ""
		if r.base != nil {
			ratio = fmt.Sprintf("%.2f", r.ratio())
		}
		fmt.Fprintf(w, "%.2f\t%.2f\t%.0f\t%.0f\t%s\t   %s\n", r.middle(cpu), least,
			r.middle(func(c cost) float64 { return n / c.wall.Seconds() }),
			r.middle(func(c cost) float64 { return float64(c.wire) / n }), ratio, r.name)
	}
	w.Flush()
}
