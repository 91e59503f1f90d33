package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"keytrail/processor/internal/quality/family"
	"keytrail/processor/window"
)

// options are the command line's.
type options struct {
	world
	out          string
	data         string
	rulesDir     string
	explain, fit bool
	families     string // "": those of the report
	contact      string
}

func main() {
	o, err := parse(os.Args[1:], os.Stderr)
	if err != nil {
		os.Exit(2)
	}
	if err := run(o, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "quality:", err)
		os.Exit(1)
	}
}

// accounts are those of the measured trails.
var accounts = []string{"111122223333", "444455556666", "123456789012", "210987654321", "345678901234", "543210987654"}

func parse(args []string, errors io.Writer) (o options, err error) {
	f := flag.NewFlagSet("quality", flag.ContinueOnError)
	f.SetOutput(errors)
	seeds := f.String("seeds", "101,102,103", "trails to measure on; 1 to 99 are for training, from 100 on for testing")
	f.IntVar(&o.keys, "keys", 300, "KMS keys")
	f.IntVar(&o.world.principals, "principals", 1000, "principals")
	f.IntVar(&o.world.days, "days", 35, "days; the first two fifths are for learning")
	f.IntVar(&o.events, "events", 8_000_000, "about how many background records a trail has")
	f.IntVar(&o.repeat, "repeat", 6, "how often each scenario is planted in a trail")
	scenarios := f.String("scenarios", "", "plant these alone, such as burst,slow_drip; \"\": all")
	f.StringVar(&o.out, "o", "", "`file` to write the report to, in Markdown; \"\": standard output")
	f.StringVar(&o.data, "data", dataDir(), "`folder` with nab-realAWSCloudWatch; by default KEYTRAIL_DATA, else "+
		"../shared/data")
	f.StringVar(&o.rulesDir, "rules", "processor/internal/quality/rules", "`folder` with the user's rules to "+
		"measure; \"\": none")
	f.BoolVar(&o.explain, "explain", false, "tell the causes of false anomalies and the incidents that were missed, "+
		"and write no report")
	f.BoolVar(&o.fit, "fit", false, "print the thresholds with the best F1 on these seeds, and write no report")
	f.StringVar(&o.families, "families", "", "measure the family with this name, or all, alone, and write no report")
	f.StringVar(&o.contact, "contact", "", "measure the family with this name for the first time: see the package comment")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	o.accounts = accounts[:min(len(accounts), max(1, o.keys/5))]
	if *scenarios != "" {
		o.scenarios = strings.Split(*scenarios, ",")
	}
	for _, s := range strings.Split(*seeds, ",") {
		n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 64)
		if err != nil {
			fmt.Fprintf(errors, "quality: -seeds %q is not a list of numbers such as 101,102\n", *seeds)
			return o, err
		}
		o.seeds = append(o.seeds, n)
	}
	if f.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", f.Arg(0))
		fmt.Fprintln(errors, "quality:", err)
	}
	return o, err
}

func dataDir() string {
	if dir := os.Getenv("KEYTRAIL_DATA"); dir != "" {
		return dir
	}
	return "../shared/data"
}

func run(o options, out, progress io.Writer) error {
	switch {
	case o.contact != "":
		return meetFirst(o.contact, contactFile, out)
	case o.families != "":
		return trainFamilies(o.families, o.seeds, o.explain, out)
	}
	rules, err := readRules(o.rulesDir)
	if err != nil {
		return err
	}
	o.rules = rules
	m, err := measure(o.world, window.DefaultConfig(), func(seed uint64, m *measured, took time.Duration) {
		f := m.ours.at(0, nil)
		fmt.Fprintf(progress, "seed %d: %d records, %d windows in %v; found %d of %d, %d anomalies, %d false\n",
			seed, m.totals.records, m.totals.windows, took.Round(time.Second), f.found, f.planted, f.anomalies, f.wrong)
	})
	if err != nil {
		return err
	}
	switch {
	case o.explain:
		explain(out, m)
		return nil
	case o.fit:
		fit(out, m)
		return nil
	}
	families, err := measureFamilies(family.All, contactSeeds, familySize, window.DefaultConfig(),
		func(c *contact, took time.Duration) {
			fmt.Fprintf(progress, "%s, seed %d: %d records in %v\n", c.family.Name, c.seed, c.records, took.Round(time.Second))
		})
	if err != nil {
		return err
	}
	first, err := readContacts(contactFile)
	if err != nil {
		return err
	}
	n := runNAB(o.data)
	if n.err != nil {
		fmt.Fprintf(progress, "NAB DID NOT RUN: %v. -data must name the folder that holds nab-realAWSCloudWatch.\n", n.err)
	}
	text := report(o, m, families, first, n)
	if o.out == "" {
		_, err := io.WriteString(out, text)
		return err
	}
	return os.WriteFile(o.out, []byte(text), 0o644)
}
