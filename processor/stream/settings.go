package stream

import (
	"errors"
	"fmt"
	"strings"

	"keytrail/schemas/wire"
)

// errSettings means that counts were made with other settings than this process has.
var errSettings = errors.New("counts of different settings would be mixed; " +
	"see docs/operations.md, \"Other settings\"")

// settings returns the settings that the meaning of this process's counts depends on.
func (p *Pipeline) settings() *wire.Settings {
	return &wire.Settings{
		Events: p.Topics.Events, Sources: p.Partitions[p.Topics.Events], Partials: p.Partitions[p.Topics.Partials],
		Size: p.Window.Detect.Size, Rollups: p.Window.Detect.Rollups,
	}
}

// sameSettings returns errSettings, with the difference, if counts were made with other
// settings. Stage count calls it before it writes, so a process with a wrong
// configuration leaves no frame behind.
func (p *Pipeline) sameSettings(stored string) error {
	own := p.settings()
	if own.String() == stored {
		return nil
	}
	return fmt.Errorf("%s: %w", strings.Join(own.Differences(stored), "; "), errSettings)
}
