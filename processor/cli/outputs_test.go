package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A command reads neither its own dead letters nor its own output.
func TestCommandsDoNotReadTheirOutput(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"bad.json": "{\"broken\n", "dead.ndjson": "{\"reason\":\"x\"}\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	dead := filepath.Join(dir, "dead.ndjson")
	out, err := os.Create(filepath.Join(dir, "out.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := out.WriteString("{\"not\":\"an event\"}\n"); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"scan", "normalize"} {
		var stderr bytes.Buffer
		code := Main([]string{command, "--dead-letter", dead, link}, strings.NewReader(""), out, &stderr)
		if code != exitDead || strings.Count(stderr.String(), "dead letter: ") != 1 || !strings.Contains(stderr.String(), "bad.json") {
			t.Errorf("%s ends with %d and\n%s\nwant the dead letter of bad.json alone", command, code, &stderr)
		}
	}
	var stdout, stderr bytes.Buffer
	if code := Main([]string{"scan", "--dead-letter", dead, dead}, strings.NewReader(""), &stdout, &stderr); code == exitOK || !strings.Contains(stderr.String(), "it is an output") {
		t.Errorf("scan of its own dead-letter file ends with %d and %q", code, &stderr)
	}
}
