package cli

import (
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"keytrail/processor/cli/flags"
	"keytrail/processor/generate"
)

// liveFlags are the flags of "keytrail generate --live".
type liveFlags struct {
	on             bool
	history, every time.Duration
}

// The flags that only a trail with an end has, and those that only one without has.
var (
	endedOnly = []string{"duration", "events", "repeat", "scenarios", "start"}
	liveOnly  = []string{"history", "attack-every"}
)

func (l *liveFlags) register(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&l.on, "live", false, "write a trail that goes on as time passes")
	flags.Duration(cmd, &l.history, "history",
		"with --live, the `duration` before the first attack, and how long files are kept", time.Hour, 100*24*time.Hour,
		time.Minute)
	flags.Duration(cmd, &l.every, "attack-every", "with --live, the `duration` between two attacks", time.Minute,
		24*time.Hour, time.Minute)
}

// check refuses flags that have no effect.
func (l *liveFlags) check(cmd *cobra.Command) error {
	without, words := liveOnly, "needs --live"
	if l.on {
		without, words = endedOnly, "cannot be combined with --live, whose trail has no end"
	}
	for _, name := range without {
		if cmd.Flags().Changed(name) {
			return usagef("--%s %s; see keytrail generate --help", name, words)
		}
	}
	return nil
}

// generateLive delivers a live trail into dir until the process is to end.
func (a *app) generateLive(dir string, c generate.LiveConfig) error {
	l, err := generate.OpenLive(dir, c, time.Now())
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(a.stderr, nil))
	log.Info("the live trail begins or continues", "directory", dir, "delivered", l.Delivered())
	caughtUp := false
	err = l.Run(func(due time.Time) error {
		for {
			left := time.Until(due)
			if left <= 0 || a.ctx.Err() != nil {
				return a.ctx.Err()
			}
			if !caughtUp {
				caughtUp = true
				log.Info("the history is delivered; the trail goes on as time passes")
			}
			// Short steps, because a machine that slept has stopped its timers.
			select {
			case <-time.After(min(left, 5*time.Second)):
			case <-a.ctx.Done():
			}
		}
	}, func(attack generate.Label) {
		log.Info("planted an attack", "scenario", attack.Scenario, "from", attack.Start, "until", attack.End, "calls",
			attack.Calls, "principal", attack.Principal, "key", attack.KeyARN, "note", attack.Note)
	})
	if a.ctx.Err() != nil {
		log.Info("the live trail stops", "delivered", l.Delivered())
		return nil
	}
	return err
}
