package cli

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A trail in a tar archive is read like the files in it, and an unreadable file in a
// directory affects only itself.
func TestScanReadsArchivesAndPassesWhatItCanNotRead(t *testing.T) {
	sample, err := os.ReadFile("../../deploy/trail/sample.json")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "trail/sample.json", Mode: 0o600, Size: int64(len(sample)), Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(sample); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "trail.tar"), b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	scan := func() (code int, said string) {
		var stderr strings.Builder
		code = Main([]string{"scan", "--windows", "none", dir}, strings.NewReader(""), io.Discard, &stderr)
		return code, stderr.String()
	}
	if code, said := scan(); code != exitOK || !strings.Contains(said, "5 calls counted") {
		t.Errorf("exit %d: %s", code, said)
	}
	if err := os.Symlink("loop", filepath.Join(dir, "loop")); err != nil {
		t.Fatal(err)
	}
	if code, said := scan(); code != exitDead || !strings.Contains(said, "5 calls counted") || !strings.Contains(said, "cannot_read") {
		t.Errorf("with a link to itself: exit %d: %s", code, said)
	}
}
