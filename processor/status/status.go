// Package status is the state that each process of an installation publishes every few
// seconds: its stages, sources and sinks, their progress and their troubles. Records of all
// processes together show the whole installation to every reader.
//
// A record is one JSON object under the process's id in the compacted topic kms.status. A
// process that ends deletes its record; readers judge by the age of the others whether their
// process still lives. Records contain no event data: no KMS key, principal or account.
package status

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Format is the version of the records. A reader ignores fields that it does not know, and
// records of a newer format.
const Format = 1

// Every is the interval at which a process publishes its record.
const Every = 5 * time.Second

// staleAfter is the age at which a record counts as that of a process that is gone or hangs:
// three intervals.
const staleAfter = 3 * Every

// Process is the record of one process.
type Process struct {
	Format  int       `json:"format"`
	ID      string    `json:"id"` // of this run of the program
	Host    string    `json:"host"`
	PID     int       `json:"pid"`
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	At      time.Time `json:"at"` // of the record, by the process's clock
	// Rules is the digest of the user's rules and of expected anomalies.
	Rules    string    `json:"rules,omitempty"`
	Memory   Memory    `json:"memory"`
	Troubles []Trouble `json:"troubles"` // with Kafka and the configuration
	Stages   []Stage   `json:"stages"`
	Sources  []Source  `json:"sources"`
	Sinks    []Sink    `json:"sinks"`
	// Cut reports that the partitions of stages are left out, because the record would be
	// too large for Kafka.
	Cut bool `json:"cut,omitempty"`
}

// Memory is the memory of a process, in bytes.
type Memory struct {
	Heap       int64 `json:"heap_bytes"`            // live objects and garbage
	Mapped     int64 `json:"mapped_bytes"`          // what Go's runtime has of the system
	Limit      int64 `json:"limit_bytes,omitempty"` // the soft limit of Go's runtime; 0: none
	Goroutines int64 `json:"goroutines"`
}

// Trouble is a condition that keeps a part from working.
type Trouble struct {
	Condition string    `json:"condition"`
	Detail    string    `json:"detail"`
	Since     time.Time `json:"since"`
}

// Flow counts records since the start of the process; rates are per second, over the last
// interval.
type Flow struct {
	Received     int64            `json:"received"`
	Delivered    int64            `json:"delivered"`
	Filtered     int64            `json:"filtered"`
	Duplicate    int64            `json:"duplicate"`
	DeadLetters  map[string]int64 `json:"dead_letters"` // by reason
	ReceivedRate float64          `json:"received_per_second"`
	Rate         float64          `json:"delivered_per_second"`
}

// Stage is a stage between topics: normalize, count or detect.
type Stage struct {
	Name     string    `json:"name"`
	State    Progress  `json:"state"`
	Troubles []Trouble `json:"troubles"`
	// Lag is the number of offsets that the whole group has not committed; LagAt is when it
	// was last known, nil if never.
	Lag   int64      `json:"lag"`
	LagAt *time.Time `json:"lag_at,omitempty"`
	Total int32      `json:"partitions_total"` // of the topic
	// Watermark is the earliest one of the partitions; nil without one.
	Watermark  *time.Time  `json:"watermark,omitempty"`
	Partitions []Partition `json:"partitions"` // those of this process
	Flow       Flow        `json:"flow"`
}

// Partition is one partition that a process owns.
type Partition struct {
	Partition int32    `json:"partition"`
	State     Progress `json:"state"`
	// Position is the next offset to read, as far as it is committed; -1: not yet known.
	Position  int64      `json:"position"`
	Lag       int64      `json:"lag"` // offsets behind the position
	Watermark *time.Time `json:"watermark,omitempty"`
}

// Source is one source of stage collect.
type Source struct {
	Name     string     `json:"name"`
	Troubles []Trouble  `json:"troubles"`
	Polled   *time.Time `json:"polled,omitempty"` // last look for objects without an error
	Waiting  int        `json:"waiting"`          // objects that could not be read and are tried again
	Flow     Flow       `json:"flow"`
}

// SinkState is the action of a sink.
type SinkState string

// The states of sinks.
const (
	Delivering SinkState = "delivering"
	Retrying   SinkState = "retrying" // a delivery fails and is repeated
	Paused     SinkState = "paused"   // a person must resolve the cause
)

// Sink is one sink in one process.
type Sink struct {
	Name     string    `json:"name"`
	State    SinkState `json:"state"`
	Cause    string    `json:"cause,omitempty"` // of a pause, such as "credentials"
	Progress Progress  `json:"progress"`
	Troubles []Trouble `json:"troubles"`
	// Expires is when Kafka deletes the oldest record that the sink has not taken; nil if
	// there is none, or it is unknown.
	Expires  *time.Time `json:"expires,omitempty"`
	Lag      int64      `json:"lag"` // of the whole group, as for a stage
	LagAt    *time.Time `json:"lag_at,omitempty"`
	Assigned int        `json:"partitions_assigned"` // to this process
	Flow     Flow       `json:"flow"`
}

// Append appends the record of a process, without partitions if it would exceed most bytes
// with them.
func Append(dst []byte, p *Process, most int) []byte {
	b := encode(p)
	if len(b) > most {
		cut := *p
		cut.Cut, cut.Stages = true, slices.Clone(p.Stages)
		for i := range cut.Stages {
			cut.Stages[i].Partitions = nil
		}
		b = encode(&cut)
	}
	return append(dst, b...)
}

func encode(p *Process) []byte {
	b, err := json.Marshal(p)
	if err != nil {
		panic("BUG: cannot encode a status: " + err.Error())
	}
	return b
}

// Decode reads a record. An error states which format it has, or that it is damaged.
func Decode(value []byte) (*Process, error) {
	p := new(Process)
	if err := json.Unmarshal(value, p); err != nil {
		return nil, fmt.Errorf("the status of a process is damaged: %w", err)
	}
	if p.Format > Format || p.Format < 1 {
		return nil, fmt.Errorf("the status of process %q has format %d; this program reads 1 to %d", p.ID, p.Format,
			Format)
	}
	if strings.TrimSpace(p.ID) == "" {
		return nil, fmt.Errorf("the status of a process on host %q has no id", p.Host)
	}
	return p, nil
}
