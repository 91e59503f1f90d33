package ndjson

import (
	"time"

	"keytrail/processor/setting"
)

// Config says which file the log records go to, and how much of it is kept.
type Config struct {
	// Path names the file, or sink.Stdout. The file is made when it does not exist; its
	// folder must. It is made readable and writable by its owner alone, and so are the
	// files that rotation makes.
	Path string `yaml:"path"`
	// RotateBytes is the size that the file does not grow over, unless one batch
	// alone does (default 100 MiB); 0 lets it grow without bound. Rotation renames
	// the file to PATH.1, and that to PATH.2, and so on.
	RotateBytes setting.Size `yaml:"rotate_bytes"`
	// RotateEvery begins a new file with the first batch of each such period of UTC, 1 m to
	// 366 d; 0, the default, does not.
	RotateEvery time.Duration `yaml:"rotate_every"`
	// Keep is the number of rotated files (default 5); older ones are deleted, and the log
	// names each. The disk holds (Keep+1) * RotateBytes: 600 MiB by default.
	Keep int `yaml:"keep"`
	// Gzip compresses rotated files to PATH.1.gz and so on (default false).
	Gzip bool `yaml:"gzip"`
	// Fsync waits until the disk has the batch (default true). Without it, records
	// whose Kafka offsets are committed can be lost when the machine loses power,
	// though not when only the process dies.
	Fsync bool `yaml:"fsync"`
}

// DefaultConfig returns a Config that lacks a Path only.
func DefaultConfig() Config {
	return Config{RotateBytes: 100 << 20, Keep: 5, Fsync: true}
}

// Validate returns setting.Problems that name the settings that cannot be used.
func (c Config) Validate() error {
	var p setting.Problems
	if c.Path == "" {
		p.Add("path", `is missing; want the name of a file, or "-" for standard output`)
	}
	if c.RotateBytes != 0 {
		setting.Between(&p, "rotate_bytes", c.RotateBytes, 1<<10, 1<<50)
	}
	if c.RotateEvery != 0 {
		setting.Between(&p, "rotate_every", c.RotateEvery, time.Minute, 366*24*time.Hour)
	}
	setting.Between(&p, "keep", c.Keep, 1, 1000)
	return p.Err()
}
