package detect

import (
	"keytrail/processor/eventtime"
	"keytrail/schemas/wire"
)

// SetHot bounds the unpacked entities, for tests that want some to be packed.
func (e *Engine) SetHot(n int) { e.store.most = n }

// Unlike names an unpacked entity whose packed form, in which the windows that did not
// change are copied, is not what encoding it whole gives; "" for none. windows counts
// those that would be copied the next time.
func (e *Engine) Unlike() (name string, windows int) {
	var enc wire.Encoder
	for _, ent := range e.store.hot {
		if ent.stale {
			continue
		}
		for _, w := range ent.Windows {
			if w.to > 0 {
				windows++
			}
		}
		if string(AppendEntity(nil, &enc, ent)) != string(e.store.at(ent.slot).state) {
			return ent.StateKey(), windows
		}
	}
	return "", windows
}

// Loose returns ent as it is before it was packed anywhere.
func (ent *Entity) Loose() *Entity {
	for _, list := range [...][]*Window{ent.Windows, ent.Rollups} {
		for _, w := range list {
			w.from, w.to = 0, 0
		}
	}
	return ent
}

// Windows returns how many windows a Storm remembers.
func (s *Storm) Windows() int { return len(s.windows) }

// Counts returns how many counts it remembers.
func (s *Storm) Counts() int { return s.n }

// MarkAt is that of the engine's configuration.
func (e *Engine) MarkAt(watermark int64) eventtime.Mark { return e.cfg.MarkAt(watermark) }
