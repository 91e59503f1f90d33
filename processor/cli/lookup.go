package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"keytrail/processor/source/aws/lookup"
)

const lookupAbout = `Asks CloudTrail's event history (LookupEvents) for the events with an attribute and
prints those of AWS KMS, and those that change a trail, as OpenTelemetry log records,
the newest first. It reaches back 90 days and needs no trail; it answers twice a
second, 50 events each. Names of attributes: EventId, EventName, ReadOnly, Username,
ResourceType, ResourceName, EventSource, AccessKeyId.`

// lookup is "keytrail lookup --attribute NAME=VALUE".
func (a *app) lookup(args []string) int {
	f := a.flags("lookup", "--attribute NAME=VALUE [FLAGS]", lookupAbout)
	attribute := lookup.Attribute{Name: "EventSource", Value: "kms.amazonaws.com"}
	f.Var(checked[lookup.Attribute]{&attribute, func(text string) (lookup.Attribute, bool) {
		at, err := lookup.ParseAttribute(text)
		return at, err == nil
	}, "NAME=VALUE with one of the names of keytrail lookup -h"}, "attribute", "the attribute, `NAME=VALUE`")
	body := "keep"
	f.choice(&body, "body", "the original event as the record's body: `keep|none`", "keep", "none")
	var when sinceUntil
	when.register(f, time.Now(), 24*time.Hour)
	a.awsFlags(f)
	rest, code, done := a.parse(f, args)
	if done {
		return code
	}
	if len(rest) > 0 || !when.since.Before(when.until) {
		a.errorf("lookup takes no paths, and --since must be before --until; see keytrail lookup -h")
		return exitUsage
	}
	cfg, err := a.awsConfig()
	if err != nil {
		return a.fail(err)
	}
	client := lookup.NewClient(cfg)
	name := fmt.Sprintf("lookup:%s/%s=%s", client.Region(), attribute.Name, attribute.Value)
	return a.printRecords(recordOptions{omitBody: body == "none"}, one(a.ctx, name, func(ctx context.Context) io.ReadCloser {
		return client.Open(ctx, lookup.Query{Region: client.Region(), Attributes: []lookup.Attribute{attribute},
			From: when.since.Truncate(time.Second), To: when.until.Truncate(time.Second).Add(time.Second)})
	}))
}
