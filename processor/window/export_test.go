package window

import (
	"keytrail/processor/entity"
	"keytrail/processor/eventtime"
)

// SetHot bounds the unpacked entities of an empty Engine, for tests that want some to be
// packed.
func (e *Engine) SetHot(n int) { e.store = entity.NewStore(n) }

// MarkAt is MarkAt of the engine's configuration.
func (e *Engine) MarkAt(watermark int64) eventtime.Mark { return e.cfg.MarkAt(watermark) }
