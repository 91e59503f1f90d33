package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"keytrail/processor/internal/chaostest"
)

// sample is what the process holds at one time.
type sample struct {
	at          time.Duration // since the start of the load
	rss, heap   float64       // MB: resident, and live objects and garbage of the heap
	goroutines  float64
	descriptors float64
	cpu         float64 // seconds so far
	lag         float64 // records, of the stage that is furthest behind
}

// watch samples a process.
type watch struct {
	o       options
	pid     int
	address string // of its metrics
	out     string // the file of samples
	samples []sample
}

// sample samples until ctx is done.
func (w *watch) sample(ctx context.Context) error {
	out, err := os.Create(w.out)
	if err != nil {
		return err
	}
	defer out.Close()
	fmt.Fprintln(out, "seconds\trss_mb\theap_mb\tgoroutines\tdescriptors\tcpu_seconds\tlag")
	began, tick, failures := time.Now(), time.NewTicker(w.o.every), 0
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			s, err := w.take()
			if err != nil {
				if failures++; failures > 5 {
					return err
				}
				continue
			}
			s.at, failures = now.Sub(began), 0
			w.samples = append(w.samples, s)
			fmt.Fprintf(out, "%.0f\t%.1f\t%.1f\t%.0f\t%.0f\t%.1f\t%.0f\n", s.at.Seconds(), s.rss, s.heap, s.goroutines,
				s.descriptors, s.cpu, s.lag)
			if len(w.samples)%30 == 0 {
				chaostest.Say("memory %.0f MB, heap %.0f MB, %.0f goroutines, %.0f descriptors, CPU %.1f s, lag %.0f",
					s.rss, s.heap, s.goroutines, s.descriptors, s.cpu, s.lag)
			}
		}
	}
}

// take takes one sample.
func (w *watch) take() (s sample, err error) {
	proc := fmt.Sprintf("/proc/%d/", w.pid)
	status, err := os.ReadFile(proc + "status")
	if err != nil {
		return s, err
	}
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "VmRSS:" {
			s.rss = number(f[1]) / 1024
		}
	}
	files, err := os.ReadDir(proc + "fd")
	if err != nil {
		return s, err
	}
	s.descriptors = float64(len(files))
	response, err := http.Get("http://" + w.address + "/metrics")
	if err != nil {
		return s, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return s, err
	}
	found := false
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		name, _, _ = strings.Cut(name, "{")
		switch name {
		case "go_goroutines":
			s.goroutines, found = number(value), true
		case "go_memstats_heap_inuse_bytes":
			s.heap = number(value) / 1e6
		case "process_cpu_seconds_total":
			s.cpu = number(value)
		case "keytrail_stage_lag":
			s.lag = max(s.lag, number(lines.Text()[strings.LastIndexByte(lines.Text(), ' ')+1:]))
		}
	}
	if !found {
		return s, errors.New("the metrics have no go_goroutines")
	}
	return s, nil
}

func number(text string) float64 {
	n, _ := strconv.ParseFloat(text, 64) // 0 for what is not a number
	return n
}

// The bounds of the verdict: how much a median may grow from the second to the last quarter.
const (
	memoryGrowth = 1.10
	countGrowth  = 1.05
	seconds      = 60 // of the load: the lag that is not a backlog
)

// verdict returns the last line, and whether nothing grows.
func (w *watch) verdict(sent int) (line string, clean bool) {
	if len(w.samples) < 8 {
		return "verdict: too few samples", false
	}
	last := w.samples[len(w.samples)-1]
	most := 0.0
	for i := range w.samples {
		most = max(most, w.samples[i].rss)
	}
	figures := fmt.Sprintf("%d events in %v, %.0f a second; %.1f µs of CPU each; memory at most %.0f MB", sent,
		last.at.Round(time.Second), float64(sent)/last.at.Seconds(), last.cpu/float64(sent)*1e6, most)
	full := w.samples
	for len(full) > 0 && full[0].at < w.o.horizon() {
		full = full[1:]
	}
	n := len(full) / 4
	if n < 6 {
		return fmt.Sprintf("%s; NO VERDICT about memory: the horizon is full after %v only; use a longer duration", figures,
			w.o.horizon()), false
	}
	var grown []string
	for _, one := range []struct {
		name  string
		bound float64
		of    func(*sample) float64
	}{
		{"memory", memoryGrowth, func(s *sample) float64 { return s.rss }},
		{"heap", memoryGrowth, func(s *sample) float64 { return s.heap }},
		{"goroutines", countGrowth, func(s *sample) float64 { return s.goroutines }},
		{"descriptors", countGrowth, func(s *sample) float64 { return s.descriptors }},
	} {
		before, after := median(full[n:2*n], one.of), median(full[len(full)-n:], one.of)
		figures += fmt.Sprintf("; %s %.0f, then %.0f", one.name, before, after)
		if after > before*one.bound+2 {
			grown = append(grown, one.name)
		}
	}
	lag := median(full[len(full)-n:], func(s *sample) float64 { return s.lag })
	figures += fmt.Sprintf("; lag %.0f records", lag)
	if lag > float64(seconds*w.o.rate) {
		grown = append(grown, "lag")
	}
	if len(grown) > 0 {
		return fmt.Sprintf("%s; verdict: STILL GROWING: %s", figures, strings.Join(grown, ", ")), false
	}
	return figures + "; verdict: nothing grows", true
}

func median(samples []sample, of func(*sample) float64) float64 {
	var list []float64
	for i := range samples {
		list = append(list, of(&samples[i]))
	}
	slices.Sort(list)
	return list[len(list)/2]
}
