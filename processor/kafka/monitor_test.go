package kafka

import (
	"strings"
	"testing"
)

// One broker's metadata of a moment is not a change: brokers that upgrade or have just
// started may know fewer topics, and no topic ids.
func TestMonitorIsPatient(t *testing.T) {
	known := func(id byte, partitions int32) *topicInfo {
		info := topicInfo{partitions: partitions}
		info.id[0] = id
		return &info
	}
	f := func(name string, want string, first *topicInfo, looks ...*topicInfo) {
		t.Helper()
		m := &Monitor{first: map[string]topicInfo{"a": *first}, gone: map[string]int{}}
		var fault error
		for _, is := range looks {
			l := layout{topics: map[string]topicInfo{}}
			if is != nil {
				l.topics["a"] = *is
			}
			if fault = m.compare("a", l); fault != nil {
				break
			}
		}
		if (fault != nil) != (want != "") || fault != nil && !strings.Contains(fault.Error(), want) {
			t.Errorf("%s: got %v, want %q", name, fault, want)
		}
	}
	one, other, without := known(1, 2), known(2, 2), known(0, 2)
	f("ids that come with an upgrade", "", without, without, one, without, one, one, without, one, one, one, one)
	f("an id that changes afterwards", "created again", without, one, other, other, other, other)
	f("a broker without ids", "", one, without, without, without, without, without)
	f("away for a moment", "", one, nil, nil, nil, one, nil, nil, nil, one)
	f("away", "was deleted while", one, nil, nil, nil, nil)
	f("created again", "created again", one, nil, other, other, other)
	f("an old broker answers now and then", "", one, other, one, other, one, other, one, other, one)
	f("more partitions", "has 5 partitions", one, known(1, 5), known(1, 5), known(1, 5), known(1, 5))
}
