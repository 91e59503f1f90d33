package plugintest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// built is what the tests run: paths of the host and of the plugins.
type built struct{ host, in, out string }

var (
	buildDir  string // removed by TestMain
	buildOnce = sync.OnceValues(build)
)

func TestMain(m *testing.M) {
	code := m.Run()
	if buildDir != "" {
		if err := os.RemoveAll(buildDir); err != nil {
			fmt.Fprintln(os.Stderr, "plugintest:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// errNoCompiler is why nothing can be built on this machine.
var errNoCompiler = errors.New("there is no C compiler (gcc or cc) in PATH")

// builtDir names the variable that tells processes of one test, such as the workers of
// fuzzing, where the first has built everything.
const builtDir = "KEYTRAIL_PLUGINTEST_BUILT"

func paths(dir string) built {
	return built{filepath.Join(dir, "host"), filepath.Join(dir, "in_kms.so"), filepath.Join(dir, "out_kms.so")}
}

// build makes the plugins and the host in a temporary folder.
func build() (b built, err error) {
	if dir := os.Getenv(builtDir); dir != "" {
		return paths(dir), nil
	}
	cc, err := exec.LookPath("gcc")
	if err != nil {
		if cc, err = exec.LookPath("cc"); err != nil {
			return b, errNoCompiler
		}
	}
	if buildDir, err = os.MkdirTemp("", "keytrail-plugintest-"); err != nil {
		return b, err
	}
	b = paths(buildDir)
	sources, err := filepath.Glob("host/*.c")
	if err != nil || len(sources) == 0 {
		return b, fmt.Errorf("cannot find the host's sources: %w", err)
	}
	args := append([]string{"-std=c11", "-Wall", "-Wextra", "-Werror", "-O1", "-g", "-rdynamic", "-o", b.host}, sources...)
	for _, c := range []*exec.Cmd{
		exec.Command(cc, append(args, "-ldl", "-lpthread")...),
		exec.Command("go", "build", "-trimpath", "-buildmode=c-shared", "-o", b.in, "keytrail/plugins/in_kms"),
		exec.Command("go", "build", "-trimpath", "-buildmode=c-shared", "-o", b.out, "keytrail/plugins/out_kms"),
	} {
		c.Env = append(os.Environ(), "CGO_ENABLED=1")
		if out, err := c.CombinedOutput(); err != nil {
			return b, fmt.Errorf("cannot build: %v: %w\n%s", c, err, out)
		}
	}
	return b, os.Setenv(builtDir, buildDir)
}

// plugins returns what was built, or skips the test, loudly.
func plugins(t *testing.T) built {
	t.Helper()
	skip := func(why string) {
		fmt.Fprintf(os.Stderr, "SKIPPED %s: the built plugins are NOT tested: %s\n", t.Name(), why)
		t.Skip(why)
	}
	if testing.Short() {
		skip("-short leaves them out")
	}
	b, err := buildOnce()
	if errors.Is(err, errNoCompiler) {
		skip(err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// result is how a host process ended.
type result struct {
	status      int
	out, stderr string
}

// The plugins' own limits, where a machine that is busy with other things must
// not make a difference.
const (
	patientCalls = "12000"             // for --calls: two minutes
	patientFlush = "flush_timeout=30s" // the longest that out_kms allows
)

// run runs the host until it ends and fails the test when that takes too long.
func run(t *testing.T, b built, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, b.host, args...)
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	r := result{c.ProcessState.ExitCode(), stdout.String(), stderr.String()}
	if ctx.Err() != nil {
		t.Fatalf("the host did not end:\n%s\n%s", r.out, r.stderr)
	}
	return r
}

// mustRun runs the host and fails the test unless it ends well.
func mustRun(t *testing.T, b built, args ...string) result {
	t.Helper()
	r := run(t, b, args...)
	if r.status != 0 || !strings.HasSuffix(r.out, "\nend\n") {
		t.Fatalf("the host ended with status %d\n%s\n%s", r.status, r.out, r.stderr)
	}
	return r
}

// props turns "key=value" into the host's flags.
func props(p ...string) []string {
	var args []string
	for _, kv := range p {
		args = append(args, "--prop", kv)
	}
	return args
}
