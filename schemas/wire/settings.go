package wire

import (
	"fmt"
	"slices"
	"time"
)

// Settings are the settings that stored counts depend on. The state of both stages and every
// frame carry them in the form of String, so that counts of different settings never meet.
type Settings struct {
	Events            string // the topic that stage count reads
	Sources, Partials int32  // the partitions of that topic, and of the topic of frames
	Size              int64  // of a window, ns
	Rollups           []int64
}

// String returns the settings in a binary form: two are equal if their forms are.
func (s *Settings) String() string {
	var e Encoder
	e.Raw(s.Events)
	for _, n := range append([]int64{int64(s.Sources), int64(s.Partials), s.Size}, s.Rollups...) {
		e.Int(n)
	}
	return string(e.B)
}

// Differences returns a phrase per setting that differs from the stored ones, which are in
// the form of String.
func (s *Settings) Differences(stored string) (list []string) {
	d := NewDecoder([]byte(stored))
	was := Settings{Events: d.Raw(), Sources: int32(d.Int()), Partials: int32(d.Int()), Size: d.Int()}
	for len(d.Rest()) > 0 {
		was.Rollups = append(was.Rollups, d.Int())
	}
	if d.Err() != nil {
		return []string{fmt.Sprintf("the stored settings %q cannot be read", stored)}
	}
	differ := func(what string, is, before any) {
		list = append(list, fmt.Sprintf("%s is %v, and was %v", what, is, before))
	}
	if s.Events != was.Events {
		differ("the topic of the events (kafka.prefix)", s.Events, was.Events)
	}
	if s.Sources != was.Sources {
		differ(fmt.Sprintf("the number of partitions of topic %q", s.Events), s.Sources, was.Sources)
	}
	if s.Partials != was.Partials {
		differ("the number of partitions of the partials (kafka.partitions.partials)", s.Partials, was.Partials)
	}
	if s.Size != was.Size {
		differ("window.size", time.Duration(s.Size), time.Duration(was.Size))
	}
	if !slices.Equal(s.Rollups, was.Rollups) {
		differ("window.rollups", durations(s.Rollups), durations(was.Rollups))
	}
	return list
}

func durations(list []int64) []time.Duration {
	found := make([]time.Duration, len(list))
	for i, n := range list {
		found[i] = time.Duration(n)
	}
	return found
}
