// Package awstest starts moto, a stand-in for AWS's S3, SQS, SNS and STS, for tests, and
// a proxy that fails. Nothing here is safe for concurrent use.
package awstest

import (
	"bufio"
	"fmt"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"net/http"

	"keytrail/processor/internal/module"
)

// Variable is the environment variable that selects moto with the value "real": make
// integration sets it.
const Variable = "KEYTRAIL_AWS"

// Region is the region of the tests' resources.
const Region = "eu-central-1"

// Start starts moto for the duration of a test, and returns its URL. It sets credentials
// in the environment. Without make integration it skips the test, loudly.
func Start(t testing.TB) string {
	t.Helper()
	switch v := os.Getenv(Variable); v {
	case "real":
	case "":
		fmt.Fprintf(os.Stderr, "SKIPPED %s: it needs a server and is NOT run: make integration runs it\n", t.Name())
		t.Skip("make integration runs it")
	default:
		t.Fatalf("%s is %q; set it to real or leave it unset", Variable, v)
	}
	for name, value := range Environment {
		set := func() error { return os.Setenv(name, value) }
		if value == "" {
			set = func() error { return os.Unsetenv(name) }
		}
		if err := set(); err != nil {
			t.Fatal(err)
		}
	}
	root, err := module.Root()
	if err != nil {
		t.Fatal(err)
	}
	server := exec.Command(filepath.Join(root, "scripts", "moto"))
	server.Stderr = os.Stderr
	// Its own process group, so that all of it can be killed.
	server.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	out, err := server.StdoutPipe()
	if err == nil {
		err = server.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-server.Process.Pid, syscall.SIGKILL)
		server.Wait() // its error is that it was killed
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("scripts/moto did not start: %v", err)
	}
	return strings.TrimSpace(line)
}

// Environment returns the variables of moto and its clients: credentials that moto does
// not check, and none of the machine's. Unset those without a value.
var Environment = map[string]string{
	"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "not-a-secret", "AWS_SESSION_TOKEN": "",
	"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_PROFILE": "",
}

// Faulty is a proxy in front of a server. It fails the requests that Fails selects by
// their number from 1: it drops one third before they reach the server, answers one third
// with 503 afterwards, and cuts the answers of one third in half.
type Faulty struct {
	URL    string
	Fails  func(n int64, r *http.Request) bool
	Broken atomic.Int64 // failed requests

	n atomic.Int64
}

// StartFaulty starts a proxy in front of target for the duration of a test.
func StartFaulty(t testing.TB, target string, fails func(n int64, r *http.Request) bool) *Faulty {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	f := &Faulty{Fails: fails}
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(u); r.Out.Host = r.In.Host },
		Transport: &http.Transport{MaxIdleConnsPerHost: 64},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := f.n.Add(1)
		if !f.Fails(n, r) {
			proxy.ServeHTTP(w, r)
			return
		}
		switch f.Broken.Add(1) % 3 {
		case 0:
			panic(http.ErrAbortHandler)
		case 1:
			answer := httptest.NewRecorder()
			proxy.ServeHTTP(answer, r)
			http.Error(w, "<Error><Code>ServiceUnavailable</Code></Error>", http.StatusServiceUnavailable)
		default:
			cut(proxy, w, r)
		}
	}))
	t.Cleanup(server.Close)
	f.URL = server.URL
	return f
}

// cut forwards the first half of an answer and then closes the connection.
func cut(proxy http.Handler, w http.ResponseWriter, r *http.Request) {
	answer := httptest.NewRecorder()
	proxy.ServeHTTP(answer, r)
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	body := answer.Body.Bytes()
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(answer.Code)
	w.Write(body[:len(body)/2]) // its arrival does not matter
	if flusher, ok := w.(http.Flusher); ok {
		flusher.Flush()
	}
	panic(http.ErrAbortHandler)
}
