package all

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"

	"keytrail/processor/internal/receiver"
	"keytrail/processor/setting"
	"keytrail/processor/sink"
	"keytrail/processor/sink/otlphttp"
	"keytrail/processor/sink/search"
	"keytrail/processor/sink/sinktest"
	"keytrail/processor/sink/splunkhec"
	"keytrail/processor/sink/syslog"
	"keytrail/processor/sink/webhook"
)

// TestAllVictoriaLogs sends to a real VictoriaLogs over every protocol that both speak, and
// reads the records back. VictoriaLogs has no acknowledgements of HEC, ignores ids of
// documents and refuses little, so it tells what arrives and not what is refused.
func TestAllVictoriaLogs(t *testing.T) {
	binary := receiver.Find(t, "receiver", "victoria-logs")
	address, lines := receiver.Address(t), receiver.Address(t)
	receiver.Start(t, address, binary, "-storageDataPath="+t.TempDir(), "-httpListenAddr="+address,
		"-syslog.listenAddr.tcp="+lines, "-retentionPeriod=100y")
	base := "http://" + address + "/insert"
	otlp, hec := otlphttp.DefaultConfig(), splunkhec.DefaultConfig()
	bulk, log, hook := search.DefaultElasticsearch(), syslog.DefaultConfig(), webhook.DefaultConfig()
	otlp.Endpoint = base + "/opentelemetry"
	hec.Endpoint, hec.Token, hec.Ack = base+"/splunk", setting.NewSecret("x"), splunkhec.AckOff
	bulk.Endpoint = base + "/elasticsearch"
	log.Endpoint = "tcp://" + lines
	hook.URL = setting.NewSecret(base + "/jsonline?_time_field=@timestamp&_msg_field=event_name")
	hook.Framing = webhook.FramingNDJSON
	for name, c := range map[string]sink.Config{"otlp": &otlp, "hec": &hec, "bulk": &bulk, "syslog": &log, "webhook": &hook} {
		t.Run(name, func(t *testing.T) {
			to, err := c.Open(sink.Identity{Name: name, Group: name})
			if err != nil {
				t.Fatal(err)
			}
			defer to.Close()
			var want []string
			for i := range 500 {
				want = append(want, fmt.Sprintf("%s-%03d", name, i))
			}
			r, err := sink.NewRunner(sink.Options{Name: name, Sink: to, Batch: sink.DefaultBatch(), Retry: sink.DefaultRetry(),
				DeadLetter: func(_ context.Context, rec sink.Record, _ sink.Reason, err error) error {
					return fmt.Errorf("dead letter of %v: %w", rec.Ref, err)
				}})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := r.Deliver(ctx, sinktest.Batch(want...)); err != nil {
				t.Fatal(err)
			}
			var missing []string
			for range 60 { // what was taken can be searched a second or two later
				if missing = missingIn(t, address, want); len(missing) == 0 {
					return
				}
				time.Sleep(500 * time.Millisecond)
			}
			t.Errorf("%d of %d records are missing, the first %s", len(missing), len(want), missing[0])
		})
	}
}

// missingIn returns the ids that no record in VictoriaLogs has.
func missingIn(t *testing.T, address string, ids []string) (missing []string) {
	t.Helper()
	answer, err := http.PostForm("http://"+address+"/select/logsql/query", url.Values{"query": {"*"}})
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		if !json.Valid(line) {
			t.Fatalf("the answer has the line %s", line)
		}
	}
	for _, id := range ids {
		if !bytes.Contains(text, []byte(`"`+id+`"`)) && !bytes.Contains(text, []byte(`\"`+id+`\"`)) {
			missing = append(missing, id)
		}
	}
	return missing
}
