// Bench measures how fast Keytrail turns CloudTrail events into OpenTelemetry log
// records, compared with encoding/json and other common libraries, over the corpus of
// keytrail/schemas/corpus.
//
// It is a separate module, so that the compared libraries are not dependencies of
// Keytrail. README.md describes the method and the limits of the comparison.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"

	"keytrail/schemas/corpus"
)

func main() {
	// One thread: otherwise the collector's background threads would use the second core,
	// and CPU time would depend on how idle that is.
	runtime.GOMAXPROCS(1)
	records := flag.Int("records", corpus.Size, "number of records of the corpus to measure over")
	rounds := flag.Int("rounds", 5, "how often every line of the tables is measured, in turns")
	growth := flag.Int("growth", 1_000_000, "the largest stream of the growth table, in records; 0 leaves the table out")
	child := flag.String("growth-of", "", "measure one stream, this file, for the growth table (the program calls "+
		"itself so)")
	flag.Parse()
	if err := run(*records, *rounds, *growth, *child); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(records, rounds, growth int, child string) error {
	if child != "" {
		return growthChild(os.Stdout, child)
	}
	if records < corpus.FileRecords || rounds < 1 {
		return fmt.Errorf("-records must be at least %d and -rounds at least 1", corpus.FileRecords)
	}
	d, err := load(records / corpus.FileRecords)
	if err != nil {
		return err
	}
	fmt.Printf("%s\n%d records in %d files, %.0f bytes each, packed %.0f; %d rounds; CPU time of the process, one "+
		"thread.\n",
		machine(), len(d.records), len(d.texts), float64(d.recordBytes)/float64(len(d.records)),
		float64(d.packedBytes)/float64(len(d.records)), rounds)
	peers := decoders()
	if err := agree(peers, d.records); err != nil {
		return err
	}
	fmt.Printf("All decoders read the same fields from each record.\n")
	tables, err := measure(d, peers, rounds)
	if err != nil {
		return err
	}
	report(os.Stdout, tables)
	if growth > 0 {
		return growthTable(os.Stdout, growth)
	}
	return nil
}
