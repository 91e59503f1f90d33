package webhook

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"keytrail/processor/sink"
)

// mostListed bounds the anomalies that a message to people lists; it counts the others.
const mostListed = 10

// digest is what one message to people says: anomalies by severity, the highest first.
type digest struct {
	alerts []*alert
	listed int // how many of alerts are listed; the others are counted
}

// newDigest returns the digest of anomalies.
func newDigest(list []*alert) *digest {
	d := &digest{alerts: slices.Clone(list)}
	slices.SortStableFunc(d.alerts, func(a, b *alert) int { return cmp.Compare(b.rank, a.rank) })
	d.listed = min(len(list), mostListed)
	return d
}

// headline is the message in one line.
func (d *digest) headline() string {
	if len(d.alerts) == 1 {
		return "Keytrail: " + d.alerts[0].title()
	}
	return "Keytrail: " + tally(d.alerts)
}

// rest says how many anomalies are not listed, and how to list them; "" if all are.
func (d *digest) rest() (text, command string) {
	if d.listed == len(d.alerts) {
		return "", ""
	}
	var from, to time.Time
	for _, a := range d.alerts {
		begin, err := time.Parse(time.RFC3339Nano, a.start)
		if err != nil {
			begin = a.began
		}
		if from.IsZero() || begin.Before(from) {
			from = begin
		}
		if begin.After(to) {
			to = begin
		}
	}
	text = "and " + tally(d.alerts[d.listed:]) + ", not listed here. This command lists all:"
	if d.alerts[0].incident {
		return text, fmt.Sprintf("keytrail tap incidents --from %s -c FILE", from.UTC().Format(time.RFC3339))
	}
	return text,
		fmt.Sprintf("keytrail explain --list --since %s --until %s -c FILE", from.UTC().Format(time.RFC3339),
			to.UTC().Add(time.Second).Format(time.RFC3339))
}

// explain is the command that shows one anomaly or incident.
func (a *alert) explain() string { return "keytrail explain " + a.id + " -c FILE" }

// tally counts anomalies or incidents: "3 anomalies: 1 critical, 2 high; 1 of them ended".
func tally(list []*alert) string {
	var counts [5]int
	ended, incidents := 0, 0
	for _, a := range list {
		counts[a.rank]++
		if a.ended {
			ended++
		}
		if a.incident {
			incidents++
		}
	}
	var parts []string
	for rank := len(severities) - 1; rank > 0; rank-- {
		if counts[rank] > 0 {
			parts = append(parts, fmt.Sprint(counts[rank], " ", severities[rank]))
		}
	}
	var names []string
	for _, n := range []struct {
		n         int
		one, many string
	}{{len(list) - incidents, "anomaly", "anomalies"}, {incidents, "incident", "incidents"}} {
		switch n.n {
		case 0:
		case 1:
			names = append(names, "1 "+n.one)
		default:
			names = append(names, fmt.Sprint(n.n, " ", n.many))
		}
	}
	text := strings.Join(names, " and ")
	if len(parts) > 0 {
		text += ": " + strings.Join(parts, ", ")
	}
	if ended > 0 {
		text += fmt.Sprint("; ", ended, " of them ended")
	}
	return text
}

// chat is the part of a format that sends to people: one message per batch.
type chat struct {
	told told
	// write encodes a digest. It may lower listed until the message fits.
	write func(d *digest) any
	most  int // the largest message in bytes
}

func (c *chat) messages(_ context.Context, batch []sink.Record, bad *sink.Rejected) ([]message, error) {
	m := message{media: "application/json"}
	for _, a := range gather(batch, bad) {
		if _, news := c.told.news(a); news {
			m.alerts = append(m.alerts, a)
			m.records = append(m.records, a.records...)
		}
	}
	if len(m.alerts) == 0 {
		return nil, nil
	}
	d := newDigest(m.alerts)
	for {
		m.content = encode(c.write(d))
		if len(m.content) <= c.most || d.listed == 0 {
			return []message{m}, nil
		}
		d.listed--
	}
}

func (c *chat) done(m *message) {
	for _, a := range m.alerts {
		c.told.note(a)
	}
}

// encode returns v as JSON, with <, > and & as they are.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("BUG: cannot encode a message: %v", err)) // texts, numbers and lists of them
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}
