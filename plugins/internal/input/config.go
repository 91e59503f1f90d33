package input

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"keytrail/plugins/internal/property"
	"keytrail/schemas/cloudtrail"
)

// Config says what an Input reads and how much it holds.
type Config struct {
	// Path is a directory (walked), a file or a pattern: source.FollowerConfig.
	Path string
	// Checkpoint is the file that remembers which files are done; "" reads
	// every file again after a restart.
	Checkpoint string
	// DeadLetter is the NDJSON file for records that are no events; "" leaves
	// them to the log alone, without their bytes.
	DeadLetter string
	// FromBeginning reads the files that are there already when there is no
	// checkpoint yet.
	FromBeginning bool
	// All passes the events of every service; otherwise only those that
	// normalize.Wanted wants.
	All bool
	// PollInterval is the time between two looks at Path. A file is read when
	// two looks found it the same, so it is also the longest pause that a
	// writer may make inside a file.
	PollInterval time.Duration
	// Settle is the time from handing a file's last record to Fluent Bit until
	// the checkpoint counts the file as done.
	Settle time.Duration
	// QueueRecords and QueueBytes bound what is read ahead; see DefaultConfig.
	QueueRecords, QueueBytes int
	// BatchBytes bounds what one callback returns. Fluent Bit makes one chunk of
	// it, which an output must be able to deliver as a whole.
	BatchBytes int
	// Limits bounds what one file may cost the decoder.
	Limits cloudtrail.Limits
}

// DefaultConfig returns the defaults. The arithmetic: Fluent Bit calls once a
// second, and a batch of 8 MiB holds about 5,500 events of 1.5 KB, which
// sustained are 475 million a day. As log records they are some 24 MiB for an
// output to deliver within one flush. The queue holds eight batches, so that
// reading goes on while Fluent Bit pauses for a few seconds; 50,000 records at
// 1.5 KB are about as much.
func DefaultConfig() Config {
	return Config{
		FromBeginning: true,
		PollInterval:  5 * time.Second,
		Settle:        10 * time.Second,
		QueueRecords:  50_000,
		QueueBytes:    64 << 20,
		BatchBytes:    8 << 20,
	}
}

// ParseConfig reads the properties of in_kms. It returns every complaint at
// once.
func ParseConfig(r *property.Reader) (Config, error) {
	c := DefaultConfig()
	r.Choice("source", "file", "file")
	c.Path = r.Required("path", "a directory, a file or a pattern such as /var/trail/*.json.gz")
	c.Checkpoint = r.Text("checkpoint", "")
	dead := ""
	if c.Checkpoint != "" {
		dead = c.Checkpoint + ".deadletter.ndjson"
	}
	c.DeadLetter = r.Text("dead_letter", dead)
	c.FromBeginning = r.Bool("from_beginning", c.FromBeginning)
	c.All = r.Choice("filter", "kms", "kms", "all") == "all"
	c.PollInterval = r.Duration("poll_interval", c.PollInterval, 10*time.Millisecond, time.Hour)
	c.Settle = r.Duration("settle", c.Settle, 0, time.Hour)
	c.QueueRecords = r.Int("queue_records", c.QueueRecords, 1, 10_000_000)
	c.QueueBytes = r.Bytes("queue_bytes", c.QueueBytes, 1<<20, 4<<30)
	c.BatchBytes = r.Bytes("batch_bytes", c.BatchBytes, 64<<10, 64<<20)
	if err := r.Err(); err != nil {
		return c, err
	}
	return c, c.check(r)
}

// check looks at what the paths name, so that a mistake stops the start and is
// not found by an auditor.
func (c *Config) check(r *property.Reader) error {
	_, err := os.Stat(c.Path)
	_, perr := filepath.Match(c.Path, "")
	if perr != nil || (err != nil && !strings.ContainsAny(c.Path, `*?[\`)) {
		r.Refuse("path", c.Path, fmt.Sprintf("a directory or file that exists, or a well-formed pattern (%v)", errors.Join(err, perr)))
	}
	if c.Checkpoint == "" && c.DeadLetter == "" {
		return r.Err()
	}
	if filepath.Clean(c.Checkpoint) == filepath.Clean(c.DeadLetter) {
		r.Refuse("dead_letter", c.DeadLetter, "another file than the checkpoint's")
	}
	writable(r, "checkpoint", c.Checkpoint)
	writable(r, "dead_letter", c.DeadLetter)
	return r.Err()
}

// writable refuses a path whose folder can not take a new file, which a
// checkpoint needs to be replaced as a whole.
func writable(r *property.Reader, name, path string) {
	if path == "" {
		return
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".keytrail-probe-*")
	if err != nil {
		r.Refuse(name, path, fmt.Sprintf("a file in a folder that this process may write to (%v)", err))
		return
	}
	f.Close()
	os.Remove(f.Name())
}
