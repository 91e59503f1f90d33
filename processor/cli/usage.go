package cli

import (
	"bufio"
	"errors"
	"fmt"
	"iter"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"keytrail/processor/cli/flags"
	"keytrail/processor/cli/input"
	"keytrail/processor/count"
	"keytrail/processor/keyledger"
	"keytrail/processor/report"
	"keytrail/processor/scan"
	"keytrail/processor/screen"
	"keytrail/processor/source"
	"keytrail/processor/usage"
	"keytrail/schemas/decoding"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// usaging is one run of "keytrail usage".
type usaging struct {
	*app
	in                     *input.Input
	cfg                    scan.Config
	file                   string // of a configuration, for Kafka
	key, principal, output string
	period                 flags.Period
	idleAfter              time.Duration
	ask, verify            bool

	mu       sync.Mutex // guards the following while objects are read
	ledger   *keyledger.Ledger
	coverage *usage.Coverage
	call     count.Call
	inputs   input.Hashes
	recent   *usage.Recent // nil unless AWS is asked
	digests  *verifying    // nil unless digests are verified
}

// usage is "keytrail usage PATHS".
func (a *app) usage() *cobra.Command {
	u := &usaging{app: a, in: a.input(), cfg: scanConfig(), ledger: keyledger.New(), coverage: usage.NewCoverage(),
		idleAfter: 30 * 24 * time.Hour}
	cmd := &cobra.Command{
		Use: "usage [FLAGS] PATHS", GroupID: groupAnalyze,
		Short: "Show who used a KMS key, when and how often, and whether it may go",
		Long: "Shows what KMS keys were used for, from CloudTrail files: first and last use, calls by\n" +
			"principal, operation, service and encryption context, the ledger of the key (state,\n" +
			"aliases, grants, rotation, deletion), how well the files cover its account and Region,\n" +
			"and a verdict with reasons. Every call counts once, as in \"keytrail scan\", and PATHS are\n" +
			"as there. A use is a cryptographic operation that succeeded.\n\n" +
			"--key is the ARN or the id of a KMS key, or an alias; without it the command shows all\n" +
			"keys. Calls that name only an alias count for the key that the alias stood for, where the\n" +
			"trail tells that.\n\n" +
			"With -c it reads the records that the topic of events still has, without a consumer\n" +
			"group.\n\n" +
			"As JSON it prints one object per KMS key and line. docs/ledger.md explains the verdicts.",
		Example: "keytrail usage trail/\n" +
			"keytrail usage -c keytrail.yaml --key alias/app\n" +
			"keytrail usage --key arn:aws:kms:eu-central-1:111122223333:key/1234abcd-… trail/\n" +
			"keytrail usage --key alias/app --since 2160h -o markdown s3://trail/AWSLogs >app.md",
		RunE: func(_ *cobra.Command, paths []string) error {
			if (len(paths) == 0) == (u.file == "") {
				return usagef("usage needs files, directories, s3://BUCKET/PREFIX or -, or else -c FILE to read Kafka; " +
					"see keytrail usage --help")
			}
			if err := u.period.Check(); err != nil {
				return usageError{err}
			}
			return u.in.Letters(func(l *input.Letters) error {
				u.cfg.DeadLetter, u.cfg.Read.Limits = l.Put, u.in.Limits
				return u.run(paths)
			})
		},
	}
	flags.Config(cmd, &u.file, "read the topic of events of the Kafka in this configuration `FILE` instead of PATHS")
	cmd.Flags().StringVar(&u.key, "key", "", "ARN or id of a `KMS key`, or an alias; by default all keys")
	cmd.Flags().StringVar(&u.principal, "principal", "",
		"count only calls of this `principal`: an ARN, or its end such as role/app")
	flags.Duration(cmd, &u.idleAfter, "idle-after", "how long a key in use may rest, a `duration`", time.Hour,
		10*365*24*time.Hour, time.Hour)
	flags.Output(cmd, &u.output, "form of the output; auto is a table on a terminal, else json", auto, report.JSON,
		report.Table, report.CSV, report.Markdown)
	cmd.Flags().BoolVar(&u.ask, "ask-aws", false,
		"ask KMS about each key shown (kms:DescribeKey, kms:GetKeyLastUsage), and compare")
	cmd.Flags().BoolVar(&u.verify, "verify-digests", false,
		"compare the files in S3 with CloudTrail's digests (cloudtrail:ListPublicKeys, s3:ListBucket)")
	u.period.Register(cmd, u.cfg.Now, "count calls")
	u.in.FileFlags(cmd)
	return cmd
}

// run reads the input, counts and prints.
func (u *usaging) run(paths []string) error {
	u.cfg.Detect.Size = int64(time.Second) // for exact times of aliases
	details := usage.NewDetails()
	u.cfg.Details, u.cfg.Ledger, u.cfg.Event = details, u.ledger, u.take
	var asked *asking
	if u.ask {
		var err error
		if asked, err = u.asking(); err != nil {
			return err
		}
		u.recent = &usage.Recent{}
	}
	var err error
	if u.digests, err = u.verifies(paths); err != nil {
		return err
	}
	sc := scan.New(u.cfg)
	defer sc.Close()
	stop := u.progress(sc)
	if u.file != "" {
		err = u.topic(sc)
	} else {
		err = sc.Read(u.ctx, u.objects(u.in.Objects(paths)))
	}
	stop()
	if err != nil {
		return err
	}
	counter := &usage.Counter{}
	if u.principal != "" {
		counter.Principal = func(name string) bool {
			return name == u.principal || strings.HasSuffix(name, ":"+u.principal) ||
				strings.HasSuffix(name, "/"+u.principal)
		}
	}
	totals, err := sc.Calls(func(c *count.Call, detail uint32) error {
		if u.period.Has(c.Time) {
			counter.Add(c, details.At(detail))
		}
		return u.ctx.Err()
	})
	if err != nil {
		return err
	}
	keys, err := u.print(counter, asked)
	if err != nil {
		return err
	}
	fmt.Fprintf(u.stderr,
		"%d objects, %d records: %d calls counted, %s shown; %d duplicates, %d filtered%s, %d dead letters\n",
		totals.Objects, totals.Received, totals.Counted, report.Number(keys, "KMS key"), totals.Duplicates, totals.Filtered,
		totals.FilteredBy.Named(), totals.DeadLettered)
	if n := counter.Unkept + u.ledger.Unkept; n > 0 {
		fmt.Fprintf(u.stderr, "%d calls are of KMS keys beyond the first %d, and are not shown\n", n, keyledger.MaxKeys)
	}
	return errors.Join(asked.failed(), u.digests.failed())
}

// objects hashes the objects while they are read, and takes the hours in their names.
func (u *usaging) objects(all iter.Seq2[source.Object, error]) iter.Seq2[source.Object, error] {
	return func(yield func(source.Object, error) bool) {
		for o, err := range all {
			if err == nil {
				u.named(o.Name)
				o = u.inputs.Object(u.digests.object(u.ctx, o))
			}
			if !yield(o, err) {
				return
			}
		}
	}
}

// named notes that a trail has delivered the file with a name.
func (u *usaging) named(name string) {
	account, region, minute := source.TrailFile(name)
	if t, err := time.Parse("20060102T1504Z", minute); err == nil {
		u.mu.Lock()
		u.coverage.Mark(account, region, t.UnixNano())
		u.mu.Unlock()
	}
}

// take takes a record into the coverage.
func (u *usaging) take(_ *decoding.Origin, rec *otellog.Record) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	count.FromRecord(rec, &u.call)
	u.coverage.Record(rec)
	if u.recent != nil && usage.IsUse(&u.call) {
		for _, key := range [...]string{u.call.Key, u.call.SecondKey} {
			if key != "" {
				u.recent.Add(key, rec.Time/int64(time.Second), rec.Str(semconv.LogRecordUID), rec.Str(semconv.AWSRequestID))
			}
		}
	}
	return nil
}

// print prints the reports and returns their number.
func (u *usaging) print(counter *usage.Counter, asked *asking) (keys int, err error) {
	from, to := u.coverage.Period()
	since, until := u.period.Bounds()
	r := usage.Reporter{Ledger: u.ledger, Counter: counter, Coverage: u.coverage, From: max(from, since),
		To: min(to, until), IdleAfter: u.idleAfter}
	if asked != nil {
		r.AWS, r.Recent = asked.key, u.recent
	}
	if u.key != "" {
		r.Wanted = usage.Named(u.key)
	}
	sum := u.inputs.Sum()
	sum.Digests, r.Digests = u.digests.digests(), u.digests.digests()
	out := bufio.NewWriter(u.stdout)
	p := report.NewUsage(u.form(u.output), out)
	s := screen.New(u.stdout, os.Getenv)
	p.Whole, p.Width, p.ASCII = u.key != "", s.Width, s.ASCII
	err = r.Each(func(r *usage.Report) error {
		if r.Version = release; u.file == "" { // Kafka's records are not the original bytes
			r.Inputs = sum
		}
		keys++
		return p.Put(r)
	})
	if ferr := out.Flush(); err == nil && ferr != nil {
		err = fmt.Errorf("cannot write the usage: %w", ferr)
	}
	if err == nil && keys == 0 && u.key != "" {
		fmt.Fprintf(u.stderr, "the input has no call of %s\n", u.key)
	}
	return keys, err
}
