package cli

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"time"

	"keytrail/processor/anomaly"
	"keytrail/processor/count"
	"keytrail/processor/entity"
	"keytrail/processor/read"
	"keytrail/processor/scan"
	"keytrail/processor/window"
	"keytrail/schemas/kms"
	"keytrail/schemas/otellog"
	"keytrail/schemas/wire"
)

const usageAbout = `Shows who used a KMS key, from CloudTrail files: for each principal its first and last
use, its calls, how many of them were refused or failed, and of which operation classes
they were. Every call counts once, as in "keytrail scan", and PATHS are as there. ARN is
that of the key, or of an alias. Calls that name an alias only count for the key that
the alias stood for, where the trail tells that. Times are exact to the minute.

As JSON it prints a keytrail.window record for each principal, from the minute of its
first use to the end of that of its last one.`

// usage is "keytrail usage --key ARN PATHS".
func (a *app) usage(args []string) int {
	f := a.flags("usage", "--key ARN [FLAGS] PATHS", usageAbout)
	key, output := "", "auto"
	f.StringVar(&key, "key", "", "`ARN` of the KMS key, or of an alias")
	f.choice(&output, "o", "output: `json|table|auto` (auto: a table on a terminal, else json)", "json", "table", "auto")
	var ff fileFlags
	ff.register(f)
	a.awsFlags(f)
	paths, code, done := a.parse(f, args)
	if done {
		return code
	}
	e := wire.Entity{Scope: wire.ScopeKey, KeyARN: key}
	if p := strings.SplitN(key, ":", 6); len(paths) == 0 || len(p) != 6 || p[0] != "arn" || !strings.HasPrefix(p[5], "key/") && !e.IsAlias() {
		a.errorf("usage needs --key with the ARN of a KMS key or an alias, and files, directories or -; see keytrail usage -h")
		return exitUsage
	}
	dead, err := a.letters(ff.deadLetter)
	if err != nil {
		return a.fail(err)
	}
	cfg := scan.Config{Detect: window.DefaultConfig(), Read: read.Options{Limits: ff.limits}, Workers: runtime.GOMAXPROCS(0), Now: time.Now(), DeadLetter: dead.put}
	cfg.Detect.Size, cfg.Detect.MaxEntities, cfg.Detect.MaxAccountEntities = int64(time.Minute), scan.MaxEntities, scan.MaxAccountEntities
	u := &users{key: key, found: map[string]*entity.Window{}}
	totals, err := a.runUsage(cfg, paths, u)
	if cerr := dead.close(); err == nil {
		err = cerr
	}
	if err != nil {
		return a.fail(err)
	}
	if output == "json" || output == "auto" && !terminal(a.stdout) {
		err = u.json(a.stdout, cfg.Now.UnixNano())
	} else {
		err = u.table(a.stdout)
	}
	if err != nil {
		return a.fail(fmt.Errorf("cannot write the usage: %w", err))
	}
	fmt.Fprintf(a.stderr, "%d objects, %d records: %d calls counted, %d of them on the key by %s; %d duplicates, %d filtered%s, %d dead letters\n",
		totals.Objects, totals.Received, totals.Counted, u.calls(), number(len(u.found), "principal"), totals.Duplicates, totals.Filtered, totals.FilteredBy.Named(), totals.DeadLettered)
	a.shared(totals)
	if totals.DeadLettered > 0 {
		return exitDead
	}
	return exitOK
}

// runUsage reads files and gathers the windows of the key's users.
func (a *app) runUsage(cfg scan.Config, paths []string, u *users) (scan.Totals, error) {
	s := scan.New(cfg)
	defer s.Close()
	stop := a.progress(s)
	err := s.Read(a.ctx, a.objects(paths))
	stop()
	if err != nil {
		return scan.Totals{}, err
	}
	return s.Finish(func(r *window.Result) error {
		u.add(r.Window, cfg.Detect.Size)
		return a.ctx.Err()
	})
}

// users are the principals that used a KMS key: of each one window, from its first use
// to its last, that adds up those of a minute. It grows with the principals only.
type users struct {
	key   string
	found map[string]*entity.Window // by principal
}

// add takes a window of size ns of any entity.
func (u *users) add(w *entity.Window, size int64) {
	if w.Scope != wire.ScopePair || w.KeyARN != u.key && !(w.IsAlias() && w.Bound != nil && w.Bound.ARN == u.key) {
		return
	}
	sum := u.found[w.Principal]
	if sum == nil {
		e := wire.Entity{Scope: wire.ScopePair, KeyARN: u.key, Principal: w.Principal}
		sum = &entity.Window{Partial: wire.Partial{Entity: e, Start: w.Start}, Closed: true, Revision: 1, Size: size}
		u.found[w.Principal] = sum
	}
	end := max(sum.Start+sum.Size, w.Start+size)
	sum.Start = min(sum.Start, w.Start)
	sum.Size = end - sum.Start
	count.Merge(&sum.Partial, &w.Partial)
}

// calls is the number of calls on the key.
func (u *users) calls() (n int64) {
	for _, w := range u.found {
		n += count.Get(&w.Partial, wire.CounterCalls)
	}
	return n
}

// list returns the users in the order of their first use.
func (u *users) list() []*entity.Window {
	return slices.SortedFunc(maps.Values(u.found), func(a, b *entity.Window) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.Principal, b.Principal))
	})
}

// json prints a line for each user.
func (u *users) json(to io.Writer, now int64) error {
	out := bufio.NewWriter(to)
	var rec otellog.Record
	var buf []byte
	for _, w := range u.list() {
		anomaly.WindowRecord(&rec, w, w.Size, now)
		buf = append(otellog.AppendJSON(buf[:0], &rec), '\n')
		out.Write(buf)
	}
	return out.Flush()
}

// table prints a row for each user.
func (u *users) table(to io.Writer) error {
	out := bufio.NewWriter(to)
	if len(u.found) > 0 {
		fmt.Fprintf(out, "%-17s %-17s %9s %7s %7s  %s\n", "FIRST USE", "LAST USE", "CALLS", "REFUSED", "FAILED", "PRINCIPAL: OPERATIONS")
	}
	for _, w := range u.list() {
		get := func(id wire.CounterID) int64 { return count.Get(&w.Partial, id) }
		fmt.Fprintf(out, "%-17s %-17s %9d %7d %7d  %s: %s\n", minuteOf(w.Start), minuteOf(w.Start+w.Size-int64(time.Minute)),
			get(wire.CounterCalls), get(wire.CounterDenied), get(wire.CounterFailed), plain(shortARN(w.Principal)), operations(&w.Partial))
	}
	return out.Flush()
}

// operations lists the operation classes of calls, the most frequent first.
func operations(p *wire.Partial) string {
	type class struct {
		name string
		n    int64
	}
	var classes []class
	for c := range kms.NumClasses {
		if n := count.Get(p, wire.CounterClass+wire.CounterID(c)); n > 0 {
			classes = append(classes, class{c.String(), n})
		}
	}
	slices.SortStableFunc(classes, func(a, b class) int { return cmp.Compare(b.n, a.n) })
	var list []string
	for _, c := range classes {
		list = append(list, fmt.Sprintf("%s %d", c.name, c.n))
	}
	return strings.Join(list, ", ")
}
