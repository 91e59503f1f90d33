// Package tap decodes the Kafka records of an installation's topics for a person: each
// becomes one JSON line, or one row of a table. It changes nothing in Kafka.
//
// Text of records is not trusted: every line has only printable characters.
package tap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/kafka"
	"keytrail/processor/sink/filter"
	"keytrail/schemas/wire"
)

// Source is one topic of an installation.
type Source struct {
	Name  string // without the prefix, such as "events"
	Topic string // in Kafka
	Logs  bool   // its values are log records
	value func(r *kgo.Record) (any, error)
}

// dedup is the topic whose keys are binary.
const dedup = "dedup"

// Sources returns the topics of an installation, in the order of the pipeline.
func Sources(t wire.Topics) []Source {
	return []Source{
		{Name: "raw", Topic: t.Raw, value: original},
		{Name: "events", Topic: t.Events, Logs: true},
		{Name: dedup, Topic: t.Dedup, value: counted},
		{Name: "partials", Topic: t.Partials, value: frame},
		{Name: "state", Topic: t.State, value: packed},
		{Name: "windows", Topic: t.Windows, Logs: true},
		{Name: "anomalies", Topic: t.Anomalies, Logs: true},
		{Name: "incidents", Topic: t.Incidents, Logs: true},
		{Name: "keys", Topic: t.Keys, Logs: true},
		{Name: "deadletter", Topic: t.DeadLetter, value: letter},
		{Name: "status", Topic: t.Status, value: original},
	}
}

// Tap prints the records of a topic.
type Tap struct {
	Kafka  kafka.Config
	Source Source
	Look   kafka.Look // where it begins, and whether it follows; Print sets Topic and Most
	Filter filter.Config
	Most   int64 // end after so many printed records; 0: no limit
	Table  bool  // rows of a table instead of JSON
}

// errEnough ends a look after the wanted number of records.
var errEnough = errors.New("enough records")

// Print writes the records to out, each with one Write as soon as it is read, and returns
// their number. Until ctx ends, it waits for brokers that are away.
func (t *Tap) Print(ctx context.Context, out io.Writer) (printed int64, err error) {
	look, d, line := t.Look, NewDecoder(t.Source, t.Filter), []byte(nil)
	look.Topic, look.Most = t.Source.Topic, math.MaxInt64
	form := d.AppendJSON
	if t.Table {
		form = d.AppendRow
	}
	_, err = look.Each(ctx, t.Kafka, func(r *kgo.Record) error {
		if !d.Admits(r) {
			return nil
		}
		line = append(form(line[:0], r), '\n')
		if _, err := out.Write(line); err != nil {
			return fmt.Errorf("cannot write the records of topic %q: %w", r.Topic, err)
		}
		if printed++; printed == t.Most {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return printed, err
}
