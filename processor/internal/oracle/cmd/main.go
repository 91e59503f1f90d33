// Command cmd counts files of CloudTrail events with the oracle and prints the counts as
// tab-separated lines on standard output (see oracle.WriteTSV).
//
//	go run ./processor/internal/oracle/cmd -size 5m PATH...
//
// Paths are files and directories. It exits with 0, with 1 if a file cannot be read, and
// with 2 on wrong usage.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"keytrail/processor/internal/oracle"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is main with its environment as arguments; it returns the exit code.
func run(args []string, out, errs io.Writer) int {
	flags := flag.NewFlagSet("oracle", flag.ContinueOnError)
	flags.SetOutput(errs)
	size := flags.Duration("size", 5*time.Minute, "size of a window, in whole seconds")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if flags.NArg() == 0 {
		fmt.Fprintln(errs, "cannot count nothing: name at least one file or directory")
		return 2
	}
	result, err := oracle.Count(flags.Args(), *size)
	if err == nil {
		err = result.WriteTSV(out)
	}
	if err != nil {
		fmt.Fprintln(errs, err)
		return 1
	}
	return 0
}
