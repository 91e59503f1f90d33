package setting

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A secret from a file follows the file, one from a command follows Forget, and neither is
// ever printed.
func TestSourcedSecrets(t *testing.T) {
	folder := t.TempDir()
	file, counter := filepath.Join(folder, "token"), filepath.Join(folder, "counter")
	script := filepath.Join(folder, "script")
	for path, text := range map[string]string{file: "first-token\n", script: "#!/bin/sh\necho x >>" + counter + "\nwc -l <" + counter + "\n"} {
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	var seen Scrubber
	s := SecretOf([]Part{{Text: "Bearer "}, {File: file}, {Text: "/"}, {Command: []string{script}}}, "${file:x}", &seen)
	f := func(want string) {
		t.Helper()
		if got, err := s.Read(t.Context()); err != nil || strings.ReplaceAll(got, " ", "") != want {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	}
	f("Bearerfirst-token/1")
	f("Bearerfirst-token/1")
	if err := os.WriteFile(file, []byte("second-token"), 0o600); err != nil {
		t.Fatal(err)
	}
	f("Bearersecond-token/1")
	s.Forget()
	f("Bearersecond-token/2")
	if shown := fmt.Sprintf("%v %+v %q", s, s, s); strings.Contains(shown, "token") || !strings.Contains(shown, "${file:x}") {
		t.Errorf("printed as %s", shown)
	}
	if got := seen.Clean("no first-token, no second-token"); strings.Contains(got, "-token") {
		t.Errorf("cleaned to %q", got)
	}
	for _, part := range []Part{{File: file + "x"}, {Command: []string{"/nowhere/x"}}, {Command: []string{"/bin/false"}}, {Command: []string{"/bin/true"}}} {
		if _, err := SecretOf([]Part{part}, "", nil).Read(t.Context()); err == nil {
			t.Errorf("%+v gives no error", part)
		}
	}
}
