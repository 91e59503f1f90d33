package telemetry

import (
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"keytrail/processor/setting"
)

// hostName matches the names of hosts.
var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,252})$`)

// Config configures the metrics server.
type Config struct {
	// Listen is the address of the HTTP server with /metrics, /readyz, /healthz, /api/v1 and
	// /debug/pipeline, such as "127.0.0.1:9464"; "", the default, serves none. It has no event
	// data, but no authentication either: keep it on loopback or behind a proxy.
	Listen string `yaml:"listen"`
	// Hosts are names, beside localhost, under which /api/v1 and /debug may be requested.
	// Requests to an address are always answered.
	Hosts []string `yaml:"hosts"`
	// Pprof serves profiles of the process at /debug/pprof/ to clients on the same machine.
	Pprof bool `yaml:"pprof"`
	Log   Log  `yaml:"log"`
	// Coverage lists the accounts and Regions whose last call is a metric, each as
	// "ACCOUNT/REGION": label values come from this list alone.
	Coverage []string `yaml:"coverage"`
	OTLP     OTLP     `yaml:"otlp"`
}

// maxCoverage bounds the series of Config.Coverage.
const maxCoverage = 1000

// placeOf splits "ACCOUNT/REGION".
func placeOf(text string) place {
	account, region, _ := strings.Cut(text, "/")
	return place{account, region}
}

var placeForm = regexp.MustCompile(`^[0-9]{12}/[a-z][a-z0-9-]{1,30}$`)

// validateCoverage checks the list of accounts and Regions.
func (c Config) validateCoverage(p *setting.Problems) {
	if len(c.Coverage) > maxCoverage {
		p.Add("coverage", "has %d entries; allowed: %d", len(c.Coverage), maxCoverage)
	}
	for i, text := range c.Coverage {
		key := fmt.Sprintf("coverage[%d]", i)
		if !placeForm.MatchString(text) {
			p.Add(key, "%q is not an account and a Region; write them as 111122223333/eu-central-1", text)
		} else if slices.Index(c.Coverage, text) < i {
			p.Add(key, "%q is in the list twice", text)
		}
	}
}

// Log configures the log, which goes to standard error.
type Log struct {
	// Level is the least level that is written; a reload changes it.
	Level Level `yaml:"level"`
	// Format is the form of each line.
	Format Format `yaml:"format"`
}

// Level is the least level of log lines.
type Level string

// Levels returns all levels, the chattiest first.
func Levels() []Level { return []Level{"debug", "info", "warn", "error"} }

// Slog returns the level in the form of package slog.
func (l Level) Slog() slog.Level {
	var level slog.Level
	if err := level.UnmarshalText([]byte(l)); err != nil {
		panic("BUG: " + err.Error()) // Validate allows only levels
	}
	return level
}

// Format is the form of log lines.
type Format string

// The formats.
const (
	FormatText Format = "text" // key=value
	FormatJSON Format = "json" // one JSON object per line
)

// DefaultConfig returns a Config that serves no metrics and logs text from level info.
func DefaultConfig() Config {
	return Config{Hosts: []string{}, Coverage: []string{}, Log: Log{Level: "info", Format: FormatText},
		OTLP: OTLP{Headers: map[string]setting.Secret{}, Interval: time.Minute}}
}

// Validate returns setting.Problems that name the unusable settings.
func (c Config) Validate() error {
	var p setting.Problems
	if c.Listen != "" {
		host, port, err := net.SplitHostPort(c.Listen)
		_, portErr := strconv.ParseUint(port, 10, 16)
		if err != nil || portErr != nil || host == "" {
			p.Add("listen", `%q is not an address; want a host and a port such as "127.0.0.1:9464"`, c.Listen)
		}
	}
	for i, name := range c.Hosts {
		if !hostName.MatchString(name) {
			p.Add(fmt.Sprintf("hosts[%d]", i), `%q is not a host name; want one such as "keytrail.internal", without a port`,
				name)
		}
	}
	setting.OneOf(&p, "log.level", c.Log.Level, Levels()...)
	setting.OneOf(&p, "log.format", c.Log.Format, FormatText, FormatJSON)
	c.validateCoverage(&p)
	c.OTLP.validate(&p)
	return p.Err()
}
