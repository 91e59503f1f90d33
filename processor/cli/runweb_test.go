package cli_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// "keytrail web" serves what the topics have, from its own process; killed and started again
// it shows the same. A second process cannot use the same history. Where stage web cannot
// run, the stages beside it do.
func TestRunWeb(t *testing.T) {
	heavy(t)
	b, tr := startBroker(t), newTrail(t, 71, 1500)
	dir := t.TempDir()
	settings := func(path string) string {
		return b.config(t, fileSink, fmt.Sprintf("web: {listen: \"127.0.0.1:0\", path: %q, retention: 87600h}\n", path))
	}
	history := filepath.Join(dir, "web", "history.db")
	config := settings(history)
	refused := func(config, text string) {
		t.Helper()
		p := startWith(t, []string{"ARCHIVE=unused"}, nil, nil, "web", "-c", config)
		if code := p.code(t); code != 1 || !strings.Contains(p.stderr.String(), text) {
			t.Errorf("it ended with %d, want 1 and %q:\n%s", code, text, p.stderr.String())
		}
	}
	blocked := filepath.Join(dir, "file")
	write(t, blocked, "")

	all := run(t, settings(filepath.Join(blocked, "history.db")), inTemp(t, "archive.ndjson"), "--stages", "normalize,count,detect,forward,web")
	all.ready(t)
	if log := all.stderr.String(); !strings.Contains(log, "stage web does not run; the others do") {
		t.Errorf("a history that cannot be opened says:\n%s", log)
	}
	refused(settings(filepath.Join(blocked, "history.db")), "cannot make the folder of web.path")
	b.produce(t, tr.records)
	b.produce(t, tr.closer)
	b.equals(t, tr.want)

	serve := func() (p *process, url string) {
		p = startWith(t, []string{"ARCHIVE=unused"}, nil, nil, "web", "-c", config)
		until(t, "the page is served", func() bool {
			_, rest, _ := strings.Cut(p.stderr.String(), "msg=\"the page is served\" url=")
			url, _, _ = strings.Cut(rest, " ")
			return url != ""
		})
		return p, url
	}
	shown := func(url string) int {
		var answer struct{ Found struct{ Total int } }
		page(t, url+"api/v1/events?limit=1", &answer)
		return answer.Found.Total
	}
	p, url := serve()
	events := len(b.committed(t, "kms.events").records) // copies too: stage count tells them apart
	until(t, "the page has every event", func() bool { return shown(url) == events })
	if info, err := os.Stat(history); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the history: %v, %v", info, err)
	}
	if answer, err := http.Get(url); err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("the page answers %v, %v", answer, err)
	} else {
		answer.Body.Close()
	}
	refused(config, "another process serves this page's history")
	p.signal(t, syscall.SIGKILL)
	p.code(t)
	p, url = serve()
	until(t, "the page has every event once after a kill", func() bool { return shown(url) >= events })
	if n := shown(url); n != events {
		t.Errorf("after a kill the page has %d events, want %d", n, events)
	}
	p.stop(t, syscall.SIGTERM)
	all.stop(t, syscall.SIGTERM)
}
