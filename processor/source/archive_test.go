package source

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// pack makes a tar archive of files whose contents are their names.
func pack(t *testing.T, names ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, n := range names {
		h := &tar.Header{Name: n, Mode: 0o600, Size: int64(len(n)), Typeflag: tar.TypeReg}
		if strings.HasSuffix(n, "/") {
			h.Typeflag, h.Size = tar.TypeDir, 0
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			io.WriteString(w, n)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

func TestArchives(t *testing.T) {
	dir := t.TempDir()
	archive := pack(t, "CloudTrail/", "CloudTrail/one.json", "CloudTrail/.hidden", "two.json.gz")
	for name, content := range map[string][]byte{
		"a.tar": archive, "b.tar.gz": zipped(archive), "c.tgz": zipped(archive)[:60], "d.json": []byte("plain"), "e.tar": archive[:700],
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for o, err := range Archives(Objects([]string{dir})) {
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(o.Name, dir+"/")
		body, err := o.Open()
		if err != nil {
			got = append(got, name+": error")
			continue
		}
		text, _ := io.ReadAll(body)
		body.Close()
		got = append(got, name+": "+string(text))
	}
	want := []string{
		"a.tar!CloudTrail/one.json: CloudTrail/one.json", "a.tar!two.json.gz: two.json.gz",
		"b.tar.gz!CloudTrail/one.json: CloudTrail/one.json", "b.tar.gz!two.json.gz: two.json.gz",
		"c.tgz: error", "d.json: plain", "e.tar: error",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestArchivesStopWhenTold(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.tar"), pack(t, "one", "two"), 0o600); err != nil {
		t.Fatal(err)
	}
	n := 0
	for range Archives(Objects([]string{dir, dir})) {
		n++
		break
	}
	if n != 1 {
		t.Errorf("%d objects after a break", n)
	}
}
