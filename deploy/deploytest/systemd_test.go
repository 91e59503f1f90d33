package deploytest

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// unit returns the settings of a section of the unit, by name, in the order of the file.
func unit(t *testing.T, section string) map[string][]string {
	t.Helper()
	found, at := map[string][]string{}, ""
	for line := range strings.Lines(file(t, "deploy/systemd/keytrail.service")) {
		line = strings.TrimSpace(line)
		name, value, ok := strings.Cut(line, "=")
		switch {
		case strings.HasPrefix(line, "["):
			at = strings.Trim(line, "[]")
		case at == section && ok && !strings.HasPrefix(line, "#"):
			found[name] = append(found[name], value)
		}
	}
	return found
}

// TestUnit: the unit starts commands that exist, restarts after failures only, gives the
// stages the time that they need to end, and locks away what Keytrail does not use.
func TestUnit(t *testing.T) {
	service := unit(t, "Service")
	for name, want := range map[string]string{
		"ExecStartPre": "/usr/local/bin/keytrail config check -c /etc/keytrail/keytrail.yaml",
		"ExecStart":    "/usr/local/bin/keytrail run -c /etc/keytrail/keytrail.yaml",
		"Type":         "exec", "User": "keytrail", "Restart": "on-failure", "KillSignal": "SIGTERM", "TimeoutStopSec": "60",
		"NoNewPrivileges": "yes", "CapabilityBoundingSet": "", "AmbientCapabilities": "", "ProtectSystem": "strict",
		"ProtectHome": "yes", "PrivateTmp": "yes", "PrivateDevices": "yes", "RestrictSUIDSGID": "yes", "UMask": "0077",
		"RestrictNamespaces": "yes", "MemoryDenyWriteExecute": "yes", "SystemCallArchitectures": "native",
		"RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX", "StateDirectory": "keytrail",
	} {
		if got := service[name]; !slices.Equal(got, []string{want}) {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if got := service["SystemCallFilter"]; !slices.Contains(got, "@system-service") {
		t.Errorf("SystemCallFilter is %q, want @system-service among them", got)
	}
}

// TestUnitInSystemd: systemd reads the unit without a complaint and finds it well locked.
func TestUnitInSystemd(t *testing.T) {
	program, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("NOT RUN: systemd did not check deploy/systemd: systemd-analyze is not on PATH")
	}
	// systemd looks for the program; any one does here.
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "keytrail.service")
	text := strings.ReplaceAll(file(t, "deploy/systemd/keytrail.service"), "/usr/local/bin/keytrail", self)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, arguments := range [][]string{{"verify", "--man=no", path},
		{"security", "--offline=true", "--no-pager", "--threshold=20", path}} { // of 100
		out, err := exec.CommandContext(t.Context(), program, arguments...).CombinedOutput()
		if err != nil || arguments[0] == "verify" && strings.Contains(string(out), "keytrail.service") {
			t.Errorf("systemd-analyze %s: %v\n%s", arguments[0], err, out)
		}
	}
}
