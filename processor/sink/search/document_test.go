package search

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"keytrail/processor/sink"
	"keytrail/schemas/otellog"
)

// TestIdentity: the index and the id of a record are functions of the record: of its own
// time, and for an anomaly of when it began.
func TestIdentity(t *testing.T) {
	november, december := began, began.Add(3*time.Minute)
	without := record("aws.kms.api_call", time.Unix(0, 0), nil)
	cases := []struct {
		record sink.Record
		change func(*Settings)
		want   string
	}{
		{event("e", november), nil, "keytrail-events-2026.11.30/e create"},
		{event("e", november), func(c *Settings) { c.Index.Events = Month }, "keytrail-events-2026.11/e create"},
		{event("e", november), func(c *Settings) { c.Index.Events = Stream }, "keytrail-events/e create"},
		{event("e", november), func(c *Settings) { c.Index.Prefix = "soc.kms" }, "soc.kms-events-2026.11.30/e create"},
		{event("e", time.Date(1971, 1, 2, 0, 0, 0, 0, time.FixedZone("", -3600))), nil, "keytrail-events-1971.01.02/e create"},
		{without, nil, "keytrail-events-1970.01.01/kms.events/2/7 create"},
		{event(`"},"x":{"`, november), nil, `keytrail-events-2026.11.30/"},"x":{" create`},
		{event(strings.Repeat("e", 512), november), nil, "keytrail-events-2026.11.30/" + strings.Repeat("e", 512) + " create"},
		{event(strings.Repeat("e", 513), november), nil, "keytrail-events-2026.11.30/sha256:" +
			"2ff3c8afd9fa600027ff5e8ad55161e898b4becee810d85e947361c70737d700 create"},
		{windowOf("w", december, 0), nil, "keytrail-windows-2026.12/w index 0"},
		{windowOf("w", november, 4), func(c *Settings) { c.Index.Windows = Day }, "keytrail-windows-2026.11.30/w index 4"},
		{anomalyOf("a", november, november, 0), nil, "keytrail-anomalies-2026.11/a index 0"},
		{anomalyOf("a", november, december, 2), nil, "keytrail-anomalies-2026.11/a index 2"},
		{anomalyOf("a", november, december, 2), func(c *Settings) { c.Index.Anomalies = Day }, "keytrail-anomalies-2026.11.30/a index 2"},
		{incidentOf("i", november, december, 0), nil, "keytrail-incidents-2026.11/i index 0"},
		{incidentOf("i", november, december, 3), func(c *Settings) { c.Index.Incidents = Day }, "keytrail-incidents-2026.11.30/i index 3"},
	}
	for _, c := range cases {
		s := newStandIn(t)
		var got string
		settings := defaults()
		if c.change != nil {
			c.change(&settings)
		}
		w := &work{}
		encode(t, &settings, w, c.record)
		op, a, err := actionOf([]byte(strings.SplitAfter(string(w.buf), "\n")[0]))
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		got = fmt.Sprintf("%s/%s %s", a.Index, a.ID, op)
		if a.Version != nil {
			got += fmt.Sprint(" ", *a.Version)
		}
		if got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
		s.Close()
	}
}

// TestTwins: two records with other ids never have one id as documents, however long theirs
// are, and the same record always has the same.
func TestTwins(t *testing.T) {
	seen := map[string]int{}
	for i, id := range []string{"a", "A", strings.Repeat("a", 600), strings.Repeat("a", 601), "sha256:a", "é", "e\u0301"} {
		r := event(id, began)
		var rec otellog.Record
		for range 2 {
			if err := rec.Decode(r.Value); err != nil {
				t.Fatal(err)
			}
			got := identify(&rec, &r).id
			if first, there := seen[got]; there && first != i || len(got) > 512 {
				t.Errorf("records %d and %d have the id %q", first, i, got)
			}
			seen[got] = i
		}
	}
}

// encode encodes one record into w.
func encode(t *testing.T, c *Settings, w *work, r sink.Record) {
	t.Helper()
	s := connect(t, "http://127.0.0.1:1", func(to *Settings) { to.Index, to.Body = c.Index, c.Body })
	made := s.works.New().(*work)
	*w = *made
	if _, err := w.add(&s.index, &r); err != nil {
		t.Fatal(err)
	}
}
