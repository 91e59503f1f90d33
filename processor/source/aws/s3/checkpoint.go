package s3

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"time"

	"keytrail/processor/source"
	"keytrail/schemas/aws/notification"
)

// maxCheckpointBytes bounds a checkpoint: 17,000 folders (1,000 accounts in 17 regions)
// with two hours of files take 60 MB.
const maxCheckpointBytes = 1 << 30

// checkpoint is the file's content. Keys have no folder prefix.
type checkpoint struct {
	Version int       `json:"version"`
	Kind    string    `json:"kind"` // "s3": distinguishes it from other sources' checkpoints
	Bucket  string    `json:"bucket"`
	Prefix  string    `json:"prefix"`
	Start   time.Time `json:"start"`
	// Lanes are the folders of regions by their prefix.
	Lanes map[string]laneState `json:"lanes"`
	// Retry are the objects that could not be read.
	Retry []retryState `json:"retry,omitempty"`
}

// laneState is the finished files of a folder: all up to Low, and Done after it.
type laneState struct {
	Low  string   `json:"low"`
	Done []string `json:"done,omitempty"`
}

// loadCheckpoint reads the file at path; found is false if it does not exist. Content
// that this package would not write for this bucket and prefix is an error: guessing at a
// checkpoint loses events or repeats them.
func loadCheckpoint(path, bucket, prefix string, now time.Time) (c checkpoint, found bool, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, false, nil
	}
	if err != nil {
		return c, false, fmt.Errorf("cannot open checkpoint %q: %w", path, err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxCheckpointBytes))
	if err == nil {
		c, err = parseCheckpoint(content, bucket, prefix, now)
	}
	if err != nil {
		return c, false, fmt.Errorf(
			"cannot read checkpoint %q: %w; restore it, or remove it to read from the start time on", path, err)
	}
	return c, true, nil
}

func parseCheckpoint(content []byte, bucket, prefix string, now time.Time) (c checkpoint, err error) {
	dec := json.NewDecoder(bytes.NewReader(content))
	dec.DisallowUnknownFields()
	err = dec.Decode(&c)
	switch _, more := dec.Token(); {
	case err != nil:
		return c, err
	case more != io.EOF:
		return c, errors.New("it has data after its end")
	case c.Kind != "s3":
		return c, fmt.Errorf("it is of kind %q, want \"s3\": each input needs its own checkpoint", c.Kind)
	case c.Version != source.CheckpointVersion:
		return c, source.CheckVersion(c.Version)
	case c.Bucket != bucket || c.Prefix != prefix:
		return c, fmt.Errorf("it is for s3://%s/%s", c.Bucket, c.Prefix)
	}
	for prefix, l := range c.Lanes {
		at, ok := lowTime(prefix, l.Low)
		if !laneName.MatchString(prefix) || !ok {
			return c, fmt.Errorf("it says that %q is done up to %q, which is not a key of CloudTrail's", prefix, l.Low)
		}
		if err := source.CheckAhead(at, now); err != nil {
			return c, fmt.Errorf("of %q: %w", prefix, err)
		}
	}
	for _, r := range c.Retry {
		if _, fault := notification.ParseKey(r.Key); fault != "" {
			return c, fmt.Errorf("it waits for %q, which is not a key of CloudTrail's", r.Key)
		}
	}
	return c, nil
}

// lowForm matches a lane's low without its prefix: its beginning, a day's, or a key's.
var lowForm = regexp.MustCompile(`^([0-9]{4}/[0-9]{2}/[0-9]{2}/.*)?$`)

// lowTime returns the time of a lane's low: its object's delivery, or its day. It is zero
// for the beginning of a lane.
func lowTime(prefix, low string) (at time.Time, ok bool) {
	if low == "" {
		return at, true
	}
	if !lowForm.MatchString(low) {
		return at, false
	}
	day, err := time.Parse("2006/01/02", low[:len("2006/01/02")])
	if at = stampOf(prefix + low); at.Before(day) {
		at = day
	}
	return at, err == nil
}

func (c *checkpoint) save(path string) error {
	b, err := json.Marshal(c)
	if err == nil {
		err = source.ReplaceFile(path, append(b, '\n'))
	}
	if err != nil {
		return fmt.Errorf("cannot write checkpoint %q: %w", path, err)
	}
	return nil
}
