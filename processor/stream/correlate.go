package stream

import (
	"encoding/json"
	"fmt"
	"time"

	"keytrail/processor/anomaly"
	"keytrail/processor/correlate"
	"keytrail/processor/eventtime"
	"keytrail/processor/sigma"
	"keytrail/schemas/wire"
)

// mostCorrelated bounds the memory of a stage detect partition for the user's
// correlations, in bytes: 40,000 panes that name ten calls, or 75,000 that name one.
const mostCorrelated = 64 << 20

// correlations returns an empty engine. It exists without correlations as well: the
// changelog may contain some from before.
func (p *Pipeline) correlations(j *Judging) *correlate.Engine {
	return correlate.NewEngine(correlate.Config{Keep: p.Window.Detect.Size, Bytes: mostCorrelated, Allow: j.Allow,
		Correlations: j.correlations()})
}

// refused is a pane that the correlations did not count.
type refused struct {
	pane wire.Pane
	why  correlate.Refusal
}

// correlate counts a frame's matches of correlations. A late pane is a fault, like a late
// partial: its calls are not late.
func (d *detector) correlate(t *detectTask, f *wire.Frame) error {
	for i := range f.Panes {
		switch why := t.correlations.Take(&f.Panes[i]); why {
		case correlate.Counted:
		case correlate.Late:
			return fmt.Errorf("source %d: frame %d has late matches of a correlation at %s: %s", f.Source, f.Sequence,
				stamp(f.Panes[i].Start), lateHere)
		default:
			t.refused = append(t.refused, refused{f.Panes[i], why})
		}
	}
	return nil
}

// lateHere is the advice about calls that are late in stage detect.
const lateHere = "counts would be lost; see docs/operations.md, \"Starting over\""

// correlated publishes the anomalies of the correlation windows that end by the
// watermark, and dead letters for refused panes. It reports whether it stopped before the
// end of the step.
func (d *detector) correlated(t *detectTask, mark eventtime.Mark, now int64, left *int) (more bool) {
	more = t.correlations.Advance(mark, *left, func(a *anomaly.Anomaly) {
		*left--
		d.found(t, a, now)
	})
	for i := range t.refused {
		d.refuse(t, &t.refused[i], now)
	}
	t.refused = nil
	return more
}

// refuse writes the dead letter of a pane. The events themselves are in kms.events; the
// letter names some of them.
func (d *detector) refuse(t *detectTask, r *refused, now int64) {
	p := &r.pane
	about := struct {
		Correlation string   `json:"correlation,omitempty"`
		Fingerprint string   `json:"fingerprint"`
		Group       []string `json:"group,omitempty"`
		Start       string   `json:"start"`
		Matches     int64    `json:"matches"`
		Key         string   `json:"key"`
		Principal   string   `json:"principal"`
		Calls       []string `json:"calls"`
	}{Fingerprint: fmt.Sprintf("%016x", p.Correlation), Start: time.Unix(0, p.Start).UTC().Format(time.RFC3339Nano),
		Matches: sigma.Matches(p.Tally), Key: p.Key, Principal: p.Principal}
	for _, c := range d.judging.correlations() {
		if c.Fingerprint == p.Correlation {
			about.Correlation, about.Group = c.ID, c.Values(p.Group)
		}
	}
	for _, c := range p.Calls {
		about.Calls = append(about.Calls, c.ID)
	}
	raw, err := json.Marshal(about)
	if err != nil {
		panic("BUG: cannot encode a dead letter: " + err.Error()) // texts and numbers always encode
	}
	d.stats.uncorrelated += int(about.Matches)
	d.emit(d.p.letter(&wire.DeadLetter{
		Stage: "detect", Reason: string(r.why), Time: now, Raw: raw,
		Detail: fmt.Sprintf("%d matches are not counted by a correlation, because %s; some of their calls: %v",
			about.Matches, refusals[r.why], about.Calls),
		Object: fmt.Sprintf("%s/%d", d.p.Topics.Partials, t.partition),
	}))
}

// refusals are the texts of the reasons.
var refusals = map[correlate.Refusal]string{
	correlate.TooMany: "its groups exceed their memory limit",
	correlate.Unknown: "stage detect does not have it, or has another version of it: all processes need the same rules",
	correlate.Damaged: "their count cannot be read",
}

// forgot logs that state was dropped because its correlation has changed or been removed.
func (p *Pipeline) forgot(stage string, n int) {
	if n > 0 {
		p.Log.Warn(stage+": state of correlations is dropped: they, or their rules, were changed or removed; their open "+
			"windows start over", "records", n)
	}
}
