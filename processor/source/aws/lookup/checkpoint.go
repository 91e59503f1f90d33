package lookup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"time"

	"keytrail/processor/source"
)

// state is the checkpoint's content.
type state struct {
	Version int                 `json:"version"`
	Kind    string              `json:"kind"` // "lookup"
	Regions map[string]progress `json:"regions"`
}

// progress is the state of the two looks at a region.
type progress struct {
	Done  time.Time `json:"done"`
	Again time.Time `json:"again"`
	// Retry are the slices that could not be looked up.
	Retry []retryState `json:"retry,omitempty"`
}

// retryState is one slice that could not be looked up.
type retryState struct {
	Second bool      `json:"second,omitempty"`
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	source.RetryState
}

// Save writes the checkpoint when it has changed.
func (s *Source) Save(context.Context) error { return s.save(false) }

func (s *Source) save(last bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	s.dirty = s.dirty || s.retries.Unsaved(now, last)
	if !s.dirty || s.cfg.Checkpoint == "" {
		return nil
	}
	c := state{Version: source.CheckpointVersion, Kind: "lookup", Regions: map[string]progress{}}
	maps.Copy(c.Regions, s.kept)
	for i := 0; i < len(s.walks); i += 2 {
		at := progress{Done: s.walks[i].done, Again: s.walks[i+1].done}
		for _, w := range s.walks[i : i+2] {
			for _, p := range w.parked {
				at.Retry = append(at.Retry, retryState{w.second, p.from, p.to, s.retries.Get(p.name).State})
			}
		}
		c.Regions[s.walks[i].region] = at
	}
	b, err := json.Marshal(c)
	if err == nil {
		err = source.ReplaceFile(s.cfg.Checkpoint, append(b, '\n'))
	}
	if err != nil {
		return fmt.Errorf("cannot write checkpoint %q: %w", s.cfg.Checkpoint, err)
	}
	s.dirty = false
	s.retries.Saved(now)
	return nil
}

// Close is the last Save.
func (s *Source) Close(context.Context) error { return s.save(true) }

// maxStateBytes bounds a checkpoint: source.MaxRetries slices of 300 bytes take 3 MB, and
// there are about forty regions.
const maxStateBytes = 8 << 20

func loadState(path string, now time.Time) (c state, err error) {
	if path == "" {
		return c, nil
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, fmt.Errorf("cannot open checkpoint %q: %w", path, err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxStateBytes))
	if err == nil {
		c, err = parseState(content, now)
	}
	if err != nil {
		return c, fmt.Errorf("cannot read checkpoint %q: %w; restore it, or remove it to read from the start time on",
			path, err)
	}
	return c, nil
}

func parseState(content []byte, now time.Time) (c state, err error) {
	dec := json.NewDecoder(bytes.NewReader(content))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		return c, err
	}
	if _, more := dec.Token(); more != io.EOF {
		return c, errors.New("it has data after its end")
	}
	if c.Kind != "lookup" {
		return c, fmt.Errorf("it is of kind %q, want \"lookup\": each input needs its own checkpoint", c.Kind)
	}
	if err := source.CheckVersion(c.Version); err != nil {
		return c, err
	}
	for region, at := range c.Regions {
		for _, done := range []time.Time{at.Done, at.Again} {
			if err := source.CheckAhead(done, now); err != nil {
				return c, fmt.Errorf("of Region %q: %w", region, err)
			}
		}
	}
	return c, nil
}
