package tap

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/state"
	"keytrail/schemas/wire"
)

// original returns input as it came: JSON as it is, other text as a string, and other bytes,
// such as those of gzip, as an object with their base64 form.
func original(r *kgo.Record) (any, error) {
	switch {
	case json.Valid(r.Value) && utf8.Valid(r.Value):
		return json.RawMessage(r.Value), nil
	case utf8.Valid(r.Value):
		return string(r.Value), nil
	}
	return map[string]string{"base64": base64.StdEncoding.EncodeToString(r.Value)}, nil
}

// letter returns a dead letter, or the marker of letters that were put back.
func letter(r *kgo.Record) (any, error) {
	l := wire.DeadLetter{Raw: r.Value, Time: r.Timestamp.UnixNano()}
	for _, h := range r.Headers {
		l.SetHeader(h.Key, h.Value)
	}
	return json.RawMessage(l.AppendJSON(nil)), nil
}

// partial is the readable form of a wire.Partial.
type partial struct {
	Scope     string           `json:"scope"`
	Key       string           `json:"key,omitempty"`
	Principal string           `json:"principal,omitempty"`
	Start     string           `json:"start"`
	Counts    map[string]int64 `json:"counts"`
	Samples   []string         `json:"samples,omitempty"`
}

// frameForm is the readable form of a wire.Frame.
type frameForm struct {
	Source    int32     `json:"source"`
	Sequence  uint64    `json:"sequence"`
	From      int64     `json:"from"`
	To        int64     `json:"to"`
	Watermark string    `json:"watermark"`
	Late      string    `json:"late"`
	Idle      bool      `json:"idle,omitempty"`
	Lost      uint64    `json:"lost,omitempty"`
	Settings  string    `json:"settings"`
	Partials  []partial `json:"partials"`
	Panes     int       `json:"panes,omitempty"` // of correlations
	Hits      int       `json:"hits,omitempty"`  // anomalies of rules
}

// frame returns a frame of counts.
func frame(r *kgo.Record) (any, error) {
	f, err := wire.NewDecoder(r.Value).Frame()
	if err != nil {
		return nil, err
	}
	form := frameForm{Source: f.Source, Sequence: f.Sequence, From: f.From, To: f.To, Watermark: moment(f.Watermark),
		Late: moment(f.Late), Idle: f.Idle, Lost: f.Lost, Settings: f.Settings, Panes: len(f.Panes), Hits: len(f.Hits),
		Partials: make([]partial, 0, len(f.Partials))}
	for i := range f.Partials {
		p := &f.Partials[i]
		one := partial{Scope: p.Scope.String(), Key: p.Key, Principal: p.Principal, Start: moment(p.Start),
			Counts: make(map[string]int64, len(p.Counters))}
		for _, c := range p.Counters {
			if c.ID < wire.NumCounters {
				one.Counts[c.ID.Name()] = c.N
			}
		}
		for _, s := range p.Samples {
			one.Samples = append(one.Samples, s.String())
		}
		form.Partials = append(form.Partials, one)
	}
	return form, nil
}

// headForm is the readable form of a state.Head.
type headForm struct {
	Offset    int64  `json:"offset"` // of the next record of kms.events
	Sequence  uint64 `json:"sequence"`
	Watermark string `json:"watermark"`
	Late      string `json:"late"`
	Settings  string `json:"settings"`
	Records   uint64 `json:"records"` // of counted calls
}

// counted returns the progress of stage count, or how many calls a commit has counted.
func counted(r *kgo.Record) (any, error) {
	if string(r.Key) == state.HeadKey {
		h, err := state.DecodeHead(r.Value)
		return headForm{h.At.Offset, h.Sequence, moment(h.Watermark), moment(h.Late), h.Settings, h.Live.N}, err
	}
	c, err := state.DecodeCounted(r.Value)
	return map[string]int{"calls": len(c.Keys), "correctable": len(c.Credits)}, err
}

// metaForm is the readable form of a state.Meta.
type metaForm struct {
	Kind      string `json:"kind"`
	Offset    int64  `json:"offset"` // of the next record of kms.partials
	Watermark string `json:"watermark"`
	Late      string `json:"late"`
	Settings  string `json:"settings"`
}

// packed returns the progress of stage detect, or the kind of an entity whose state stays
// packed: the key names the entity.
func packed(r *kgo.Record) (any, error) {
	if string(r.Key) == state.MetaKey {
		m, err := state.DecodeMeta(r.Value)
		return metaForm{"meta", m.At.Offset, moment(m.Watermark), moment(m.Late), m.Settings}, err
	}
	kind, _, _ := strings.Cut(string(r.Key), "\n")
	switch kind {
	case "k":
		kind = wire.ScopeKey.String()
	case "p":
		kind = wire.ScopePrincipal.String()
	case "x":
		kind = wire.ScopePair.String()
	case "c":
		kind = "pane"
	case "a":
		kind = "anomaly" // an open one
	case "g":
		kind = "incident"
	case "l":
		kind = "ledger"
	default:
		return nil, fmt.Errorf("%w: its key names no state of stage detect", wire.ErrFrame)
	}
	return map[string]string{"kind": kind}, wire.NewDecoder(r.Value).Version()
}
