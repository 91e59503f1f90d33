package plugintest

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"
	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/kafka"
)

// TestFluentBit runs the examples in a real Fluent Bit, with a real Kafka behind it.
func TestFluentBit(t *testing.T) {
	program := fluentBit(t)
	t.Logf("Fluent Bit is %s", program)
	t.Run("yaml", func(t *testing.T) { pipeline(t, "fluent-bit.yaml") })
	t.Run("classic", func(t *testing.T) { pipeline(t, "fluent-bit.conf") })
	t.Run("tail and reload", tailAndReload)
	t.Run("input alone", inputAlone)
	t.Run("both reload", bothReload)
	t.Run("other inputs", otherInputs)
	t.Run("kill", killInTheMiddle)
	t.Run("refusals", refusesAtStart)
	t.Run("pause", pausedAndKilled)
	t.Run("terminate", terminated)
	t.Run("retry limit", retriedOnce)
	t.Run("disk", fullDisk)
	t.Run("filter", filteredAway)
	t.Run("script", script)
	t.Run("split", splitByScript)
	t.Run("slow kafka", slowKafka)
	t.Run("growth", growth)
}

// pipeline: files through both plugins of one process, and their counters.
func pipeline(t *testing.T, example string) {
	s := newSite(t)
	all := numbered(t, events(t)[0], 0, 500)
	s.put("first.ndjson", all[:300])
	s.example("plugins.conf")
	s.start(s.example(example))
	s.await(300)
	s.put("second.ndjson", all[300:])
	s.awaitAll(all)
	for _, name := range []string{"fluentbit_in_kms_handed_over_total", "fluentbit_out_kms_delivered_total"} {
		for deadline := time.Now().Add(time.Minute); s.sum(name) != 500; time.Sleep(100 * time.Millisecond) {
			if time.Now().After(deadline) {
				text, err := s.metrics()
				t.Fatalf("%s is %v, want 500 (%v)\n%s", name, s.sum(name), err, text)
			}
		}
	}
	s.stop()
	if s.count(); len(s.arrived) != 500 {
		t.Errorf("%d calls after the stop", len(s.arrived))
	}
	for call, n := range s.arrived {
		if n != 1 {
			t.Errorf("call %s arrived %d times", call, n)
		}
	}
}

// reload sends SIGHUP and waits until Fluent Bit has done it.
func (s *site) reload() {
	s.t.Helper()
	s.awaitReload(s.hangUp())
}

const reloaded = "successful reload done" // until then Fluent Bit refuses another

// hangUp sends SIGHUP and returns how many reloads there will have been.
func (s *site) hangUp() int {
	s.t.Helper()
	text, _ := os.ReadFile(s.log)
	if err := s.process.Process.Signal(syscall.SIGHUP); err != nil {
		s.t.Fatal(err)
	}
	return strings.Count(string(text), reloaded) + 1
}

func (s *site) awaitReload(n int) {
	s.t.Helper()
	s.awaitLog(reloaded, n)
}

func tailAndReload(t *testing.T) {
	s := newSite(t)
	all := numbered(t, events(t)[0], 0, 400)
	s.put("a.ndjson", all[:100])
	s.start(s.example("tail.yaml"), "-Y")
	s.await(100)
	for i := range 3 {
		s.put(fmt.Sprintf("r%d.ndjson", i), all[100+100*i:200+100*i])
		s.reload()
	}
	s.awaitAll(all)
	s.stop()
}

// bothReload reloads with both plugins.
func bothReload(t *testing.T) {
	s := newSite(t)
	all := numbered(t, events(t)[0], 0, 400)
	s.put("a.ndjson", all[:100])
	s.start(s.example("fluent-bit.yaml", "service:\n", "service:\n  hot_reload: on\n"), "-Y")
	s.await(100)
	for i := range 3 {
		s.put(fmt.Sprintf("r%d.ndjson", i), all[100+100*i:200+100*i])
		s.reload()
	}
	s.awaitAll(all)
	s.stop()
}

// inputAlone hands events to an output of Fluent Bit's own.
func inputAlone(t *testing.T) {
	s := newSite(t)
	all := numbered(t, events(t)[0], 0, 200)
	s.put("a.ndjson", all)
	s.start(s.write("alone.yaml", `
service: {flush: 1, grace: 20}
plugins: [/usr/lib/keytrail/in_kms.so]
pipeline:
  inputs:
    - {name: in_kms, tag: kms, path: /var/trail, checkpoint: /var/lib/keytrail/checkpoint}
  outputs:
    - {name: file, match: kms, path: /var/lib/keytrail, file: out, format: plain}
`))
	out := filepath.Join(s.dir, "state", "out")
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		text, _ := os.ReadFile(out)
		if strings.Count(string(text), "\n") == len(all) {
			for _, event := range all {
				if !strings.Contains(string(text), idOf(t, event)) {
					t.Errorf("event %s is missing", idOf(t, event))
				}
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d lines, want %d\n%s", strings.Count(string(text), "\n"), len(all), s.said())
		}
	}
	s.stop()
}

// killInTheMiddle ends Fluent Bit and the broker with SIGKILL while events flow; what
// had been taken over is on disk, and what had not is read again.
func killInTheMiddle(t *testing.T) {
	s := newSite(t)
	all := numbered(t, events(t)[0], 0, 3000)
	config := s.example("fluent-bit.yaml")
	s.put("0.ndjson", all[:1000])
	s.start(config)
	s.await(1)
	s.put("1.ndjson", all[1000:2000])
	s.kafka.Kill(0)
	// The second file is in chunks now, on disk, and cannot be delivered.
	for deadline := time.Now().Add(2 * time.Minute); s.sum("fluentbit_in_kms_handed_over_total") < 2000; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the second file was not read:\n%s", s.said())
		}
	}
	s.kill()
	s.put("2.ndjson", all[2000:])
	s.start(config)
	if err := s.kafka.Launch(0); err != nil {
		t.Fatal(err)
	}
	if err := s.kafka.Await(0); err != nil {
		t.Fatal(err)
	}
	s.awaitAll(all)
	s.stop()
}

// refusesAtStart: what is wrong with a property ends Fluent Bit at once, and says so.
func refusesAtStart(t *testing.T) {
	s := newSite(t)
	f := func(property, want string) {
		t.Helper()
		s.start(s.example("fluent-bit.yaml", "      retry_limit: no_limits\n", "      retry_limit: no_limits\n      "+property+"\n"))
		p := s.process
		s.process = nil
		dead := time.AfterFunc(time.Minute, func() { p.Process.Kill() })
		defer dead.Stop()
		if err := p.Wait(); err == nil || !strings.Contains(s.said(), want) {
			t.Errorf("%s: Fluent Bit ended with %v, want %q in\n%s", property, err, want, s.said())
		}
	}
	f("compression: rar", `cannot use property "compression" with value "rar": want none or gzip or snappy or lz4 or zstd`)
	f("sasl_username: me", `property "sasl_username" is set, but mechanism none does not use it`)
	f("tls.ca_file: /etc/ca.pem", `has no effect: Fluent Bit keeps it for its own plugins; set kafka_tls_ca_file`)
	f("host: kafka-1", `property "host" in `)
	f("compresion: zstd", "unknown configuration property 'compresion'")
}

// otherInputs: what http, forward and kafka make of events reaches Kafka as well.
func otherInputs(t *testing.T) {
	s := newSite(t)
	all := numbered(t, events(t)[0], 0, 10)
	if _, err := kafka.EnsureTopics(t.Context(), s.config(), 1, []kafka.Topic{{Name: "trail", Partitions: 1}}); err != nil {
		t.Fatal(err)
	}
	s.publish("trail", all[0], `{"Records":[`+all[1]+","+all[2]+`]}`)
	s.start(s.write("others.yaml", `
service: {flush: 1, grace: 20}
plugins: [/usr/lib/keytrail/out_kms.so]
pipeline:
  inputs:
    - {name: kafka, tag: t, brokers: '127.0.0.1:9092', topics: trail, group_id: g, rdkafka.auto.offset.reset: earliest}
    - {name: http, tag: t, listen: 127.0.0.1, port: 2020}
    - {name: forward, unix_path: /var/lib/keytrail/forward}
  outputs:
    - {name: out_kms, match: '*', brokers: '127.0.0.1:9092', workers: 1, retry_limit: no_limits}
`))
	post := func(body string) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
			r, err := http.Post("http://127.0.0.1:"+s.port+"/t", "application/json", strings.NewReader(body))
			if err == nil {
				r.Body.Close()
			}
			if err == nil && r.StatusCode == http.StatusCreated {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("the input http does not take events: %v, %v\n%s", r, err, s.said())
			}
		}
	}
	post(all[3])
	post(`[` + all[4] + "," + all[5] + `]`)
	post(`{"Records":[` + all[6] + `]}`)
	s.forward(all[7], `{"Records":[`+all[8]+","+all[9]+`]}`)
	s.awaitAll(all)
	s.stop()
}

// forward sends events as other Fluent Bits do: an array of tag, time and record each
// (the message mode of the protocol).
func (s *site) forward(list ...string) {
	s.t.Helper()
	c, err := net.Dial("unix", filepath.Join(s.dir, "state", "forward"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	for _, event := range list {
		message, err := msgp.AppendMapStrIntf(msgp.AppendInt64(msgp.AppendString([]byte{0x93}, "t"), time.Now().Unix()),
			map[string]any{"log": event})
		if err == nil {
			_, err = c.Write(message)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

// publish writes values to a topic.
func (s *site) publish(topic string, values ...string) {
	s.t.Helper()
	c := s.config()
	cl, err := kgo.NewClient(c.Options()...)
	if err != nil {
		s.t.Fatal(err)
	}
	defer cl.Close()
	for _, v := range values {
		if err := cl.ProduceSync(s.t.Context(), &kgo.Record{Topic: topic, Value: []byte(v)}).FirstErr(); err != nil {
			s.t.Fatal(err)
		}
	}
}
