package source

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
)

// CheckpointVersion is the only supported version of the checkpoints of files, S3 and
// LookupEvents. A change of any of them increments it.
const CheckpointVersion = 2

// maxAhead is how far a checkpoint may be ahead of the clock: more than confused time
// zones, less than a wrong year.
const maxAhead = 48 * time.Hour

// CheckVersion returns an error with advice if a checkpoint's version is not
// CheckpointVersion.
func CheckVersion(version int) error {
	switch {
	case version == CheckpointVersion:
		return nil
	case version < CheckpointVersion:
		return fmt.Errorf("its version is %d and this program knows %d: start over; docs/operations.md, \"Upgrades\", "+
			"says how",
			version, CheckpointVersion)
	}
	return fmt.Errorf("its version is %d and this program knows %d: a newer program made it, use that one",
		version, CheckpointVersion)
}

// CheckAhead returns an error if a checkpoint says that everything up to at is done, and
// at is so far ahead of now that later events would never be read.
func CheckAhead(at, now time.Time) error {
	if at.Sub(now) <= maxAhead {
		return nil
	}
	return fmt.Errorf("it says that everything up to %s is done, but the clock is at %s: correct the clock, or start "+
		"over; docs/operations.md, \"Upgrades\", says how",
		at.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
}

// maxCheckpointBytes bounds a checkpoint: DefaultMaxObjects entries of 512 bytes, for a
// path of about 450; CloudTrail's paths have about 150. The retry list also has times.
const maxCheckpointBytes = (DefaultMaxObjects + 2*MaxRetries) * 512

// checkpoint is the file's content: the finished objects, and those that could not be
// read.
type checkpoint struct {
	Version int          `json:"version"`
	Done    []doneEntry  `json:"done"`
	Retry   []retryEntry `json:"retry,omitempty"`
}

// retryEntry is one object that could not be read.
type retryEntry struct {
	doneEntry
	RetryState
}

// doneEntry is one finished object. MTime is in nanoseconds since 1970-01-01 UTC.
type doneEntry struct {
	Name  string `json:"name"`
	Size  int64  `json:"size"`
	MTime int64  `json:"mtime"`
}

// loadCheckpoint reads the file at path; found is false if it does not exist. Content
// that this package would not write is an error: guessing at a checkpoint loses or
// repeats events.
func loadCheckpoint(path string) (c checkpoint, found bool, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, false, nil
	}
	if err != nil {
		return c, false, fmt.Errorf("cannot open checkpoint %q: %w", path, err)
	}
	defer f.Close()
	const advice = "restore it, or remove it to read every file again"
	dec := json.NewDecoder(io.LimitReader(f, maxCheckpointBytes))
	dec.DisallowUnknownFields()
	err = dec.Decode(&c)
	if _, more := dec.Token(); err == nil && more != io.EOF {
		err = errors.New("it has data after its end")
	}
	if err != nil {
		return c, false, fmt.Errorf("cannot read checkpoint %q: %w; %s", path, err, advice)
	}
	if err := CheckVersion(c.Version); err != nil {
		return c, false, fmt.Errorf("cannot read checkpoint %q: %w; %s", path, err, advice)
	}
	return c, true, nil
}

// save writes c to path with ReplaceFile.
func (c *checkpoint) save(path string) error {
	slices.SortFunc(c.Done, func(a, b doneEntry) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(c.Retry, func(a, b retryEntry) int { return strings.Compare(a.Name, b.Name) })
	b, err := json.Marshal(c)
	if err == nil {
		err = ReplaceFile(path, append(b, '\n'))
	}
	if err != nil {
		return fmt.Errorf("cannot write checkpoint %q: %w", path, err)
	}
	return nil
}
