package cli_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"keytrail/processor/telemetry"
	"keytrail/schemas/printable"
)

// dangers are texts that control a terminal, break a line, or deceive a reader.
var dangers = []string{"\x1b[2J\x1b[31m", "\a", "\x7f", "\u0085", "\u009b31m", "\u202eevil\u202c", "\u2066", "\u2028", "\u2029", "\u200b", "\ufeff", "\u00ad", "\U000e0041", "\r", "\b\b"}

// nothingRaw checks a command's output.
func nothingRaw(t *testing.T, command string, o outcome) {
	t.Helper()
	for stream, text := range map[string]string{"standard output": o.stdout, "standard error": o.stderr} {
		for i, r := range text {
			if r == utf8.RuneError && !strings.HasPrefix(text[i:], "\ufffd") {
				t.Errorf("%s: %s has a byte %#x that is not UTF-8: %q", command, stream, text[i], text[max(0, i-40):min(len(text), i+40)])
				break
			}
			if r != '\n' && r != '\t' && printable.Unsafe(r) {
				t.Errorf("%s: %s has %q: %q", command, stream, r, text[max(0, i-40):min(len(text), i+40)])
				break
			}
		}
	}
}

// hostileTrail returns a trail with a dangerous part in each of its texts, and the texts.
func hostileTrail(t *testing.T, rng *rand.Rand, path string) {
	t.Helper()
	danger := func() string { return dangers[rng.IntN(len(dangers))] }
	var text bytes.Buffer
	for i := range 30 {
		event := map[string]any{
			"eventVersion": "1.11" + danger(), "eventTime": fmt.Sprintf("2026-03-02T09:%02d:00Z", i), "eventSource": "kms.amazonaws.com",
			"eventName": []string{"Decrypt", "ScheduleKeyDeletion", "PutKeyPolicy", "Odd" + danger()}[rng.IntN(4)], "awsRegion": "eu-central-1" + danger(), "eventID": fmt.Sprint(i, danger()),
			"userIdentity":      map[string]any{"type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/" + danger() + "m", "accountId": "111122223333", "userName": danger()},
			"sourceIPAddress":   danger(),
			"userAgent":         danger() + "agent",
			"requestParameters": map[string]any{"keyId": "arn:aws:kms:eu-central-1:111122223333:key/" + danger() + "k", "encryptionContext": map[string]string{danger(): danger()}, "pendingWindowInDays": danger()},
			"errorMessage":      danger(),
		}
		if i%5 == 0 {
			event["eventTime"] = danger() // a dead letter
		}
		b, err := json.Marshal(event)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(b)
		text.WriteByte('\n')
	}
	text.WriteString(`{"eventVersion":"` + "\x1b[2J" + `broken` + "\n" + `{"eventVersion":"1","` + "\xff\u202e" + `":1}` + "\n")
	if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// No command prints dangerous text of trails, file names, rules, configurations or
// arguments raw, on any stream.
func TestNothingRawIsPrinted(t *testing.T) {
	for seed := range uint64(2) {
		rng := rand.New(rand.NewPCG(seed, 1))
		danger := func() string { return dangers[rng.IntN(len(dangers))] }
		dir := filepath.Join(t.TempDir(), "dir"+danger())
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		trail := filepath.Join(dir, "trail\x1b[2J\u202e.json")
		hostileTrail(t, rng, trail)
		write := func(name, text string) string {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}
		rules := filepath.Join(dir, "rules"+danger())
		if err := os.Mkdir(rules, 0o700); err != nil {
			t.Fatal(err)
		}
		write(filepath.Base(rules)+"/a.yml", "title: \"odd\\u202e\\e[31m\"\nid: 8b3e3a0e-1111-4222-8333-444455556666\nlevel: high\nlogsource: {product: aws, service: cloudtrail}\ndetection:\n  s: {eventName: Decrypt}\n  condition: s\n")
		write(filepath.Base(rules)+"/b\x1b.yml", "title: \"bad\\e\"\ndetection: {s: {eventName|odd\x9b: x}, condition: \"s\\u202e\"}\n")
		bad := write("bad"+danger()+".yaml", "kafka: {brokers: [\"a\\e[31mb\"], \"unk\\u202enown\": 1, prefix: \"\\u009b\"}\nsinks: [{name: \"x\\u2028\", type: otlp, endpoint: \"htt\\u202ep://\\e\"}]\n")
		good := write("good"+danger()+".yaml", "kafka: {client_id: \"k\\u202e\"}\nself_principals: [\"arn\\e[31m\", \"\\u009b\"]\n")
		run := func(args ...string) outcome {
			o := keytrail(t, nil, args...)
			nothingRaw(t, strings.Join(args[:min(3, len(args))], " "), o)
			return o
		}
		scanned := run("scan", "-o", "json", "--windows", "all", "--rules", rules, trail)
		scanned = run("scan", "-o", "json", "--windows", "all", "--dead-letter", filepath.Join(dir, "dead"+danger()), trail)
		run("scan", "-o", "table", "--windows", "all", trail)
		run("normalize", trail)
		run("usage", "--key", "arn:aws:kms:eu-central-1:111122223333:key/"+danger()+"k", "-o", "table", trail)
		run("usage", "--key", danger(), trail)
		run("config", "check", "-c", bad)
		run("config", "print", "-c", good)
		run("config", "print", "-c", danger())
		run("rules", "check", rules)
		run("scan", filepath.Join(dir, "no"+danger()))
		run("scan", "--window", danger(), trail)
		run("scan", "--"+danger(), trail)
		run("scan", "-o", danger())
		run(danger())
		run("explain", danger(), "--from", trail)
		lines := write("lines"+danger(), scanned.stdout+"{\"odd\x1b\":\n\xff\n")
		for line := range strings.Lines(scanned.stdout) {
			if !json.Valid([]byte(line)) {
				t.Errorf("not JSON: %q", line)
			}
			if _, id, found := strings.Cut(line, `"keytrail.anomaly.id","value":{"stringValue":"`); found {
				run("explain", id[:32], "--from", lines)
			}
		}
		letters, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range letters {
			if !strings.HasPrefix(f.Name(), "dead") {
				continue
			}
			text, err := os.ReadFile(filepath.Join(dir, f.Name()))
			if err != nil {
				t.Fatal(err)
			}
			nothingRaw(t, "the dead-letter file", outcome{stdout: string(text)})
			for sc := bufio.NewScanner(bytes.NewReader(text)); sc.Scan(); {
				if !json.Valid(sc.Bytes()) {
					t.Errorf("not JSON: %q", sc.Text())
				}
			}
		}
	}
}

// JSON output has the same meaning: escaped text reads back.
func TestEscapedJSONSaysTheSame(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.json")
	agent := "a\u009b\u202e\u2028\U000e0041\u200bz é鍵"
	b, err := json.Marshal(map[string]any{"eventVersion": "1.11", "eventTime": "2026-03-02T09:00:00Z", "eventSource": "kms.amazonaws.com", "eventName": "Decrypt", "eventID": "x", "userAgent": agent})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	out := keytrail(t, nil, "normalize", path).wants(t, 0).stdout
	var line any
	if err := json.Unmarshal([]byte(out), &line); err != nil {
		t.Fatal(err)
	}
	found := false
	var look func(v any)
	look = func(v any) {
		switch x := v.(type) {
		case string:
			found = found || x == agent
		case []any:
			for _, one := range x {
				look(one)
			}
		case map[string]any:
			for _, one := range x {
				look(one)
			}
		}
	}
	if look(line); !found {
		t.Errorf("the user agent is not in %s", out)
	}
}

// A secret of the environment is on no stream, wherever the configuration has it.
func TestSecretsAreOnNoStream(t *testing.T) {
	const secret = "s3cr3t/with+odd&parts"
	t.Setenv("KEYTRAIL_TEST_SECRET", secret)
	path := filepath.Join(t.TempDir(), "keytrail.yaml")
	for _, text := range []string{
		"sinks: [{name: siem, type: otlp, endpoint: \"https://intake.example/${KEYTRAIL_TEST_SECRET}\"}]",
		"kafka: {brokers: [\"127.0.0.1:1\"], client_id: \"${KEYTRAIL_TEST_SECRET}\"}",
		"kafka: {brokers: [\"${KEYTRAIL_TEST_SECRET}:1\"]}",
		"sinks: [{name: siem, type: otlp, endpoint: \"${KEYTRAIL_TEST_SECRET}\"}]",
		"rules: {sigma: [\"/nowhere/${KEYTRAIL_TEST_SECRET}\"]}",
		"kafka: {tls: {enabled: true, ca_file: \"/nowhere/${KEYTRAIL_TEST_SECRET}\"}}",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"config", "print", "-c", path}, {"config", "check", "-c", path}, {"explain", "0123456789ab", "-c", path, "--timeout", "1s"}} {
			o := keytrail(t, nil, args...)
			if all := o.stdout + o.stderr; strings.Contains(all, "s3cr3t") || strings.Contains(all, "odd&parts") {
				t.Errorf("%v with %s shows the secret:\n%s", args, text, all)
			}
		}
	}
}

// TestSecretsAreInNoMetric: receivers repeat requests that have secrets in their URL, headers
// and bodies, and neither metrics, readiness nor logs show one.
func TestSecretsAreInNoMetric(t *testing.T) {
	heavy(t)
	const secret = "hunter2Zq7hunter2Zq7hunter2Zq7ab"
	var requests atomic.Int32
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		requests.Add(1)
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, "no: %s %v %s", r.URL, r.Header, body)
	}))
	defer echo.Close()
	b := startBroker(t)
	sinks := strings.ReplaceAll(`
  - {name: a, type: otlp, endpoint: "@", headers: {X-Token: "${KEYTRAIL_TEST_SECRET}"}, compression: none, from: earliest}
  - {name: b, type: webhook, url: "@/hook/${KEYTRAIL_TEST_SECRET}", from: earliest}
  - {name: c, type: splunk_hec, ack: off, endpoint: "@", token: "${KEYTRAIL_TEST_SECRET}", from: earliest}
  - {name: d, type: opensearch, endpoint: "@", username: me, password: "${KEYTRAIL_TEST_SECRET}", from: earliest}
  - {name: e, type: pagerduty, endpoint: "@", routing_key: "${KEYTRAIL_TEST_SECRET}", from: earliest}
`, "@", echo.URL)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listen := free.Addr().String()
	_ = free.Close()
	config := b.config(t, strings.TrimPrefix(sinks, "\n"), "telemetry: {listen: "+strconv.Quote(listen)+"}\n")
	p := startWith(t, []string{"KEYTRAIL_TEST_SECRET=" + secret}, nil, nil, "run", "-c", config)
	p.ready(t)
	b.produce(t, [][]byte{[]byte(strings.ReplaceAll(event("call-1", "key", time.Now()), "Decrypt", "ScheduleKeyDeletion"))})
	all := func() string {
		text := p.stderr.String()
		for _, path := range []string{telemetry.Path, telemetry.ReadyPath} {
			answer, err := http.Get("http://" + listen + path)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(answer.Body)
			_ = answer.Body.Close()
			text += string(body)
		}
		return text
	}
	until(t, "every sink is paused", func() bool {
		text := all() + "\n"
		for _, name := range []string{"sink=a", "sink=b", "sink=c", "sink=d", "sink=e"} {
			if !regexp.MustCompile("the sink is paused.* " + name + " ").MatchString(text) {
				return false
			}
		}
		return requests.Load() >= 5
	})
	if text := all(); strings.Contains(text, "hunter2") {
		t.Errorf("a secret is shown:\n%s", text)
	}
	p.stop(t, syscall.SIGTERM)
}
