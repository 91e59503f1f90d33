package status

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

var began = time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)

// process returns a process with partitions of stage count and the sink siem.
func process(id string, at time.Time, partitions ...int32) *Process {
	s := Stage{Name: "count", State: OK, Total: 4, Lag: 7, LagAt: &at, Partitions: []Partition{}, Troubles: []Trouble{},
		Flow: Flow{Received: 10, Delivered: 9, DeadLetters: map[string]int64{"late": 1}, Rate: 2}}
	for _, p := range partitions {
		mark := at.Add(-time.Duration(p) * time.Minute)
		s.Partitions = append(s.Partitions, Partition{Partition: p, State: OK, Watermark: &mark})
		s.Watermark = earliest(s.Watermark, &mark)
	}
	sink := Sink{Name: "siem", State: Delivering, Progress: OK, Troubles: []Trouble{},
		Flow: Flow{DeadLetters: map[string]int64{}}}
	return &Process{Format: Format, ID: id, Host: "h" + id, Started: began, At: at, Troubles: []Trouble{},
		Stages: []Stage{s}, Sources: []Source{}, Sinks: []Sink{sink}}
}

// TestInstallation puts the records of two processes together, lets one fall silent, and ends it.
func TestInstallation(t *testing.T) {
	now := began.Add(time.Minute)
	table := NewTable(began)
	put := func(p *Process) {
		t.Helper()
		if err := table.Put(p.ID, Append(nil, p, 1<<20), now); err != nil {
			t.Fatal(err)
		}
	}
	a, b := process("a", now, 0, 1), process("b", now, 2)
	b.Stages[0].State, b.Sinks[0].State, b.Sinks[0].Cause, b.Rules = Stall, Paused, "credentials", "other"
	a.Rules = "one"
	put(a)
	put(b)
	in := table.Installation(now)
	count, siem := in.Stages[0], in.Sinks[0]
	if count.Processes != 2 || count.State != Stall || in.State != Stall || count.Unassigned != 1 || count.Lag != 7 ||
		!count.Watermark.Equal(now.Add(-2*time.Minute)) || count.Flow.Received != 20 || count.Flow.DeadLetters["late"] != 2 ||
		count.Flow.Rate != 4 || siem.Sink != Paused || siem.Cause != "credentials" || len(in.Rules) != 2 {
		t.Errorf("together they are %+v and %+v, rules %q", count, siem, in.Rules)
	}
	if got, want := in.DifferentRules(), "the processes have different rules: one in a on ha; other in b on hb"; got != want {
		t.Errorf("the processes that disagree are %q, want %q", got, want)
	}

	now = now.Add(15*time.Second + 1)
	put(process("a", now, 0, 1))
	in = table.Installation(now)
	if in.Processes[0].Stale || !in.Processes[1].Stale || in.Stages[0].Processes != 1 || in.Stages[0].State != OK ||
		in.Stages[0].Unassigned != 2 || in.Sinks[0].Sink != Delivering || len(in.Rules) != 0 || in.DifferentRules() != "" {
		t.Errorf("with a silent process: %+v", in)
	}
	now = now.Add(time.Minute)
	if in = table.Installation(now); in.Stages[0].State != Stop || in.State != Stop || in.Sinks[0].Processes != 0 {
		t.Errorf("without a live process: %+v", in)
	}
	table.Put("a", nil, now)
	if in = table.Installation(now); len(in.Processes) != 1 || in.Processes[0].ID != "b" {
		t.Errorf("after the end of one: %+v", in.Processes)
	}
	if in = table.Installation(now.Add(25 * time.Hour)); len(in.Processes)+len(in.Stages)+len(in.Sinks) != 0 || in.State != OK {
		t.Errorf("after a day: %+v", in)
	}
}

// TestClocksOfOthers: a process whose clock is an hour behind lives, once its records are those
// of a time when the reader ran; a record from before the reader has the age that it states.
func TestClocksOfOthers(t *testing.T) {
	table := NewTable(began)
	table.Set(process("old", began.Add(-time.Minute)), began)
	table.Set(process("ahead", began.Add(time.Hour)), began)
	in := table.Installation(began.Add(time.Second))
	if in.Processes[0].ID != "ahead" || in.Processes[0].Age != 1 || in.Processes[1].Age != 61 || !in.Processes[1].Stale {
		t.Errorf("%+v", in.Processes)
	}
}

func TestRecords(t *testing.T) {
	p := process("a", began, 0, 1)
	whole := Append(nil, p, 1<<20)
	if got, err := Decode(whole); err != nil || len(got.Stages[0].Partitions) != 2 || got.Cut {
		t.Errorf("%+v, %v", got, err)
	}
	cut := Append(nil, p, len(whole)-1)
	if got, err := Decode(cut); err != nil || len(got.Stages[0].Partitions) != 0 || !got.Cut || len(p.Stages[0].Partitions) != 2 {
		t.Errorf("a record that is too large is %s (%v)", cut, err)
	}
	for value, want := range map[string]string{
		`{"format":2,"id":"a"}`: "has format 2", `{"id":"a"}`: "has format 0", `{"format":1}`: "has no id",
		`{"format":1,"id":"a"`: "damaged", `[]`: "damaged",
	} {
		if err := NewTable(began).Put("a", []byte(value), began); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s gives %v, want %q", value, err, want)
		}
	}
	if err := NewTable(began).Put("a", []byte(`{"format":1,"id":"a","new_field":{}}`), began); err != nil {
		t.Errorf("an unknown field: %v", err)
	}
}

// TestTableIsBounded: the process that has been silent for longest is forgotten first.
func TestTableIsBounded(t *testing.T) {
	table := NewTable(began)
	for i := range mostProcesses + 5 {
		table.Set(process(fmt.Sprint(i), began.Add(time.Duration(i)*time.Millisecond)), began.Add(time.Duration(i)*time.Millisecond))
	}
	in := table.Installation(began)
	text, err := json.Marshal(in)
	if err != nil || len(in.Processes) != mostProcesses || strings.Contains(string(text), `"id":"4"`) || !strings.Contains(string(text), `"id":"5"`) {
		t.Errorf("%d processes are kept (%v)", len(in.Processes), err)
	}
}
