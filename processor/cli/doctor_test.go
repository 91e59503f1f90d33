package cli_test

import (
	"encoding/json"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The doctor finds a sound installation sound, and names a sink that refuses, a topic that
// does not exist, and brokers that are away. The table of top shows what runs. With
// KEYTRAIL_KAFKA=real the broker is a real one.
func TestRunDoctorAndTop(t *testing.T) {
	heavy(t)
	b := startBroker(t)
	config := b.config(t)
	doctor := func(more ...string) outcome {
		return keytrail(t, nil, append([]string{"doctor", "-c", config}, more...)...)
	}
	found := func(o outcome, severity, check, text string) {
		t.Helper()
		o.found(t, severity, check, text)
	}
	o := doctor().wants(t, 0)
	found(o, "warning", "topics", `topic "kms.status" does not exist`)

	p := run(t, config, "")
	p.ready(t)
	b.produce(t, [][]byte{[]byte(event("call-1", "key-a", time.Now().Add(-time.Minute)))})
	var last outcome
	until(t, "all stages show", func() bool {
		last = keytrail(t, nil, "top", "-c", config, "--once")
		return strings.Contains(last.stdout, "normalize:") && strings.Contains(last.stdout, "detect:")
	})
	says(t, last, "STAGE", "state: ok", "normalize  ok", "PROCESS")
	o = doctor().wants(t, 0)
	for check, text := range map[string]string{"brokers": "has a version like", "topics": `"kms.state" has`,
		"access": "are allowed", "transactions": "can begin", "clock": "agrees", "memory": "", "processes": "version 0.1.0, reports",
		"files": ""} {
		// The limits are this machine's, and the embedded broker writes no times.
		if text != "" && (check != "clock" || os.Getenv("KEYTRAIL_KAFKA") == "real") {
			found(o, "ok", check, text)
		} else if !strings.Contains(o.stdout, `"check":"`+check+`"`) {
			t.Errorf("nothing about %s", check)
		}
	}
	says(t, doctor("-o", "table"), "SEVERITY", "transactions can begin")
	p.stop(t, syscall.SIGTERM)
	if o = keytrail(t, nil, "top", "-c", config); strings.Contains(o.stdout, "normalize:") {
		t.Errorf("an ended process shows:\n%s", o.stdout)
	}

	away := &broker{address: "127.0.0.1:1"}
	config = away.config(t, otlpSink("http://127.0.0.1:1"))
	o = doctor("--sinks").wants(t, 1, "the installation cannot work as it is")
	if !strings.Contains(o.stdout, `"severity":"error","detail":"cannot list topics`) {
		t.Errorf("brokers that are away give\n%s", o.stdout)
	}
	found(o, "error", "sinks", "did not take the test record")
	found(doctor().wants(t, 1), "skipped", "sinks", "sink siem is not tried")
}

// found fails the test unless the output has a finding of that severity about check that
// says text, and says what to do.
func (o outcome) found(t *testing.T, severity, check, text string) {
	t.Helper()
	for _, line := range lines(o.stdout) {
		var f struct{ Check, Severity, Detail, Advice string }
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if f.Severity == severity && f.Check == check && strings.Contains(f.Detail, text) {
			if severity != "ok" && f.Advice == "" {
				t.Errorf("no advice: %s", line)
			}
			return
		}
	}
	t.Errorf("no %s about %s with %q in\n%s", severity, check, text, o.stdout)
}
