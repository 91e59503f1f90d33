package cli_test

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// small is a demo that ends soon, and never before its trail does.
var small = []string{"demo", "--events", "4000", "--pace", "1s", "--for", "10m"}

// saying waits until the process has printed text.
func (p *process) saying(t *testing.T, text string) {
	t.Helper()
	until(t, fmt.Sprintf("it says %q", text), func() bool {
		ended := false // asked first: after the end all of its output exists
		select {
		case <-p.done:
			ended = true
		default:
		}
		said := strings.Contains(p.stdout.String(), text)
		if ended && !said {
			t.Fatalf("it ended without saying %q:\n%s", text, p.stdout.String())
		}
		return said
	})
}

var (
	tableHeader = regexp.MustCompile(`(?m)^TIME +SEVERITY +ANOMALY +SENTENCE$`)
	tableRow    = regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\d \d\d:\d\dZ +(critical|high|medium|low) +[0-9a-f]{12}  \S.*\.$`)
	verdict     = regexp.MustCompile(`(?m)^(\d+) of (\d+) planted incidents found; \d+ anomalies in all`)
)

func TestDemo(t *testing.T) {
	heavy(t)
	p := start(t, nil, nil, small...)
	p.saying(t, "All files are read")
	addresses := listeners(t, p.cmd.Process.Pid)
	for _, a := range addresses {
		if !a.Addr().IsLoopback() {
			t.Errorf("it listens on %v", a)
		}
	}
	if len(addresses) < 3 {
		t.Errorf("it listens on %v only, not on the addresses of the broker, the SIEM and the page", addresses)
	}
	demoPage(t, pageURL.FindString(p.stdout.String()))
	o := outcome{p.code(t), p.stdout.String(), p.stderr.String()}
	o.wants(t, 0)
	if o.stderr != "" {
		t.Errorf("errors: %s", o.stderr)
	}
	p.leavesNothing(t)
	for _, want := range []*regexp.Regexp{tableHeader, tableRow} {
		if !want.MatchString(o.stdout) {
			t.Errorf("the output has nothing like %v:\n%s", want, tail(o.stdout, 40))
		}
	}
	m := verdict.FindStringSubmatch(o.stdout)
	if m == nil {
		t.Fatalf("no verdict:\n%s", tail(o.stdout, 40))
	}
	found, _ := strconv.Atoi(m[1])
	planted, _ := strconv.Atoi(m[2])
	if planted < 10 || found <= planted-found {
		t.Errorf("%d of %d planted incidents found", found, planted)
	}
	rows := tableRow.FindAllString(o.stdout, -1)
	if !slices.IsSortedFunc(rows, func(a, b string) int { return strings.Compare(a[:17], b[:17]) }) {
		t.Errorf("the anomalies are not in the order of time:\n%s", strings.Join(rows, "\n"))
	}
}

// listeners returns the addresses on which a process listens for TCP.
func listeners(t *testing.T, pid int) []netip.AddrPort {
	t.Helper()
	folder := fmt.Sprintf("/proc/%d", pid)
	if _, err := os.Stat(folder); err != nil {
		t.Skipf("NOT TESTED where nobody tells who listens: %v", err)
	}
	own := map[string]bool{}
	fds, err := filepath.Glob(folder + "/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if link, err := os.Readlink(fd); err == nil && strings.HasPrefix(link, "socket:[") {
			own[strings.Trim(link, "socket:[]")] = true
		}
	}
	var all []netip.AddrPort
	for _, table := range []string{"/net/tcp", "/net/tcp6"} {
		text, err := os.ReadFile(folder + table)
		if err != nil {
			continue // no IPv6
		}
		for _, line := range lines(string(text))[1:] {
			f := strings.Fields(line) // number, local, remote, state (0A: listens), ..., inode
			if f[3] == "0A" && own[f[9]] {
				all = append(all, procAddress(t, f[1]))
			}
		}
	}
	return all
}

// procAddress decodes "0100007F:1F90": words of four bytes, the lowest first.
func procAddress(t *testing.T, text string) netip.AddrPort {
	t.Helper()
	host, port, _ := strings.Cut(text, ":")
	b, err := hex.DecodeString(host)
	if err != nil {
		t.Fatal(err)
	}
	for word := range slices.Chunk(b, 4) {
		slices.Reverse(word)
	}
	address, _ := netip.AddrFromSlice(b)
	n, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		t.Fatal(err)
	}
	return netip.AddrPortFrom(address.Unmap(), uint16(n))
}

// --keep keeps the trail, the broker's data and the SIEM's records, and never mixes two
// demos.
func TestDemoKeep(t *testing.T) {
	heavy(t)
	dir := filepath.Join(t.TempDir(), "new", "demo")
	o := keytrail(t, nil, append(small, "--keep", dir)...).wants(t, 0)
	kept := filesBelow(t, dir)
	for _, name := range []string{"trail/labels.ndjson", "trail/AWSLogs/", "broker/", "siem.ndjson"} {
		if !slices.ContainsFunc(kept, func(path string) bool { return strings.HasPrefix(path, name) }) {
			t.Errorf("%s is not kept", name)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "siem.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	anomalies, windows := map[string]bool{}, 0
	for _, r := range each(t, string(text), validated) {
		if r.EventName == anomalyEvent {
			anomalies[r.str("keytrail.anomaly.id")] = true
		} else {
			windows++
		}
	}
	if want := fmt.Sprintf("found; %d anomalies in all", len(anomalies)); windows < 10 || !strings.Contains(o.stdout, want) {
		t.Errorf("the file has %d windows and %d anomalies; the verdict says otherwise:\n%s", windows, len(anomalies), tail(o.stdout, 3))
	}
	keytrail(t, nil, append(small, "--keep", dir)...).wants(t, 1, "cannot keep the demo in", dir, "name an empty folder")
	if again, err := os.ReadFile(filepath.Join(dir, "siem.ndjson")); err != nil || string(again) != string(text) || !slices.Equal(filesBelow(t, dir), kept) {
		t.Errorf("the refused demo touched what the first one kept (%v)", err)
	}
}

// filesBelow returns the paths of the files below dir, in order.
func filesBelow(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			all = append(all, strings.TrimPrefix(path, dir+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestDemoInterrupted(t *testing.T) {
	heavy(t)
	for _, when := range []string{"Embedded Kafka broker on 127.0.0.1:", "CloudTrail records in ", "anomalies so far"} {
		p := start(t, nil, nil, "demo", "--events", "20000", "--pace", "30s")
		p.saying(t, when)
		p.signal(t, syscall.SIGINT)
		o := outcome{code: p.code(t), stderr: p.stderr.String()}
		o.wants(t, 1, "keytrail: interrupted")
		p.leavesNothing(t)
	}
}

// A closed output ends the demo, which still cleans up.
func TestDemoBrokenPipe(t *testing.T) {
	heavy(t)
	stdout, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, nil, out, "demo", "--events", "4000", "--pace", "2h", "--for", "3h")
	out.Close()
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		t.Error(err)
	}
	stdout.Close()
	o := outcome{code: p.code(t), stderr: p.stderr.String()}
	o.wants(t, 0)
	p.leavesNothing(t)
}

// --for ends a demo with a longer trail, with the anomalies found so far.
func TestDemoEndsInTime(t *testing.T) {
	heavy(t)
	o := keytrail(t, nil, "demo", "--events", "4000", "--pace", "10m", "--for", "1s").wants(t, 0)
	if !strings.Contains(o.stdout, "--for 1s is over") || !verdict.MatchString(o.stdout) {
		t.Errorf("want a verdict after 1s:\n%s", tail(o.stdout, 20))
	}
}
