package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"keytrail/processor/cli/flags"
	"keytrail/processor/cli/input"
	"keytrail/processor/source/aws/lookup"
)

// lookup is "keytrail lookup --attribute NAME=VALUE".
func (a *app) lookup() *cobra.Command {
	n := &normalizer{app: a, in: a.input()}
	attribute := lookup.Attribute{Name: "EventSource", Value: "kms.amazonaws.com"}
	now := time.Now()
	period := flags.Period{Since: now.Add(-24 * time.Hour), Until: now}
	cmd := &cobra.Command{
		Use: "lookup [FLAGS]", GroupID: groupAnalyze,
		Short: "Print events of CloudTrail's event history as log records",
		Long: "Asks CloudTrail's event history (LookupEvents) for the events with an attribute, and\n" +
			"prints those of AWS KMS, and those that change a trail, as OpenTelemetry log records, the\n" +
			"newest first. It reaches back 90 days and needs no trail. AWS allows two requests a\n" +
			"second, 50 events each.\n\n" +
			"Names of attributes: EventId, EventName, ReadOnly, Username, ResourceType, ResourceName,\n" +
			"EventSource, AccessKeyId.",
		Example: "keytrail lookup --attribute Username=alice --since 168h\n" +
			"keytrail lookup --attribute EventName=ScheduleKeyDeletion --since 2026-11-01T00:00:00Z -o csv",
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			if err := period.Check(); err != nil {
				return usageError{err}
			}
			cfg, err := n.in.AWSConfig()
			if err != nil {
				return err
			}
			client := lookup.NewClient(cfg)
			name := fmt.Sprintf("lookup:%s/%s=%s", client.Region(), attribute.Name, attribute.Value)
			query := lookup.Query{Region: client.Region(), Attributes: []lookup.Attribute{attribute},
				From: period.Since.Truncate(time.Second), To: period.Until.Truncate(time.Second).Add(time.Second)}
			return n.print(input.One(name, func() io.ReadCloser { return client.Open(a.ctx, query) }))
		},
	}
	flags.Func(cmd, &attribute, "attribute", "events with this attribute, `NAME=VALUE`",
		"NAME=VALUE with one of the names of keytrail lookup --help",
		lookup.ParseAttribute, func(at lookup.Attribute) string { return at.Name + "=" + at.Value })
	period.Register(cmd, now, "events")
	cmd.Flag("since").DefValue, cmd.Flag("until").DefValue = "24h", "0s"
	n.register(cmd)
	n.in.AWSFlags(cmd)
	return cmd
}
