package main

import (
	"cmp"
	"encoding/json"

	"keytrail/processor/internal/chaostest"
	"keytrail/processor/sink/ids"
)

// flat has the members of the body json that the judge compares. This program reads them by
// itself, because the encoder of the sinks is what it judges.
type flat struct {
	UID             string `json:"log.record.uid"`
	Anomaly         string `json:"keytrail.anomaly.id"`
	AnomalyRevision int64  `json:"keytrail.anomaly.revision"`
	Window          string `json:"keytrail.window.id"`
	WindowRevision  int64  `json:"keytrail.window.revision"`
	Event           string `json:"event_name"`
	Scope           string `json:"keytrail.window.scope"`
	Key             string `json:"aws.kms.key.arn"`
	Alias           string `json:"aws.kms.alias.arn"`
	Principal       string `json:"keytrail.principal.id"`
	Start           string `json:"keytrail.window.start"`
	Rollup          bool   `json:"keytrail.window.rollup"`
	State           string `json:"keytrail.window.state"`
	Calls           int    `json:"keytrail.window.calls.total"`
	Denied          int    `json:"keytrail.window.denied"`
	Failed          int    `json:"keytrail.window.failed"`
	Trail           int    `json:"keytrail.window.calls.trail"`
}

func decodeFlat(text []byte) (f flat, err error) {
	err = json.Unmarshal(text, &f)
	return f, err
}

// id returns the id of a record in the form of named.
func (f *flat) id() string {
	switch {
	case f.Event == "keytrail.window":
		return ids.Window + " " + f.Window
	case f.Event == "keytrail.anomaly":
		return ids.Anomaly + " " + f.Anomaly
	case f.UID == "":
		return ""
	}
	return ids.Event + " " + f.UID
}

func (f *flat) revision() int64 {
	if f.Event == "keytrail.anomaly" {
		return f.AnomalyRevision
	}
	return f.WindowRevision
}

// window returns the name of a window and its counts, "" of another record. An alias keeps
// its windows, whatever key it refers to.
func (f *flat) window() (name string, c chaostest.Counts) {
	if f.Event != "keytrail.window" {
		return "", c
	}
	return chaostest.Name(f.Scope, cmp.Or(f.Alias, f.Key), f.Principal, f.Start, f.Rollup),
		chaostest.Counts{Calls: f.Calls, Denied: f.Denied, Failed: f.Failed, Trail: f.Trail, Final: f.State == "final"}
}
