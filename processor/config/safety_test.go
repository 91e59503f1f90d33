package config

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"keytrail/processor/kafka"
	"keytrail/processor/sink"
	"keytrail/processor/sink/all"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// minimal is the least configuration of each type: "@" stands for the receiver's address with
// its scheme, and every secret has "hunter2".
var minimal = map[all.Type]string{
	all.OTLP:          `endpoint: "@", headers: {X-Token: "hunter2-Zq7"}`,
	all.SplunkHEC:     `endpoint: "@", ack: off, token: "hunter2-Zq7"`,
	all.Syslog:        `endpoint: "@"`,
	all.File:          `path: out.ndjson`,
	all.OpenSearch:    `endpoint: "@", username: me, password: "hunter2-Zq7"`,
	all.Elasticsearch: `endpoint: "@", api_key: "hunter2-Zq7"`,
	all.Webhook:       `url: "@/hook/hunter2-Zq7-and-more?sig=hunter2-Zq7-and-more", signing_secret: "whsec_hunter2Zq7hunter2Zq7hunter2Zq7ab"`,
	all.Slack:         `url: "@/services/hunter2-Zq7-and-more"`,
	all.Teams:         `url: "@/flow?sig=hunter2-Zq7-and-more"`,
	all.PagerDuty:     `endpoint: "@", routing_key: "hunter2Zq7hunter2Zq7hunter2Zq7ab"`,
	all.Alertmanager:  `endpoint: "@", headers: {Authorization: "Bearer hunter2-Zq7"}`,
	all.S3:            `endpoint: "@", region: eu-central-1, bucket: trail`,
	all.SNS:           `endpoint: "@", topic_arn: "arn:aws:sns:eu-central-1:111122223333:alerts"`,
	all.Kafka:         `brokers: ["@"], sasl: {mechanism: PLAIN, username: me, password: "hunter2-Zq7"}`,
	all.SQS:           `endpoint: "@", region: eu-central-1, queue_url: "@/111122223333/queue"`,
}

// shows matches a piece of a secret of minimal.
var shows = regexp.MustCompile(`hunter2`)

// leastOf returns the configuration of a type with a receiver.
func leastOf(t *testing.T, kind all.Type, scheme, host, more string) (*Config, error) {
	t.Helper()
	text, ok := minimal[kind]
	if !ok {
		t.Fatalf("the type %s has no configuration here: add it to minimal", kind)
	}
	to := scheme + "://" + host
	switch {
	case kind == all.Syslog:
		to = map[string]string{"http": "tcp", "https": "tls"}[scheme] + "://" + host
	case kind == all.Kafka:
		to = host
		if scheme == "https" {
			more += ", tls: {enabled: true}"
		}
	}
	text = strings.ReplaceAll(text, "@", to)
	return parse("keytrail.yaml", []byte(fmt.Sprintf("sinks: [{name: siem, type: %s, %s%s}]", kind, text, more)), lookup)
}

// speaksHTTP reports whether the requests of a type are of HTTP.
func speaksHTTP(k all.Kind) bool {
	return k.Type != all.File && k.Type != all.Syslog && k.Type != all.Kafka
}

// TestPlainNeedsConsent: no type of sinks sends without TLS to another machine unless the
// user has said so, and its TLS is that of sink.TLS, with certificates verified.
func TestPlainNeedsConsent(t *testing.T) {
	for _, k := range all.Kinds {
		if !strings.Contains(minimal[k.Type], "@") && minimal[k.Type] != "" {
			continue // it has no network
		}
		if _, err := leastOf(t, k.Type, "http", "siem.example:8088", ""); err == nil || !strings.Contains(err.Error(), "insecure: true") {
			t.Errorf("%s: without TLS and consent: %v", k.Type, err)
		}
		for _, c := range [][3]string{{"http", "siem.example:8088", ", insecure: true"}, {"https", "siem.example:8088", ""}, {"http", "127.0.0.1:8088", ""}} {
			if _, err := leastOf(t, k.Type, c[0], c[1], c[2]); err != nil {
				t.Errorf("%s with %v: %v", k.Type, c, err)
			}
		}
		field := reflect.ValueOf(k.Default()).Elem().FieldByName("TLS")
		want := reflect.TypeOf(sink.TLS{})
		if k.Type == all.Kafka {
			want = reflect.TypeOf(kafka.TLS{}) // of TLS 1.2 or newer, too
		}
		if !field.IsValid() || field.Type() != want {
			t.Errorf("%s has no field TLS of type %v", k.Type, want)
		}
	}
	secured, err := sink.TLS{}.Config()
	if err != nil || secured.InsecureSkipVerify || secured.MinVersion < 0x0303 {
		t.Errorf("the settings of TLS are %+v (%v)", secured, err)
	}
}

// TestNoSecretIsShown: no type of sinks shows a secret in its printed configuration or, of a
// receiver that repeats the request, in an error.
func TestNoSecretIsShown(t *testing.T) {
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "hunter2-aws", "AWS_REGION": "eu-central-1"} {
		t.Setenv(name, value)
	}
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, "no: %s %v %s", r.URL, r.Header, body)
	}))
	defer echo.Close()
	for _, k := range all.Kinds {
		_, err := leastOf(t, k.Type, "http", echo.Listener.Addr().String(), ", retry: {base: 1ns}")
		if err == nil || shows.MatchString(err.Error()) {
			t.Errorf("%s: an error of the configuration is %v", k.Type, err)
		}
		c, err := leastOf(t, k.Type, "http", echo.Listener.Addr().String(), "")
		if err != nil {
			t.Fatal(err)
		}
		if text := printed(t, c); shows.MatchString(text) {
			t.Errorf("%s: config print shows a secret:\n%s", k.Type, text)
		}
		if text := fmt.Sprintf("%v %+v %#v", c.Sinks[0].To, c.Sinks[0].To, c.Sinks[0]); shows.MatchString(text) {
			t.Errorf("%s: the settings show a secret: %s", k.Type, text)
		}
		if !speaksHTTP(k) {
			continue // its receiver says nothing, or nothing of a request
		}
		err = deliver(t, c, "plain")
		if err == nil || shows.MatchString(c.Secrets().Clean(err.Error())) {
			t.Errorf("%s: the error of a receiver that repeats the request is %v", k.Type, err)
		}
	}
}

// deliver opens the sink of a configuration and delivers an anomaly whose texts are all text.
func deliver(t *testing.T, c *Config, text string) error {
	t.Helper()
	s, err := c.Sinks[0].To.Open(sink.Identity{Name: "siem", Group: "keytrail-forward-siem"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	rec := &otellog.Record{EventName: semconv.EventKeytrailAnomaly, Time: 1795000000000000000, Severity: otellog.SeverityWarn, Body: text}
	rec.Where(semconv.CloudAccountID, text)
	rec.Where(semconv.CloudRegion, text)
	for _, name := range []string{semconv.LogRecordUID, semconv.KeytrailAnomalyID, semconv.KeytrailWindowID, semconv.AWSKMSKeyARN,
		semconv.KeytrailPrincipalID, semconv.KeytrailAnomalyKind, semconv.KeytrailAnomalyDetector, semconv.KeytrailAnomalyReason,
		semconv.KeytrailAnomalySeverity, semconv.KeytrailAnomalyBegan, semconv.KeytrailWindowStart, semconv.KeytrailWindowScope} {
		rec.String(name, text)
	}
	rec.Int(semconv.KeytrailAnomalyRevision, 1)
	return s.Deliver(t.Context(), []sink.Record{{Value: otellog.AppendRequest(nil, rec), EventName: rec.EventName,
		Topic: "kms.anomalies", Key: []byte(text)}})
}

// TestDataChoosesNothing: texts of a record change neither the path nor the names of headers,
// nor the index, of what a sink sends, and no text makes a request impossible.
func TestDataChoosesNothing(t *testing.T) {
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "eu-central-1"} {
		t.Setenv(name, value)
	}
	const hostile = "x/../../evil?evil=1&a=%2e%2e#evil\r\nX-Evil: evil\x00\"é{{.}}"
	var mu sync.Mutex
	var seen []string
	index := regexp.MustCompile(`"_index":"[^"]*"`)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var names []string
		for name := range r.Header {
			names = append(names, name)
		}
		slices.Sort(names)
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, fmt.Sprint(r.Method, " ", r.RequestURI, " ", r.Host, " ", names, " ", index.FindAllString(string(body), -1), err))
		if r.Method == http.MethodGet { // the health of Splunk
			fmt.Fprint(w, `{"text":"HEC is healthy","code":17}`)
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer server.Close()
	for _, k := range all.Kinds {
		if !speaksHTTP(k) {
			continue // path, address and topics are settings; the fields of syslog have their own tests
		}
		more := ""
		if field := reflect.ValueOf(k.Default()).Elem().FieldByName("Compression"); field.IsValid() {
			more = ", compression: none"
		}
		c, err := leastOf(t, k.Type, "http", server.Listener.Addr().String(), more)
		if err != nil {
			t.Fatal(err)
		}
		var sent [2]string
		for i, text := range []string{"plain", hostile} {
			seen = nil
			if err := deliver(t, c, text); err == nil {
				t.Errorf("%s: the receiver took a record", k.Type)
			}
			sent[i] = strings.Join(seen, "\n")
		}
		if sent[0] != sent[1] || sent[0] == "" || strings.Contains(sent[1], "evil") {
			t.Errorf("%s sends\n%s\nand with a hostile record\n%s", k.Type, sent[0], sent[1])
		}
	}
}
