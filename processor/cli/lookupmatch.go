package cli

import (
	"cmp"
	"container/heap"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"keytrail/processor/cli/flags"
	"keytrail/processor/source"
	"keytrail/processor/source/aws/lookup"
	"keytrail/schemas/kms"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// match chooses the log records that keytrail lookup prints: those that have all that is
// set.
type match struct {
	attributes              []lookup.Attribute
	key, principal          string // the beginning of an ARN or of an id
	address, error, context string
	period                  flags.Period
}

// register registers the flags of a match, except those of the period.
func (m *match) register(cmd *cobra.Command) {
	cmd.Flags().Func("attribute", "events with this attribute, `NAME=VALUE`; repeatable", func(text string) error {
		at, err := lookup.ParseAttribute(text)
		m.attributes = append(m.attributes, at)
		return err
	})
	cmd.Flags().StringVar(&m.key, "key", "", "events of KMS keys whose ARN, id or alias begins with this `text`")
	cmd.Flags().StringVar(&m.principal, "principal", "", "events of principals whose ARN or name begins with this `text`")
	cmd.Flags().StringVar(&m.address, "address", "", "events from this `address`")
	cmd.Flags().StringVar(&m.error, "error", "", "events with this error `code`, such as AccessDenied; * for any")
	cmd.Flags().StringVar(&m.context, "context", "", "events with this pair in their encryption context, `NAME=VALUE`")
}

// has reports whether a record matches.
func (m *match) has(rec *otellog.Record) bool {
	if !m.period.Has(rec.Time) {
		return false
	}
	for _, a := range m.attributes {
		if !attributeOf(rec, a) {
			return false
		}
	}
	begins := func(prefix string, names ...string) bool {
		return prefix == "" || slices.ContainsFunc(names, func(name string) bool {
			return name != "" && (strings.HasPrefix(name, prefix) || strings.HasPrefix(lastPart(name), prefix))
		})
	}
	code := rec.Str(semconv.ErrorType)
	return begins(m.key, targets(rec)...) && begins(m.principal, rec.Str(semconv.KeytrailPrincipalID)) &&
		(m.address == "" || rec.Str(semconv.ClientAddress) == m.address) &&
		(m.error == "" || code == m.error || m.error == "*" && rec.Str(semconv.KeytrailOutcome) != kms.OutcomeOK.String()) &&
		(m.context == "" || pair(rec.Str(semconv.AWSKMSEncryptionContext), m.context) ||
			pair(rec.Str(semconv.AWSKMSDestinationEncryptionContext), m.context))
}

// targets are the names of the keys and aliases of an event.
func targets(rec *otellog.Record) []string {
	return []string{rec.Str(semconv.AWSKMSKeyARN), rec.Str(semconv.AWSKMSKeyID), rec.Str(semconv.AWSKMSAliasARN),
		rec.Str(semconv.AWSKMSAliasName), rec.Str(semconv.AWSKMSDestinationKeyARN)}
}

// lastPart returns what stands behind the last slash or colon of a name.
func lastPart(name string) string { return name[strings.LastIndexAny(name, "/:")+1:] }

// pair reports whether an encryption context, as JSON, has NAME=VALUE.
func pair(context, want string) bool {
	name, value, _ := strings.Cut(want, "=")
	var pairs map[string]string
	if context == "" || json.Unmarshal([]byte(context), &pairs) != nil {
		return false
	}
	got, ok := pairs[name]
	return ok && got == value
}

// attributeOf reports whether a record has an attribute of LookupEvents.
// Source: AWS CloudTrail API reference, "LookupAttribute".
func attributeOf(rec *otellog.Record, a lookup.Attribute) bool {
	service, operation, _ := strings.Cut(rec.Str(semconv.RPCMethod), "/")
	switch a.Name {
	case "EventId":
		return rec.Str(semconv.LogRecordUID) == a.Value
	case "EventName":
		return operation == a.Value
	case "EventSource":
		return service == a.Value
	case "ReadOnly":
		v := rec.Get(semconv.AWSEventReadOnly)
		return v != nil && fmt.Sprint(v.Int != 0) == a.Value
	case "AccessKeyId":
		return rec.Str(semconv.AWSAccessKeyID) == a.Value
	case "Username": // a user's name, or that of a session
		return rec.Str(semconv.KeytrailPrincipalSession) == a.Value || lastPart(rec.Str(semconv.AWSPrincipalARN)) == a.Value
	case "ResourceName":
		return slices.Contains(targets(rec), a.Value)
	case "ResourceType":
		return strings.HasSuffix(a.Value, "::Key") && rec.Str(semconv.AWSKMSKeyARN) != ""
	}
	return false
}

// slack is how much later than its events a file may be delivered and still be read. AWS
// delivers most within 15 minutes.
const slack = 24 * time.Hour

// inTime leaves out trail files that were delivered before the period, or more than slack
// behind it.
func (m *match) inTime(objects iter.Seq2[source.Object, error], skipped *int) iter.Seq2[source.Object, error] {
	return func(yield func(source.Object, error) bool) {
		for o, err := range objects {
			at, bad := time.Parse("20060102T1504Z", source.Delivered(o.Name))
			early := !m.period.Since.IsZero() && at.Add(time.Minute).Before(m.period.Since)
			late := !m.period.Until.IsZero() && at.After(m.period.Until.Add(slack))
			if err == nil && bad == nil && (early || late) {
				*skipped++
				continue
			}
			if !yield(o, err) {
				return
			}
		}
	}
}

// newest keeps the newest records, encoded, as a heap with the oldest on top. Of one time,
// the order of their ids decides. Copies of a record under one id are kept once.
type newest struct {
	most    int
	list    []kept
	ids     map[string]bool
	dropped bool // some record was too old
}

type kept struct {
	at  int64
	id  string
	log []byte // an OTLP request
}

func (n *newest) Len() int           { return len(n.list) }
func (n *newest) Less(i, j int) bool { return n.list[i].compare(&n.list[j]) < 0 }
func (n *newest) Swap(i, j int)      { n.list[i], n.list[j] = n.list[j], n.list[i] }
func (n *newest) Push(x any)         { n.list = append(n.list, x.(kept)) }
func (n *newest) Pop() any {
	last := n.list[len(n.list)-1]
	n.list = n.list[:len(n.list)-1]
	return last
}

func (k *kept) compare(o *kept) int {
	return cmp.Or(cmp.Compare(k.at, o.at), strings.Compare(k.id, o.id))
}

// add takes a record.
func (n *newest) add(rec *otellog.Record) {
	k := kept{at: rec.Time, id: rec.Str(semconv.LogRecordUID)}
	if n.ids[k.id] {
		return
	}
	if len(n.list) == n.most {
		n.dropped = true
		if k.compare(&n.list[0]) <= 0 {
			return
		}
		delete(n.ids, heap.Pop(n).(kept).id)
	}
	if n.ids == nil {
		n.ids = map[string]bool{}
	}
	k.id, k.log = strings.Clone(k.id), otellog.AppendRequest(nil, rec)
	n.ids[k.id] = true
	heap.Push(n, k)
}

// each calls f for the kept records, the newest first.
func (n *newest) each(f func(*otellog.Record) error) error {
	slices.SortFunc(n.list, func(a, b kept) int { return b.compare(&a) })
	var rec otellog.Record
	for i := range n.list {
		rec.Reset()
		err := rec.Decode(n.list[i].log)
		if err == nil {
			err = f(&rec)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
