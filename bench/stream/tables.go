package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// table prints rows below a header, right-aligned except for the last column, which may
// be long.
func table(out io.Writer, title string, head []string, rows [][]string, notes ...string) {
	fmt.Fprintf(out, "\n%s\n", title)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, row := range append([][]string{head}, rows...) {
		last := len(row) - 1
		fmt.Fprintf(w, "%s\t   %s\n", strings.Join(row[:last], "\t"), row[last])
	}
	w.Flush()
	for _, n := range notes {
		fmt.Fprintln(out, n)
	}
}

// Names of the rows that are bases of comparison.
const (
	nameBoth    = "Keytrail: count and detect in one process"
	nameCeiling = "franz-go: consume and drop (the ceiling)"
	nameStreams = "Kafka Streams: the same counts, exactly once"
	nameFlink   = "Flink: the same counts, exactly once, on RocksDB"
)

// costTable prints the throughput table. A row of 0 events was not measured.
func costTable(out io.Writer, title string, costs []cost, notes ...string) {
	of := func(name string) *cost {
		for i := range costs {
			if costs[i].name == name {
				return &costs[i]
			}
		}
		return nil
	}
	streams, flink, ceiling := of(nameStreams), of(nameFlink), of(nameCeiling)
	ratio := func(c, to *cost) string {
		if to == nil {
			return "-"
		}
		return fmt.Sprintf("%.2f", c.perCore()/to.perCore())
	}
	head := strings.Split("events/s,CPU us/event,events/s per core,to Streams,to ceiling,2nd half: events/s,CPU "+
		"us/event,peak MB,broker us/event,", ",")
	var rows [][]string
	for i := range costs {
		c := &costs[i]
		rows = append(rows, []string{
			fmt.Sprintf("%.0f", float64(c.events)/c.wall.Seconds()), micros(c.cpu, c.events), fmt.Sprintf("%.0f", c.perCore()),
			ratio(c, streams), ratio(c, ceiling), rate(c.half), micros(c.half.cpu, c.half.events), megabytes(c.peak),
			micros(c.broker, c.events), c.name,
		})
	}
	table(out, title, head, rows, notes...)
	both := of(nameBoth)
	if both == nil || ceiling == nil {
		return
	}
	// The headline ratio is of the second half: by then the JVM has compiled most of its code.
	for _, peer := range []*cost{streams, flink} {
		if peer != nil {
			fmt.Fprintf(out, "RATIO events/s per core of Keytrail's both stages to %s: %s in the second half (the aim is "+
				"3), %s from the start\n",
				peer.name, later(both.half, peer.half), ratio(both, peer))
		}
	}
	fmt.Fprintf(out, "RATIO to the ceiling: %s (the aim is 0.5)\n", ratio(both, ceiling))
}

// later returns the ratio of the events per second and core in two second halves.
func later(h, of half) string {
	if h.cpu <= 0 || of.events == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", float64(h.events)/h.cpu.Seconds()/(float64(of.events)/of.cpu.Seconds()))
}

func rate(h half) string {
	if h.wall <= 0 || h.events == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f", float64(h.events)/h.wall.Seconds())
}

func micros(cpu time.Duration, events int64) string {
	if events == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", float64(cpu.Microseconds())/float64(events))
}

func megabytes(n int64) string { return fmt.Sprintf("%.0f", float64(n)/1e6) }

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.0f", float64(d.Microseconds())/1e3)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f", d.Seconds()) }
