package anomaly_test

import (
	"testing"

	"keytrail/processor/anomaly"
	"keytrail/processor/entity"
	"keytrail/processor/sigma"
	"keytrail/schemas/kms"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
	"keytrail/schemas/wire"
)

// TestRevisions: a rule's anomaly has the call's time, and a better copy of the call gives
// it a higher revision. No two publications share an id.
func TestRevisions(t *testing.T) {
	uids := map[string]bool{}
	last := int64(-1)
	for _, c := range []kms.Copy{kms.CopyAddendum, kms.CopyOwner, kms.CopyCaller} {
		var rec, out otellog.Record
		rec.Time = begin + 7
		rec.String(semconv.KeytrailCallID, "call")
		rec.String(semconv.KeytrailCallCopy, c.String())
		a := anomaly.FromSigma(&rec, []*sigma.Rule{{Meta: sigma.Meta{ID: "one", Title: "A title"}}}, keyOf(1), begin, size)[0]
		anomaly.AnomalyRecord(&out, &a, 1)
		revision := out.Get(semconv.KeytrailAnomalyRevision).Int
		if out.Time != begin+7 || revision <= last || uids[out.Str(semconv.LogRecordUID)] {
			t.Errorf("time %d, revision %d after %d, id %s", out.Time-begin, revision, last, out.Str(semconv.LogRecordUID))
		}
		if out.Str(semconv.SecurityRuleName) != "A title" || out.Str(semconv.SecurityRuleUUID) != "one" ||
			out.Str(semconv.SecurityRuleRulesetName) != "sigma" {
			t.Errorf("the rule is called otherwise: %+v", out.Attrs)
		}
		last, uids[out.Str(semconv.LogRecordUID)] = revision, true
	}
	w := entity.Window{Partial: wire.Partial{Entity: keyOf(1), Start: begin}}
	id := anomaly.WindowID(keyOf(1), begin, size)
	for _, want := range []struct {
		published int64
		revision  int32
		closed    bool
		uid       string
	}{{1, 0, false, "-0.1"}, {3, 0, false, "-0.3"}, {3, 1, true, "-1"}, {3, 2, true, "-2"}} {
		var out otellog.Record
		w.Published, w.Revision, w.Closed = want.published, want.revision, want.closed
		anomaly.WindowRecord(&out, &w, size, 1)
		if got := out.Str(semconv.LogRecordUID); got != id+want.uid {
			t.Errorf("the window has the id %s, want %s%s", got, id, want.uid)
		}
	}
}
