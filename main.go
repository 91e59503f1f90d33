// Command keytrail turns the audit trail of AWS KMS keys into windows of exact
// counts and into anomalies. See README.md, or run "keytrail help".
package main

import (
	"os"

	"keytrail/processor/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
