package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"keytrail/processor/generate"
	"keytrail/processor/internal/chaostest"
	"keytrail/processor/internal/oracle"
	"keytrail/processor/sink/ids"
)

// trail is the CloudTrail files of a run, in the order of delivery.
type trail struct {
	dir   string
	files []string
}

// makeTrail writes a trail with planted attacks.
func makeTrail(o options, dir string) (*trail, error) {
	dir = filepath.Join(dir, "trail")
	t := &trail{dir: filepath.Join(dir, "AWSLogs")} // without the labels
	hours := max(72, time.Duration(12*o.duration.Minutes()))
	g, err := generate.New(generate.Config{Seed: o.seed, Duration: hours * time.Hour,
		Events: int(o.duration.Seconds()) * o.rate})
	if err == nil {
		_, err = g.WriteFiles(dir, nil)
	}
	if err != nil {
		return nil, err
	}
	err = filepath.WalkDir(t.dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".json.gz") {
			t.files = append(t.files, path)
		}
		return err
	})
	slices.SortFunc(t.files, func(a, b string) int { return strings.Compare(delivered(a), delivered(b)) })
	chaostest.Say("%d files below %s, with %d planted incidents", len(t.files), t.dir, len(g.Labels()))
	return t, err
}

// delivered returns the time in a file's name, <account>_CloudTrail_<region>_<time>_<…>, and
// the rest of the name.
func delivered(path string) string {
	parts := strings.SplitN(filepath.Base(path), "_", 4)
	return parts[3]
}

// expect returns the independent counts: the oracle's windows, and the anomalies of a scan of
// the same files, which uses no Kafka.
func (t *trail) expect(ctx context.Context, keytrail string) (*expected, error) {
	counted, err := oracle.Count([]string{t.dir}, chaostest.WindowSize)
	if err != nil {
		return nil, err
	}
	w := &expected{windows: chaostest.Expected(counted), anomalies: map[string]bool{}}
	scan := exec.CommandContext(ctx, keytrail, "scan", "-o", "json", "--windows", "none", t.dir)
	scan.Stderr = os.Stderr
	text, err := scan.Output()
	if err != nil {
		return nil, fmt.Errorf("keytrail scan: %w", err)
	}
	for line := range bytes.Lines(text) {
		id, err := anomalyID(line)
		if err != nil {
			return nil, err
		}
		w.anomalies[ids.Anomaly+" "+id] = true
	}
	chaostest.Say("the oracle counts %d calls in %d windows; a scan finds %d anomalies", counted.Counted, len(w.windows),
		len(w.anomalies))
	return w, nil
}

// anomalyID returns the id in a line of OTLP/JSON.
func anomalyID(line []byte) (string, error) {
	var data struct {
		ResourceLogs []struct {
			ScopeLogs []struct {
				LogRecords []struct {
					Attributes []struct {
						Key   string
						Value struct{ StringValue string }
					}
				}
			}
		}
	}
	if err := json.Unmarshal(line, &data); err != nil {
		return "", err
	}
	for _, r := range data.ResourceLogs {
		for _, s := range r.ScopeLogs {
			for _, l := range s.LogRecords {
				for _, a := range l.Attributes {
					if a.Key == "keytrail.anomaly.id" {
						return a.Value.StringValue, nil
					}
				}
			}
		}
	}
	return "", fmt.Errorf("a line without an anomaly: %.200s", line)
}

// every is the time between two parts of the trail.
const every = 5 * time.Second

// send puts the files into Kafka, part by part over the duration, with "keytrail replay". A
// part that fails is sent again, and its calls count once. The trail has files that are
// delivered twice, hours later: the second copies are late and change nothing.
func (t *trail) send(ctx context.Context, duration time.Duration, keytrail, config string) error {
	start, parts := time.Now(), int(duration/every)
	for i := range parts {
		chaostest.Pause(ctx, time.Until(start.Add(time.Duration(i)*every)))
		part := t.files[i*len(t.files)/parts : (i+1)*len(t.files)/parts]
		var said []byte
		var err error
		for range 20 {
			replay := exec.CommandContext(ctx, keytrail, append([]string{"replay", "--allow-late", "-c", config}, part...)...)
			if said, err = replay.CombinedOutput(); err == nil || ctx.Err() != nil {
				break
			}
			chaostest.Say("part %d is sent again: %v: %s", i, err, lastLine(said))
			chaostest.Pause(ctx, every)
		}
		if err != nil {
			return fmt.Errorf("keytrail replay: %w: %s", err, said)
		}
	}
	return ctx.Err()
}

// lastLine returns the last line of a program's output.
func lastLine(text []byte) []byte {
	text = bytes.TrimSpace(text)
	return text[bytes.LastIndexByte(text, '\n')+1:]
}
