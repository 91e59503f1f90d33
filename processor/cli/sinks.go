package cli

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"keytrail/processor/cli/flags"
	"keytrail/processor/config"
	"keytrail/processor/sink"
	"keytrail/processor/sink/all"
	"keytrail/processor/stream"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// sinks is "keytrail sinks list|test|setup".
func (a *app) sinks() *cobra.Command {
	cmd := &cobra.Command{
		Use: "sinks COMMAND [FLAGS]", GroupID: groupRun,
		Short: "List the types of sinks, or test or set up a configured one",
		Long: "Lists the types of sinks, sends a test record to a sink of a configuration, or installs\n" +
			"what it needs at its receiver.",
		Example: "keytrail sinks list\n" +
			"keytrail sinks setup siem -c keytrail.yaml\n" +
			"keytrail sinks test siem -c keytrail.yaml",
		RunE: parent,
	}
	var file string
	test := &cobra.Command{
		Use: "test NAME -c FILE", Short: "Send one marked record to a sink",
		Long: "Sends one record to the sink NAME of a configuration, once, and prints the receiver's\n" +
			"answer. The record has the form of a call, the operation KeytrailSinkTest and a new id,\n" +
			"so it tests address, encryption and credentials, and can be found at the receiver. A sink\n" +
			"for anomalies gets one of severity low, and its end if the receiver waits for one. Filter\n" +
			"and batches do not apply.",
		Example: "keytrail sinks test siem -c keytrail.yaml",
		RunE: func(_ *cobra.Command, args []string) error {
			if file == "" || len(args) != 1 {
				return usagef("sinks test needs the NAME of a sink, and -c FILE; see keytrail sinks test --help")
			}
			return a.testSink(file, args[0])
		},
	}
	flags.Config(test, &file, "configuration `FILE`")
	cmd.AddCommand(&cobra.Command{
		Use: "list", Short: "List the types of sinks", Args: noArguments,
		Long:    "Lists the types of sinks with their protocols, and the bodies that they send.",
		Example: "keytrail sinks list",
		RunE: func(*cobra.Command, []string) error {
			t := tabwriter.NewWriter(a.table(), 0, 0, 3, ' ', 0)
			fmt.Fprintln(t, "TYPE\tPROTOCOLS\tBODIES")
			for _, k := range all.Kinds {
				fmt.Fprintf(t, "%s\t%s\t%s\n", k.Type, strings.Join(k.Protocols, ", "), strings.Join(k.Bodies, ", "))
			}
			return t.Flush()
		},
	}, test, a.sinksSetup())
	return cmd
}

// testSink sends a test record to the named sink.
func (a *app) testSink(file, name string) error {
	cfg, to, err := a.sinkOf(file, name)
	if err != nil {
		return err
	}
	return a.sendTest(cfg, *to)
}

// sinkOf returns the configuration in a file and its sink with a name.
func (a *app) sinkOf(file, name string) (*config.Config, *config.Sink, error) {
	cfg, err := a.load(file)
	if err != nil {
		return nil, nil, usageError{err}
	}
	var names []string
	for i := range cfg.Sinks {
		if cfg.Sinks[i].Name == name {
			return cfg, &cfg.Sinks[i], nil
		}
		names = append(names, cfg.Sinks[i].Name)
	}
	return nil, nil, usagef("%s has no sink %q%s; its sinks: %s", file, name, flags.DidYouMean("", name, names),
		strings.Join(names, ", "))
}

// testTimeout bounds a test, whatever the sink's own bounds are.
const testTimeout = time.Minute

// sendTest sends a test record to a sink and prints the answer.
func (a *app) sendTest(cfg *config.Config, s config.Sink) error {
	id, took, err := a.tryTest(cfg, s)
	if err == nil {
		fmt.Fprintf(a.stdout, "sink %s took the test record %s in %v\n", s.Name, id, took)
	}
	return err
}

// tryTest sends a test record with a new id to a sink. took is how long the delivery took.
func (a *app) tryTest(cfg *config.Config, s config.Sink) (id string, took time.Duration, err error) {
	to, err := openBeside(cfg, &s, "test")
	if err != nil {
		return "", 0, err
	}
	id = "keytrail-test-" + strings.ToLower(rand.Text()[:12])
	ctx, cancel := context.WithTimeout(a.ctx, testTimeout)
	defer cancel()
	began := time.Now()
	deliver := func(rec sink.Record) error {
		if len(cfg.Resource) > 0 { // as stage forward does
			rec.Value = otellog.AppendWithResource(nil, rec.Value, otellog.EncodeResource(resource(cfg.Resource)))
		}
		return to.Deliver(ctx, []sink.Record{rec})
	}
	notifier, notifies := s.To.(sink.Notifier)
	if notifies {
		err = deliver(testAnomaly(id, "open", began))
	} else {
		err = deliver(testRecord(id, began))
	}
	if notifies && err == nil && notifier.Ends() {
		err = deliver(testAnomaly(id, "ended", began))
	}
	took = time.Since(began).Round(time.Millisecond)
	if closed := to.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return id, took, fmt.Errorf("sink %q did not take the test record %s (%v): %w", s.Name, id, took, err)
	}
	return id, took, nil
}

// openBeside opens a sink for another purpose than to forward. Its group is that of no
// running sink, which must not be disturbed: no name or id of a sink has a dot.
func openBeside(cfg *config.Config, s *config.Sink, purpose string) (sink.Sink, error) {
	group := (&stream.Pipeline{TransactionID: cfg.Kafka.TransactionalID}).SinkGroup(s.ID, s.Name) + "." + purpose
	to, err := s.To.Open(sink.Identity{Name: s.Name, Group: group})
	if err != nil {
		return nil, fmt.Errorf("sink %q: %w", s.Name, err)
	}
	return to, nil
}

// testAnomaly returns an anomaly that nobody found, for sinks that take anomalies only.
func testAnomaly(id, state string, now time.Time) sink.Record {
	var rec otellog.Record
	rec.EventName, rec.Time, rec.Observed = semconv.EventKeytrailAnomaly, now.UnixNano(), now.UnixNano()
	rec.Severity, rec.Body = otellog.SeverityWarn, "This is a test by keytrail sinks test. Nothing was found."
	rec.String(semconv.LogRecordUID, id+"-"+state)
	rec.String(semconv.KeytrailAnomalyID, id)
	rec.String(semconv.KeytrailAnomalyKind, "rule")
	rec.String(semconv.KeytrailAnomalyDetector, "KeytrailSinkTest")
	rec.String(semconv.KeytrailAnomalySeverity, "low")
	rec.String(semconv.KeytrailAnomalyReason, rec.Body)
	rec.String(semconv.KeytrailAnomalyState, state)
	return sink.Record{Value: otellog.AppendRequest(nil, &rec), EventName: rec.EventName, Key: []byte(id)}
}

// testRecord returns the record of a call that nobody made.
func testRecord(id string, now time.Time) sink.Record {
	var rec otellog.Record
	rec.EventName, rec.Time, rec.Observed = semconv.EventAWSKMSAPICall, now.UnixNano(), now.UnixNano()
	rec.Severity = otellog.SeverityInfo
	rec.Body = `{"keytrail":"test of a sink"}`
	rec.Where(semconv.CloudProvider, "aws")
	rec.Where(semconv.CloudAccountID, "000000000000")
	rec.String(semconv.LogRecordUID, id)
	rec.String(semconv.KeytrailCallID, id)
	rec.String(semconv.RPCMethod, "KeytrailSinkTest")
	return sink.Record{Value: otellog.AppendRequest(nil, &rec), EventName: rec.EventName, Key: []byte(id)}
}
