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

// CheckpointVersion is the format of the checkpoints of files, S3 and LookupEvents: the
// only one that is written and read. A change of any of them raises it.
const CheckpointVersion = 2

// maxAhead is how far ahead of the clock a checkpoint may be: more than time zones that
// were confused, less than a wrong year.
const maxAhead = 48 * time.Hour

// CheckVersion returns an error that says what to do when a checkpoint has another version
// than CheckpointVersion.
func CheckVersion(version int) error {
	switch {
	case version == CheckpointVersion:
		return nil
	case version < CheckpointVersion:
		return fmt.Errorf("its version is %d and this program knows %d: start over; docs/operations.md, \"Upgrades\", says how",
			version, CheckpointVersion)
	}
	return fmt.Errorf("its version is %d and this program knows %d: a newer program made it, use that one", version, CheckpointVersion)
}

// CheckAhead returns an error when a checkpoint of a source says that everything up to at
// is done, which is so far ahead of now that what comes until then would never be read.
func CheckAhead(at, now time.Time) error {
	if at.Sub(now) <= maxAhead {
		return nil
	}
	return fmt.Errorf("it says that everything up to %s is done, and the clock is at %s: set the clock, or start over; docs/operations.md, \"Upgrades\", says how",
		at.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
}

// maxCheckpointBytes bounds a checkpoint that is read: DefaultMaxObjects
// entries of 512 bytes, which is a path of some 450. CloudTrail's own paths
// have about 150. The list of retries has its times besides.
const maxCheckpointBytes = (DefaultMaxObjects + 2*MaxRetries) * 512

// checkpoint is the file's content: which objects are done, and which could not be
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

// doneEntry is one object that was handed over. MTime counts nanoseconds since
// 1970-01-01 UTC.
type doneEntry struct {
	Name  string `json:"name"`
	Size  int64  `json:"size"`
	MTime int64  `json:"mtime"`
}

// loadCheckpoint reads the file at path. A file that does not exist is found
// false. Anything that this package would not have written is an error: a
// checkpoint that is guessed at loses events or repeats them.
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
		err = errors.New("something stands behind its end")
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
