// Package deadletter reads the dead-letter topic of an installation, and puts records back
// once the cause of their refusal is corrected.
//
// A record that a sink refused goes to that sink again, and to no other reader. Input that
// could not be decoded goes to the topic of raw input; the deduplication of stage count
// makes that safe. Letters of other stages stay: their records were read, and refused for
// good.
//
// A letter is never changed. What was put back is named by a marker: a record of the same
// topic with the stage wire.StageReplayed. So a second replay passes over it, and markers
// outlive the letters that they name. Input and its marker are written in one transaction.
// The marker of a sink's records is written after the sink took them: a replay that ends in
// between delivers them again, with the same ids.
package deadletter

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/kafka"
	"keytrail/schemas/wire"
)

// Place is where a letter is in its topic. It is written "0/123".
type Place struct {
	Partition int32
	Offset    int64
}

// String returns the form that ParsePlace reads.
func (p Place) String() string { return fmt.Sprintf("%d/%d", p.Partition, p.Offset) }

// ParsePlace reads a partition and an offset with a slash between them.
func ParsePlace(text string) (Place, error) {
	partition, offset, ok := strings.Cut(text, "/")
	p, err := strconv.ParseUint(partition, 10, 31)
	at, bad := strconv.ParseUint(offset, 10, 63)
	if !ok || err != nil || bad != nil {
		return Place{}, fmt.Errorf("%q is not the place of a dead letter; want PARTITION/OFFSET, such as 0/123", text)
	}
	return Place{int32(p), int64(at)}, nil
}

// Letter is one dead letter.
type Letter struct {
	wire.DeadLetter
	At   Place
	Key  []byte // of the Kafka record that a sink refused
	Done bool   // it was put back
}

// Filter selects letters. Empty fields select all.
type Filter struct {
	Stage, Reason, Sink string
	Since, Until        time.Time // when they were written: not before Since, before Until
	At                  *Place
	Open                bool // not those that were put back
}

// Admits reports whether the filter selects a letter.
func (f *Filter) Admits(l *Letter) bool {
	at := time.Unix(0, l.Time)
	return (f.Stage == "" || f.Stage == l.Stage) && (f.Reason == "" || f.Reason == l.Reason) &&
		(f.Sink == "" || f.Sink == l.Sink) && (f.Since.IsZero() || !at.Before(f.Since)) &&
		(f.Until.IsZero() || at.Before(f.Until)) && (f.At == nil || *f.At == l.At) && !(f.Open && l.Done)
}

// Box is a dead-letter topic.
type Box struct {
	Kafka kafka.Config
	Topic string
}

// Each calls f for each letter that the filter selects, up to the current end of the topic,
// in the order of each partition. It reads the topic twice, first for the markers, and holds
// a bit for each of the offsets that they name.
func (b *Box) Each(ctx context.Context, filter Filter, f func(*Letter) error) error {
	partitions, err := b.partitions(ctx)
	if err != nil || len(partitions) == 0 {
		return err
	}
	done := marks{}
	err = kafka.ReadLog(ctx, b.Kafka, b.Topic, partitions, func(r *kgo.Record) error {
		if l := letterOf(r); l.Stage == wire.StageReplayed {
			if err := done.parse(string(r.Value)); err != nil {
				return fmt.Errorf("cannot read the marker at %s in topic %q: %w", l.At, b.Topic, err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return kafka.ReadLog(ctx, b.Kafka, b.Topic, partitions, func(r *kgo.Record) error {
		l := letterOf(r)
		if l.Done = done.has(l.At); l.Stage == wire.StageReplayed || !filter.Admits(l) {
			return nil
		}
		return f(l)
	})
}

// partitions returns those of the topic; none if it does not exist.
func (b *Box) partitions(ctx context.Context) ([]int32, error) {
	client, err := kgo.NewClient(b.Kafka.Options()...)
	if err != nil {
		return nil, fmt.Errorf("cannot make a Kafka client: %w", err)
	}
	defer client.Close()
	within, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	found, err := kadm.NewClient(client).ListTopics(within, b.Topic)
	if err != nil {
		return nil, fmt.Errorf("cannot read topic %q at %v: %w", b.Topic, b.Kafka.Brokers, err)
	}
	return found[b.Topic].Partitions.Numbers(), nil
}

// letterOf reads a record of the topic.
func letterOf(r *kgo.Record) *Letter {
	l := &Letter{At: Place{r.Partition, r.Offset}, Key: r.Key}
	l.Raw, l.Time = r.Value, r.Timestamp.UnixNano()
	for _, h := range r.Headers {
		l.SetHeader(h.Key, h.Value)
	}
	return l
}

// Group is the letters with one stage, reason and sink.
type Group struct {
	Stage, Reason, Sink string
	Open, Done          int   // letters that are not put back, and those that are
	First, Last         int64 // of the open ones: when they were written, ns since 1970
	Detail              string
	At                  Place // of the newest open letter, whose detail is Detail
}

// mostGroups bounds the groups of List; letters of further ones are counted in the last.
const mostGroups = 1000

// Others is the stage of the group that has the letters beyond mostGroups groups.
const Others = "(others)"

// List counts the letters that the filter selects by stage, reason and sink, in order of
// the number of open ones.
func (b *Box) List(ctx context.Context, filter Filter) ([]*Group, error) {
	groups := map[[3]string]*Group{}
	err := b.Each(ctx, filter, func(l *Letter) error {
		name := [3]string{l.Stage, l.Reason, l.Sink}
		if groups[name] == nil && len(groups) >= mostGroups {
			name = [3]string{Others}
		}
		g := groups[name]
		if g == nil {
			g = &Group{Stage: name[0], Reason: name[1], Sink: name[2]}
			groups[name] = g
		}
		if l.Done {
			g.Done++
			return nil
		}
		if g.Open++; g.Open == 1 || l.Time < g.First {
			g.First = l.Time
		}
		if l.Time >= g.Last {
			g.Last, g.Detail, g.At = l.Time, l.Detail, l.At
		}
		return nil
	})
	var list []*Group
	for _, g := range groups {
		list = append(list, g)
	}
	slices.SortFunc(list, func(a, b *Group) int {
		if a.Open != b.Open {
			return b.Open - a.Open
		}
		return strings.Compare(a.Stage+"\x00"+a.Reason+"\x00"+a.Sink, b.Stage+"\x00"+b.Reason+"\x00"+b.Sink)
	})
	return list, err
}

// page is a run of 65,536 offsets of one partition.
type page struct {
	partition int32
	number    int64
}

// marks is a set of places.
type marks map[page]*[1024]uint64

func (m marks) at(p Place) (page, int, uint64) {
	return page{p.Partition, p.Offset >> 16}, int(p.Offset>>6) & 1023, 1 << (p.Offset & 63)
}

func (m marks) add(p Place) {
	name, word, bit := m.at(p)
	if m[name] == nil {
		m[name] = new([1024]uint64)
	}
	m[name][word] |= bit
}

func (m marks) has(p Place) bool {
	name, word, bit := m.at(p)
	return m[name] != nil && m[name][word]&bit != 0
}

// mostMarked bounds the places in one range of a marker.
const mostMarked = 1 << 20

// parse adds the places that the value of a marker names: "0/12-45 0/47".
func (m marks) parse(text string) error {
	for _, part := range strings.Fields(text) {
		from, to, many := strings.Cut(part, "-")
		first, err := ParsePlace(from)
		if err != nil {
			return err
		}
		last := first.Offset
		if many {
			if last, err = strconv.ParseInt(to, 10, 64); err != nil || last < first.Offset || last-first.Offset > mostMarked {
				return fmt.Errorf("%q is not a range of offsets", part)
			}
		}
		for ; first.Offset <= last; first.Offset++ {
			m.add(first)
		}
	}
	return nil
}

// ranges returns the text that parse reads. It sorts the places.
func ranges(places []Place) string {
	slices.SortFunc(places, func(a, b Place) int {
		if a.Partition != b.Partition {
			return int(a.Partition - b.Partition)
		}
		return int(max(-1, min(1, a.Offset-b.Offset)))
	})
	var text strings.Builder
	for i := 0; i < len(places); {
		j := i + 1
		for j < len(places) && places[j].Partition == places[i].Partition && places[j].Offset == places[j-1].Offset+1 {
			j++
		}
		if i > 0 {
			text.WriteByte(' ')
		}
		text.WriteString(places[i].String())
		if j > i+1 {
			fmt.Fprintf(&text, "-%d", places[j-1].Offset)
		}
		i = j
	}
	return text.String()
}
