package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"text/tabwriter"

	"keytrail/schemas/corpus"
)

// streamed is the cost of one stream for the process that read it.
type streamed struct {
	Records int   // in the stream
	CPU     int64 // nanoseconds a record
	Peak    int64 // largest resident memory, in bytes
	Heap    int64 // what Go had from the system, in bytes
}

// enough is the minimum number of records to read; a shorter stream is read repeatedly,
// because a thousand records take only a few milliseconds.
const enough = 100_000

// growthTable measures streams of a thousand records and ten times as many each time, up
// to largest. Each is one .json.gz stream, read from a file by its own process, because a
// process's peak memory cannot be reset.
func growthTable(out io.Writer, largest int) error {
	dir, err := os.MkdirTemp("", "keytrail-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Fprintf(out, "\nGrowth: one .json.gz stream to OTLP bytes, a process for each\n")
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "records\tpacked MB\tns/record\tpeak resident MB\tfrom the system MB\t\n")
	for records := 1000; records <= largest; records *= 10 {
		path := filepath.Join(dir, "stream.json.gz")
		size, err := writeStream(path, records)
		if err != nil {
			return err
		}
		s, err := inChild(path)
		if err != nil {
			return err
		}
		if s.Records != records {
			return fmt.Errorf("%d records came out of a stream of %d", s.Records, records)
		}
		fmt.Fprintf(w, "%d\t%.1f\t%d\t%.1f\t%.1f\t\n", records, float64(size)/1e6, s.CPU,
			float64(s.Peak)/1e6, float64(s.Heap)/1e6)
	}
	return w.Flush()
}

// writeStream writes {"Records":[...]} with n records as one gzip member and returns its
// packed size.
func writeStream(path string, records int) (int64, error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	z := gzip.NewWriter(f)
	fmt.Fprint(z, `{"Records":[`) // the writer keeps its errors until Close
	first := true
	for r := range corpus.Records(records) {
		if !first {
			fmt.Fprint(z, ",")
		}
		first = false
		if _, err := z.Write(r); err != nil {
			return 0, err
		}
	}
	fmt.Fprint(z, "]}")
	if err := z.Close(); err != nil {
		return 0, err
	}
	return f.Seek(0, io.SeekCurrent)
}

// inChild runs this program again for one stream.
func inChild(path string) (s streamed, err error) {
	self, err := os.Executable()
	if err != nil {
		return s, err
	}
	child := exec.Command(self, "-growth-of", path)
	child.Stderr = os.Stderr
	text, err := child.Output()
	if err != nil {
		return s, fmt.Errorf("the process that reads %s failed: %w", path, err)
	}
	return s, json.NewDecoder(bytes.NewReader(text)).Decode(&s)
}

// growthChild reads a stream and prints its cost.
func growthChild(out io.Writer, path string) error {
	s, err := readStream(path)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(s)
}

func readStream(path string) (s streamed, err error) {
	k := newKeytrail()
	start, err := cpuTime()
	if err != nil {
		return s, err
	}
	total := 0
	for total == 0 || total < enough {
		f, err := os.Open(path)
		if err != nil {
			return s, err
		}
		s.Records, err = k.stream(f)
		f.Close()
		if err != nil {
			return s, err
		}
		if s.Records == 0 {
			return s, fmt.Errorf("%s holds no records", path)
		}
		total += s.Records
	}
	end, err := cpuTime()
	if err != nil {
		return s, err
	}
	s.CPU = int64(end-start) / int64(total)
	if s.Peak, err = peak(); err != nil {
		return s, err
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s.Heap = int64(m.Sys)
	return s, nil
}

// peak returns the process's largest resident memory. It reads /proc on Linux, where
// getrusage includes the parent process.
func peak() (int64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err == nil {
		var kilobytes int64
		_, rest, _ := strings.Cut(string(status), "VmHWM:")
		_, err = fmt.Sscan(rest, &kilobytes)
		return kilobytes << 10, err
	}
	var u syscall.Rusage
	err = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	if runtime.GOOS == "darwin" { // in bytes there, in kilobytes elsewhere
		return u.Maxrss, err
	}
	return u.Maxrss << 10, err
}
