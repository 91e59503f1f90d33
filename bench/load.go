package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"

	"keytrail/schemas/corpus"
)

// data is the corpus in memory.
type data struct {
	records                  [][]byte // each record's JSON
	texts                    [][]byte // each file's JSON
	packed                   [][]byte // each file's gzip
	recordBytes, packedBytes int      // sums
}

// load makes the first files of the corpus. They are outside Go's heap: with 288 MB of
// live heap the garbage collector would hardly ever run, which would favor programs that
// allocate much. A program that reads a trail has a small heap.
func load(files int) (d data, err error) {
	for n := range files {
		_, made, records := corpus.File(n)
		text, err := offHeap(made)
		if err != nil {
			return d, err
		}
		packed, err := offHeap(corpus.Gzip(made))
		if err != nil {
			return d, err
		}
		at := bytes.IndexByte(text, '[') + 1
		for _, r := range records {
			d.records = append(d.records, text[at:at+len(r):at+len(r)])
			d.recordBytes += len(r)
			at += len(r) + len(",")
		}
		d.texts, d.packed = append(d.texts, text), append(d.packed, packed)
		d.packedBytes += len(packed)
	}
	return d, nil
}

// offHeap copies b into separate memory, unknown to the garbage collector. It is never
// freed.
func offHeap(b []byte) ([]byte, error) {
	mem, err := syscall.Mmap(-1, 0, len(b), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("cannot get %d bytes for the corpus: %w", len(b), err)
	}
	copy(mem, b)
	return mem, nil
}

// machine describes the machine of the measurements.
func machine() string {
	model := "unknown processor"
	if f, err := os.Open("/proc/cpuinfo"); err == nil {
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%s, %d CPUs, %s/%s, %s", model, runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
}
