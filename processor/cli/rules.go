package cli

import (
	"bufio"
	"fmt"

	"keytrail/processor/sigma"
)

const rulesAbout = `Checks rules in Sigma form: the files below the directories whose names end in
.yml or .yaml, and single files. Each problem is told as FILE:LINE: what is wrong; what
to do, and the exit code is 1 when there are any. With a sample it tells as well which of
its events match which rules, and which correlations fire. A call that the sample has
several times counts once, by its first record.`

// ruleFlags are the flags of "keytrail rules check".
type ruleFlags struct {
	sample list
	output string
	shown  int // call ids of a rule
	files  fileFlags
}

// rules is "keytrail rules check DIR".
func (a *app) rules(args []string) int {
	f := a.flags("rules", "check [FLAGS] DIR", rulesAbout)
	rf := ruleFlags{output: "auto", shown: 3}
	f.Var(&rf.sample, "sample", "`PATH` of CloudTrail events to try the rules on, as for scan (may be repeated)")
	f.choice(&rf.output, "o", "output: `json|table|auto` (auto: a table on a terminal, else json)", "json", "table", "auto")
	integer(f, &rf.shown, "calls", "how many call `ids` to show of each rule", 0, 1000)
	rf.files.register(f)
	rest, code, done := a.parse(f, args)
	if done {
		return code
	}
	if len(rest) < 2 || rest[0] != "check" {
		a.errorf("rules needs check, and a directory of rules; see keytrail rules -h")
		return exitUsage
	}
	rules, code := a.loadRules(rest[1:], exitError)
	if rules == nil {
		return code
	}
	if rf.output == "auto" {
		rf.output = "json"
		if terminal(a.stdout) {
			rf.output = "table"
		}
	}
	return a.tried(rules, &rf)
}

// tried tries the rules on the sample, if there is one, and prints what is known.
func (a *app) tried(rules *sigma.Rules, rf *ruleFlags) int {
	dead, err := a.letters(rf.files.deadLetter)
	if err != nil {
		return a.fail(err)
	}
	t := newTrial(a, rules, rf.shown, dead)
	if len(rf.sample) > 0 {
		err = t.read(rf.sample, rf.files.limits)
	}
	if cerr := dead.close(); err == nil {
		err = cerr
	}
	if err != nil {
		return a.fail(err)
	}
	out := bufio.NewWriter(a.stdout)
	if rf.output == "json" {
		err = t.json(out)
	} else {
		t.table(out, len(rf.sample) > 0)
	}
	if ferr := out.Flush(); err == nil {
		err = ferr
	}
	if err != nil {
		return a.fail(fmt.Errorf("cannot write the result: %w", err))
	}
	fmt.Fprintf(a.stderr, "%s, %s, %s left out", number(len(rules.List), "rule"), number(len(rules.Correlations), "correlation"), number(len(rules.Skipped), "document"))
	if len(rf.sample) > 0 {
		fmt.Fprintf(a.stderr, "; %s: %s, %d of them not of KMS or a trail, %s, %s", number(t.records(), "record"), number(t.calls, "call"), t.outside,
			number(t.duplicates, "duplicate"), number(dead.n, "dead letter"))
	}
	fmt.Fprintln(a.stderr)
	if dead.n > 0 {
		return exitDead
	}
	return exitOK
}

// number writes "1 rule" and "2 rules".
func number(n int, of string) string {
	if n != 1 {
		of += "s"
	}
	return fmt.Sprintf("%d %s", n, of)
}
