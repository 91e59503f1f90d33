package correlate

import (
	"fmt"
	"maps"
	"slices"

	"keytrail/processor/eventtime"
	"keytrail/schemas/wire"
)

// stepKey is the state key of how far a step has come that was left in the middle. No
// pane has it.
const stepKey = "c\nstep"

// changelog is what was read from one, until Restored.
type changelog struct {
	panes map[string][]byte
	step  []byte
}

// Owns reports whether a state key is one of an Engine's.
func Owns(key string) bool { return wire.IsPaneKey(key) }

// Changes calls put for all that changed since the last call, with a nil value for what
// is there no more: what a changelog has to hold. enc is used and emptied.
func (e *Engine) Changes(enc *wire.Encoder, put func(key string, value []byte)) {
	for _, h := range e.changed {
		h.dirty = false
		if h.dropped {
			continue
		}
		enc.Reset()
		enc.Version()
		p := h.Wire()
		enc.PaneCounts(&p)
		h.stored = true
		put(p.StateKey(), slices.Clone(enc.B))
	}
	for _, key := range e.gone {
		put(key, nil)
	}
	clear(e.changed)
	clear(e.gone)
	e.changed, e.gone = e.changed[:0], e.gone[:0]
	switch closing := e.Closing(); {
	case closing:
		enc.Reset()
		enc.Version()
		enc.Int(e.done.at)
		enc.Bool(e.done.last)
		enc.Fixed(e.done.print)
		enc.String(e.done.group)
		put(stepKey, slices.Clone(enc.B))
		e.told = true
	case e.told:
		put(stepKey, nil)
		e.told = false
	}
}

// Restore takes what Changes once reported, the newest last. It copies the value. After
// all of them Restored has to be called.
func (e *Engine) Restore(key string, value []byte) {
	switch {
	case key == stepKey:
		e.log.step = slices.Clone(value)
	case value == nil:
		delete(e.log.panes, key)
	default:
		if e.log.panes == nil {
			e.log.panes = map[string][]byte{}
		}
		e.log.panes[key] = slices.Clone(value)
	}
}

// Restored makes the Engine what it was at a mark, whose Quiet is the largest that there
// has been. It returns how many panes
// it has forgotten, because their correlation, or one of its rules, has changed since or
// is not there any more; and the first record that cannot be read.
func (e *Engine) Restored(mark eventtime.Mark) (forgotten int, err error) {
	log := e.log
	e.log = changelog{}
	e.mark, e.late = max(mark.Watermark, mark.Quiet), mark.Late
	e.done = place{at: e.mark, last: true}
	if log.step != nil {
		if err := e.restoreStep(log.step); err != nil {
			return 0, err
		}
	}
	for _, key := range slices.Sorted(maps.Keys(log.panes)) {
		known, err := e.restorePane(key, log.panes[key])
		if err != nil {
			return forgotten, err
		}
		if !known {
			forgotten++
			e.gone = append(e.gone, key)
		}
	}
	return forgotten, nil
}

func (e *Engine) restoreStep(value []byte) error {
	d := wire.NewDecoder(value)
	if err := d.Version(); err != nil {
		return fmt.Errorf("cannot restore the correlations: %w", err)
	}
	e.done = place{at: d.Int(), last: d.Bool(), print: d.Fixed(), group: d.String()}
	if e.told = true; !d.Done() || e.done.at > e.mark {
		return fmt.Errorf("cannot restore the correlations: %w", wire.ErrFrame)
	}
	return nil
}

// restorePane reports whether the pane's correlation is known.
func (e *Engine) restorePane(key string, value []byte) (known bool, err error) {
	name, err := wire.ParsePaneKey(key)
	if err != nil {
		return false, fmt.Errorf("cannot restore a correlation: %w", err)
	}
	d := wire.NewDecoder(value)
	if err := d.Version(); err != nil {
		return false, fmt.Errorf("cannot restore the correlation %q: %w", key, err)
	}
	c := e.byPrint[name.Correlation]
	if c == nil {
		return false, nil
	}
	w := wire.Pane{PaneKey: name}
	d.PaneCounts(&w)
	p, ok := fromWire(c, &w)
	if !d.Done() || !ok {
		return false, fmt.Errorf("cannot restore the correlation %q: %w", key, wire.ErrFrame)
	}
	at := groupKey{name.Correlation, name.Group}
	h := e.add(e.groups[at], at, p)
	h.stored = true
	g := e.groups[at]
	for start := range c.Windows(p.Start) {
		// Those before are judged: each commit judges what it merged.
		end := place{at: start + c.Timespan, print: g.print, group: g.name}
		if e.mark == eventtime.None || end.compare(e.done) > 0 {
			e.await(g, start)
		}
	}
	return true, nil
}
