package kafkatest

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
)

// A directory that Kafka would split in two is refused before anything is written: Kafka
// would create the second one in its working directory.
func TestDirectoriesThatKafkaSplits(t *testing.T) {
	var log bytes.Buffer
	c, err := StartCluster(filepath.Join(t.TempDir(), "one, and another"), 1, &log)
	if err == nil {
		c.Close()
		t.Error("the cluster starts")
	}
	if !strings.Contains(log.String(), "want a path of letters") {
		t.Errorf("it is refused with %v: %s", err, &log)
	}
}
