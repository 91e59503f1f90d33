// Package receiver starts real receivers for tests: an OpenTelemetry Collector, syslog-ng,
// rsyslog, Alertmanager, Loki and VictoriaLogs. Nothing here is safe for concurrent use.
package receiver

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"keytrail/processor/internal/module"
	"keytrail/processor/internal/process"
)

// Variable is the environment variable that has tests run against real receivers when it
// is "real"; make integration sets it.
const Variable = "KEYTRAIL_RECEIVERS"

// Find returns the path of a program that a script of the folder scripts prints, such as
// Find(t, "syslogd", "rsyslogd"). It skips the test, with a line on standard error, unless
// Variable is "real" and the script succeeds.
func Find(t testing.TB, script string, args ...string) string {
	t.Helper()
	switch v := os.Getenv(Variable); v {
	case "real":
	case "":
		skip(t, "make integration-all runs it")
	default:
		t.Fatalf("%s is %q, want real or nothing", Variable, v)
	}
	path, err := Path(script, args...)
	if err != nil {
		skip(t, err.Error())
	}
	return path
}

// Path returns the path that a script of the folder scripts prints, as Find.
func Path(script string, args ...string) (string, error) {
	root, err := module.Root()
	if err != nil {
		return "", err
	}
	run := exec.Command(filepath.Join(root, "scripts", script), args...)
	run.Stderr = os.Stderr
	path, err := run.Output()
	if err != nil {
		return "", fmt.Errorf("scripts/%s: %w", script, err)
	}
	return strings.TrimSpace(string(path)), nil
}

// skip skips a test loudly.
func skip(t testing.TB, why string) {
	t.Helper()
	fmt.Fprintf(os.Stderr, "SKIPPED %s: it needs a real receiver and is NOT run: %s\n", t.Name(), why)
	t.Skip(why)
}

// Program is a receiver on the loopback interface.
type Program = process.Process

// Start starts a program for a test, at whose end it is killed, and returns when it accepts
// connections at tcp.
func Start(t testing.TB, tcp, path string, args ...string) *Program {
	t.Helper()
	p := process.New(filepath.Join(t.TempDir(), "log"), tcp, path, args...)
	t.Cleanup(p.Kill)
	if err := p.Launch(); err != nil {
		t.Fatal(err)
	}
	return p
}

// SyslogNG returns a syslog-ng, not yet started, with a source of the given driver, such as
// `syslog(transport("tcp") AT)`. AT becomes the options for the address; replace holds more
// pairs of a word and its replacement. It writes a line per message into the file out: the
// priority, time, host, program, message id, structured data and text with tabs between them.
// Everything is below folder.
func SyslogNG(binary, folder, address, driver string, replace ...string) (p *Program, out string, err error) {
	tcp, err := FreeAddress()
	if err != nil {
		return nil, "", err
	}
	host, port, _ := strings.Cut(address, ":")
	_, probe, _ := strings.Cut(tcp, ":")
	replace = append(replace, "AT", fmt.Sprintf("ip(%s) port(%s) log-msg-size(1048576)", host, port))
	driver = strings.NewReplacer(replace...).Replace(driver)
	out = filepath.Join(folder, "out")
	config := fmt.Sprintf(`@version: 3.38
options { keep-hostname(yes); log-msg-size(1048576); frac-digits(6); };
source s { %s; };
source probe { network(ip(127.0.0.1) port(%s)); };
destination d { file(%q template("$PRI\t$ISODATE\t$HOST\t$PROGRAM\t$MSGID\t$SDATA\t$MSG\n")); };
log { source(s); source(probe); destination(d); };
`, driver, probe, out)
	settings := filepath.Join(folder, "syslog-ng.conf")
	if err := os.WriteFile(settings, []byte(config), 0o600); err != nil {
		return nil, "", err
	}
	p = process.New(filepath.Join(folder, "log"), tcp, binary, "-F", "--no-caps", "-f", settings, "-R",
		filepath.Join(folder, "persist"), "-p", filepath.Join(folder, "pid"), "-c", filepath.Join(folder, "control"))
	return p, out, nil
}

// Address returns a free address of the loopback interface, for TCP and UDP.
func Address(t testing.TB) string {
	t.Helper()
	address, err := FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// FreeAddress is Address without a test. The port is below the range of outgoing
// connections, so none of them takes it while a receiver is down.
func FreeAddress() (string, error) {
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(22_000))
		l, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		u, err := net.ListenPacket("udp", address)
		_ = l.Close()
		if err == nil {
			_ = u.Close()
			return address, nil
		}
	}
	return "", errors.New("no port from 10000 to 31999 is free for TCP and UDP")
}
