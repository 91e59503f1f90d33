package cli

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"keytrail/processor/count"
	"keytrail/processor/detect"
	"keytrail/processor/scan"
	"keytrail/processor/source"
	"keytrail/processor/source/lookup"
	"keytrail/schemas/wire"
)

const usageAbout = `Tells who used a KMS key, how often, and when first and last: from PATHS, which are as
for scan, or without them from CloudTrail's event history (90 days, LookupEvents), for
which --since and --until are. A call recorded several times counts once; times are
those of the windows that hold the calls. Off a terminal it prints the windows of the
key, and of each principal on the key, as OTLP/JSON lines.`

// usage is "keytrail usage --key ARN".
func (a *app) usage(args []string) int {
	now := time.Now()
	f := a.flags("usage", "--key ARN [FLAGS] [PATHS]", usageAbout)
	key := f.String("key", "", "the KMS key's `ARN`")
	output := "auto"
	f.choice(&output, "o", "output: `json|table|auto` (auto: a table on a terminal, else json)", "json", "table", "auto")
	var when sinceUntil
	when.register(f, now, lookup.Retention-time.Hour)
	var ff fileFlags
	ff.register(f)
	a.awsFlags(f)
	paths, code, done := a.parse(f, args)
	switch {
	case done:
		return code
	case !wire.IsKeyARN(*key):
		a.errorf("usage needs --key with the ARN of a KMS key, such as arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab")
		return exitUsage
	case !when.since.Before(when.until):
		a.errorf("--since must be before --until")
		return exitUsage
	}
	objects := a.objects(paths)
	if len(paths) == 0 {
		var err error
		if objects, err = a.history(*key, when); err != nil {
			return a.fail(err)
		}
	}
	dead, err := a.letters(ff.deadLetter)
	if err != nil {
		return a.fail(err)
	}
	cfg := scan.Config{Detect: detect.DefaultConfig(), Workers: 1, Now: now, Limits: ff.limits, DeadLetter: dead.put}
	u := &usage{key: *key, out: bufio.NewWriter(a.stdout), users: map[string]*use{}, table: output == "table" || output == "auto" && terminal(a.stdout)}
	u.json = jsonPrinter{out: u.out, size: cfg.Detect.Size, now: now.UnixNano()}
	err = u.read(a.ctx, cfg, objects)
	if cerr := dead.close(); err == nil {
		err = cerr
	}
	if err != nil {
		return a.fail(err)
	}
	if dead.n > 0 {
		return exitDead
	}
	return exitOK
}

// history offers what the event history has about a key.
func (a *app) history(key string, when sinceUntil) (iter.Seq2[source.Object, error], error) {
	if a.aws.Region == "" {
		a.aws.Region = strings.Split(key, ":")[3] // events stand where the key is
	}
	cfg, err := a.awsConfig()
	if err != nil {
		return nil, err
	}
	client := lookup.NewClient(cfg)
	return one(a.ctx, "lookup:"+key, func(ctx context.Context) io.ReadCloser {
		return client.Open(ctx, lookup.Query{Region: client.Region(), Attributes: []lookup.Attribute{{Name: "ResourceName", Value: key}},
			From: when.since.Truncate(time.Second), To: when.until.Truncate(time.Second).Add(time.Second)})
	}), nil
}

// usage collects the windows of one KMS key.
type usage struct {
	key   string
	table bool
	out   *bufio.Writer
	json  jsonPrinter
	users map[string]*use // by principal
}

// use is what one principal did with the key.
type use struct {
	principal             string
	calls, denied, failed int64
	first, last           int64 // the starts of the windows
}

func (u *usage) read(ctx context.Context, cfg scan.Config, objects iter.Seq2[source.Object, error]) error {
	s := scan.New(cfg)
	defer s.Close()
	err := s.Read(ctx, objects)
	if err == nil {
		_, err = s.Finish(u.window)
	}
	if err == nil && u.table {
		u.print(cfg.Detect.Size)
	}
	if err == nil {
		err = written(u.out.Flush())
	}
	return err
}

// window takes one window, where it is of the key or of what stood for it.
func (u *usage) window(r *detect.Result) error {
	ours := r.KeyARN == u.key || r.Bound != nil && r.Bound.ARN == u.key
	if !ours || r.Scope == wire.ScopePrincipal {
		return nil
	}
	if !u.table {
		return u.json.result(r, true)
	}
	if r.Scope != wire.ScopePair || r.Size != 0 {
		return nil
	}
	w := u.users[r.Principal]
	if w == nil {
		w = &use{principal: strings.Clone(r.Principal), first: r.Start, last: r.Start}
		u.users[w.principal] = w
	}
	w.calls += count.Get(&r.Partial, wire.CounterCalls)
	w.denied += count.Get(&r.Partial, wire.CounterDenied)
	w.failed += count.Get(&r.Partial, wire.CounterFailed)
	w.first, w.last = min(w.first, r.Start), max(w.last, r.Start)
	return nil
}

// print prints a row for each principal, who used the key last first.
func (u *usage) print(size int64) {
	if len(u.users) == 0 {
		fmt.Fprintf(u.out, "no call on %s was found\n", plain(u.key))
		return
	}
	minute := func(ns int64) string { return time.Unix(0, ns).UTC().Format("2006-01-02 15:04Z") }
	fmt.Fprintf(u.out, "%-17s %-17s %9s %7s %7s  %s\n", "FIRST", "LAST", "CALLS", "DENIED", "FAILED", "PRINCIPAL")
	for _, w := range slices.SortedFunc(maps.Values(u.users), func(a, b *use) int {
		return cmp.Or(cmp.Compare(b.last, a.last), cmp.Compare(a.principal, b.principal))
	}) {
		fmt.Fprintf(u.out, "%-17s %-17s %9d %7d %7d  %s\n", minute(w.first), minute(w.last+size), w.calls, w.denied, w.failed, plain(w.principal))
	}
}
