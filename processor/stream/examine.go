package stream

import (
	"context"

	"keytrail/processor/kafka"
)

// Examine looks at the brokers as the stages of this configuration use them, and reports what
// it finds.
func (p *Pipeline) Examine(ctx context.Context, stages Stages, report func(kafka.Finding)) {
	e := kafka.Examination{Topics: p.topics(stages), Clock: p.Topics.Status}
	for _, one := range []struct {
		on    bool
		stage string
	}{{stages.Normalize, "normalize"}, {stages.Count, "count"}, {stages.Detect, "detect"}} {
		if one.on {
			e.Groups = append(e.Groups, p.group(one.stage))
			e.TransactionalIDs = append(e.TransactionalIDs, p.TransactionID+"-"+one.stage+"-")
		}
	}
	for _, d := range p.Sinks {
		if stages.Forward {
			e.Groups = append(e.Groups, p.SinkGroup(d.ID, d.Name))
		}
	}
	e.Examine(ctx, p.Kafka, report)
}
