package plugintest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// asanVariable set to "1" has the plugins themselves built for the address sanitizer,
// which takes minutes: make plugins-asan.
const asanVariable = "KEYTRAIL_ASAN"

// TestAddressSanitizer runs the host under the sanitizers of the C compiler. With the
// plugins as they are they see the host's memory and what the plugins allocate and free
// with C's allocator; with plugins built for it they also see every access that Go makes
// to C's memory, such as to a chunk.
func TestAddressSanitizer(t *testing.T) {
	b := plugins(t)
	dir := t.TempDir()
	host := filepath.Join(dir, "host")
	sources, err := filepath.Glob("host/*.c")
	if err != nil {
		t.Fatal(err)
	}
	args := append([]string{"-std=c11", "-O1", "-g", "-rdynamic", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-o", host}, sources...)
	if out, err := exec.Command("gcc", append(args, "-ldl", "-lpthread")...).CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "SKIPPED %s: the plugins are NOT tested with the address sanitizer: gcc cannot build with it\n%s\n", t.Name(), out)
		t.Skip("no address sanitizer")
	}
	b.host = host
	if os.Getenv(asanVariable) == "1" {
		for _, so := range []*string{&b.in, &b.out} {
			name := strings.TrimSuffix(filepath.Base(*so), ".so")
			*so = filepath.Join(dir, name+".so")
			c := exec.Command("go", "build", "-asan", "-buildmode=c-shared", "-o", *so, "keytrail/plugins/"+name)
			c.Env = append(os.Environ(), "CGO_ENABLED=1")
			if out, err := c.CombinedOutput(); err != nil {
				t.Fatalf("go build -asan: %v\n%s", err, out)
			}
		}
	}
	c := broker(t)
	all := numbered(t, events(t)[0], 0, 60)
	out := append([]string{b.out, "--hostile", "--threads", "4"}, chunkFiles(t, all, 10)...)
	out = append(out, outProps(c, patientFlush)...)
	in := append([]string{b.in, "--calls", patientCalls, "--records", "12"}, fast(trail(t, shapes(t, events(t))))...)
	for _, args := range [][]string{out, in} {
		t.Setenv("ASAN_OPTIONS", "detect_leaks=1,exitcode=99")
		mustRun(t, b, args...)
		// fluent-bit-go never frees the byte of a context, which would be found.
		t.Setenv("ASAN_OPTIONS", "detect_leaks=0,exitcode=99")
		mustRun(t, b, append(args, "--reloads", "1")...)
	}
	if n, _ := delivered(t, c); len(n) != len(all) {
		t.Errorf("%d calls arrived, want %d", len(n), len(all))
	}
}
