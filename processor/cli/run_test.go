package cli_test

import (
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// One process, the whole path: raw records in, windows, anomalies and events at both
// sinks, and a graceful end.
func TestRun(t *testing.T) {
	heavy(t)
	b, tr := startBroker(t), newTrail(t, 31, 2500)
	at, server := collector(t, nil)
	archive := inTemp(t, "archive.ndjson")
	p := run(t, b.config(t, fileSink, otlpSink(server.URL), "telemetry: {listen: \"127.0.0.1:0\"}\n"), archive)
	p.ready(t)
	b.produce(t, tr.records)
	b.produce(t, tr.closer)
	b.equals(t, tr.want)
	at.gets(t, b, tr)
	until(t, "the file has everything", func() bool { return archived(t, archive).missing(tr) == "" })
	measured(t, p, tr)
	p.stop(t, syscall.SIGTERM)
	wholeLines(t, archive)
	if topic := b.undecided(t, "kms.events", "kms.partials", "kms.windows", "kms.anomalies"); topic != "" {
		t.Errorf("the end left a transaction in %s undecided", topic)
	}
	if strings.Contains(p.stderr.String(), "level=ERROR") {
		t.Error("an error was logged")
	}
}

// measured checks that the metrics of a process have measured every window and event of a
// trail.
func measured(t *testing.T, p *process, tr *trail) {
	t.Helper()
	at := listeners(t, p.cmd.Process.Pid)
	if len(at) != 1 {
		t.Fatalf("it listens on %v, want the address of its metrics", at)
	}
	res, err := http.Get("http://" + at[0].String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	for name, least := range map[string]int{
		`keytrail_window_delay_seconds_count{stage="detect"}`:                         len(tr.want),
		`keytrail_event_delay_seconds_count{stage="normalize"}`:                       len(tr.ids),
		`keytrail_sink_attempts_total{outcome="delivered",sink="siem"}`:               1,
		`keytrail_sink_in_flight{sink="siem"}`:                                        0,
		`keytrail_partition_watermark_timestamp_seconds{partition="3",stage="count"}`: 1,
		`messaging_client_sent_messages_total{messaging_destination_name="kms.events",messaging_operation_name="send",` +
			`messaging_operation_type="send",messaging_system="kafka"}`: len(tr.ids),
	} {
		_, rest, found := strings.Cut(string(text), "\n"+name+" ")
		value, _, _ := strings.Cut(rest, "\n")
		if n, err := strconv.ParseFloat(value, 64); !found || err != nil || n < float64(least) {
			t.Errorf("%s is %q, want %d or more", name, value, least)
		}
	}
}

// Two processes with the same configuration share the partitions of each group; one ends
// in the middle, and the other takes over its share.
func TestRunTwoShareTheWork(t *testing.T) {
	heavy(t)
	b, tr := startBroker(t), newTrail(t, 32, 2500)
	config := b.config(t, fileSink)
	first, second := inTemp(t, "1.ndjson"), inTemp(t, "2.ndjson")
	one, two := run(t, config, first), run(t, config, second)
	one.ready(t)
	two.ready(t)
	half := len(tr.records) / 2
	b.produce(t, tr.records[:half])
	for group, each := range map[string]int{"keytrail-count": 2, "keytrail-detect": 1} {
		until(t, "two processes share "+group, func() bool {
			n := 0
			members, stable := b.group(t, group)
			for _, partitions := range members {
				if partitions == each {
					n++
				}
			}
			return stable && n == 2
		})
	}
	one.stop(t, syscall.SIGINT)
	b.produce(t, tr.records[half:])
	b.produce(t, tr.closer)
	b.equals(t, tr.want)
	until(t, "the files together have everything", func() bool { return archived(t, first, second).missing(tr) == "" })
	two.stop(t, syscall.SIGTERM)
	wholeLines(t, first, second)
}

// A process with an instance id that is killed and started again keeps its partitions at
// once: its groups neither wait for the end of its session nor move other partitions.
func TestRunStaticMember(t *testing.T) {
	heavy(t)
	b, tr := startBroker(t), newTrail(t, 35, 2500)
	config := write(t, inTemp(t, "keytrail.yaml"), strings.Replace(fmt.Sprintf(pipelineConfig, b.address, fileSink), "kafka:\n",
		"kafka:\n  instance_id: \"${INSTANCE}\"\n", 1))
	pod := func(name, archive string) *process {
		return startWith(t, []string{"ARCHIVE=" + archive, "INSTANCE=" + name}, nil, nil, "run", "-c", config)
	}
	first, second := inTemp(t, "1.ndjson"), inTemp(t, "2.ndjson")
	one, two := pod("pod-0", first), pod("pod-1", second)
	one.ready(t)
	two.ready(t)
	half := len(tr.records) / 2
	b.produce(t, tr.records[:half])
	shared := func() bool {
		for _, group := range []string{"keytrail-normalize", "keytrail-count", "keytrail-detect", "keytrail-forward-archive"} {
			members, stable := b.group(t, group)
			partitions := slices.Collect(maps.Values(members))
			if len(members) != 2 || !stable || slices.Min(partitions) == 0 {
				return false
			}
		}
		return true
	}
	until(t, "the processes share the partitions", shared)
	// A transaction that the rebalance aborted begins again later, with the same partitions.
	moves := func() int { return strings.Count(one.stderr.String(), "partitions assigned") }
	before, since := -1, time.Now()
	until(t, "the rebalance is over", func() bool {
		if now := moves(); now != before || !shared() {
			before, since = now, time.Now()
		}
		return time.Since(since) > 5*time.Second
	})
	two.signal(t, syscall.SIGKILL)
	two.code(t)
	two = pod("pod-1", second)
	two.ready(t)
	b.produce(t, tr.records[half:])
	b.produce(t, tr.closer)
	b.equals(t, tr.want)
	until(t, "the files together have everything", func() bool { return archived(t, first, second).missing(tr) == "" })
	if after := moves(); after != before {
		t.Errorf("partitions of the other process moved %d times", after-before)
	}
	if !shared() {
		t.Error("the processes do not share the partitions after the restart")
	}
	one.stop(t, syscall.SIGTERM)
	two.stop(t, syscall.SIGTERM)
}

// The stages run in different processes; the SIEM starts when everything is already
// counted, and misses nothing. A stop during its absence is graceful as well.
func TestRunSplitStagesAndLateSink(t *testing.T) {
	heavy(t)
	b, tr := startBroker(t), newTrail(t, 33, 2000)
	address, listen := reserved(t)
	config := b.config(t, fileSink, otlpSink("http://"+address))
	unused, archive := inTemp(t, "unused.ndjson"), inTemp(t, "archive.ndjson")
	front := run(t, config, unused, "--stages", "normalize,count")
	back := run(t, config, archive, "--stages", "detect, forward")
	front.ready(t)
	back.ready(t)
	b.produce(t, tr.records)
	b.produce(t, tr.closer)
	b.equals(t, tr.want)
	until(t, "the process notices that its sink is away", func() bool { return strings.Contains(back.stderr.String(), "sink=siem") })
	back.stop(t, syscall.SIGTERM)

	back = run(t, config, archive, "--stages", "forward")
	back.ready(t)
	at, _ := collector(t, listen())
	at.gets(t, b, tr)
	until(t, "the file has everything", func() bool { return archived(t, archive).missing(tr) == "" })
	back.stop(t, syscall.SIGINT)
	front.stop(t, syscall.SIGTERM)
	if _, err := os.Stat(unused); err == nil {
		t.Error("a process that does not forward opened the sink's file, which another one writes")
	}
	wholeLines(t, archive)
}

// reserved returns an address that refuses connections until listen is called. Another
// process could take a merely unused port in between.
func reserved(t *testing.T) (address string, listen func() net.Listener) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "reserved")
	t.Cleanup(func() { f.Close() })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port), func() net.Listener {
		t.Helper()
		err := syscall.Listen(fd, syscall.SOMAXCONN)
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.FileListener(f) // a copy
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
}

// A process is killed within a transaction, twice: the next one takes over, no call is
// lost or counted twice, and every event is forwarded.
func TestRunSurvivesKill(t *testing.T) {
	heavy(t)
	b, tr := startBroker(t), newTrail(t, 34, 4000)
	config := b.config(t, fileSink)
	archive := inTemp(t, "archive.ndjson")
	p := b.kills(t, config, archive, tr.records, []string{"kms.windows", "kms.state"}, []string{"kms.partials"})
	b.produce(t, tr.closer)
	// The transactions of the killed processes block their readers until the broker aborts
	// them, 20 s later.
	log := b.equals(t, tr.want)
	t.Logf("%d records of kms.windows are of aborted transactions", log.aborted)
	until(t, "every event is in the file", func() bool { return archived(t, archive).missing(tr) == "" })
	p.stop(t, syscall.SIGTERM)
	wholeLines(t, archive)
}

// kills kills one process after another within a transaction that writes to some of the
// topics of each list, and returns the last process, which gets the remaining records.
func (b *broker) kills(t *testing.T, config, archive string, records [][]byte, topics ...[]string) *process {
	t.Helper()
	for _, list := range topics {
		p := run(t, config, archive)
		p.ready(t)
		records = b.killInTransaction(t, p, list, records)
		b.evict(t, "keytrail-normalize", "keytrail-count", "keytrail-detect", "keytrail-forward-archive")
	}
	p := run(t, config, archive)
	p.ready(t)
	b.produce(t, records)
	return p
}

// killInTransaction produces records in small batches until one of the topics has an
// undecided transaction; it then suspends the process, checks again, and kills it if that
// still holds. It returns the remaining records.
func (b *broker) killInTransaction(t *testing.T, p *process, topics []string, records [][]byte) (rest [][]byte) {
	t.Helper()
	until(t, "the process has joined its groups", func() bool {
		for _, name := range []string{"keytrail-normalize", "keytrail-count", "keytrail-detect"} {
			if members, stable := b.group(t, name); !stable || len(members) != 1 {
				return false
			}
		}
		return true
	})
	topic, left := "", len(records)/2
	for topic == "" && len(records) > left {
		b.produce(t, records[:25])
		records = records[25:]
		for i := 0; topic == "" && i < 60; i++ {
			if b.undecided(t, topics...) == "" {
				continue
			}
			p.signal(t, syscall.SIGSTOP)
			if topic = b.undecided(t, topics...); topic == "" {
				p.signal(t, syscall.SIGCONT)
			}
		}
	}
	t.Logf("killed in a transaction that writes to %q, with %d records left", topic, len(records))
	p.signal(t, syscall.SIGKILL)
	if code := p.code(t); code != -1 {
		t.Errorf("exit code %d of a killed process", code)
	}
	return records
}

// A stop is graceful even while Kafka does not answer.
func TestRunStopsWithoutKafka(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	config := write(t, inTemp(t, "k.yaml"), fmt.Sprintf("kafka: {brokers: [%q]}\n", silent.Addr()))
	p := run(t, config, "")
	c, err := silent.Accept() // and nothing more
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p.stop(t, syscall.SIGTERM)
}

// Without Kafka the start ends by itself, with one line that says what to do.
func TestRunWithoutKafka(t *testing.T) {
	heavy(t)
	config := write(t, inTemp(t, "k.yaml"), "kafka: {brokers: [\"127.0.0.1:1\"]}\n")
	trail := write(t, inTemp(t, "trail.json"), `{"Records":[]}`)
	for _, args := range [][]string{{"run", "-c", config}, {"replay", "-c", config, trail}} {
		p := start(t, nil, nil, args...)
		<-p.done
		said := p.stderr.String()
		if code := p.code(t); code != 1 || strings.Count(said, "\n") != 1 || !strings.Contains(said, `"127.0.0.1:1"`) || !strings.Contains(said, "check that Kafka runs there") {
			t.Errorf("%s: exit code %d, and it says\n%s", args[0], code, said)
		}
	}
}

// With its own broker a process needs nothing and leaves nothing.
func TestRunEmbedded(t *testing.T) {
	heavy(t)
	archive := inTemp(t, "archive.ndjson")
	p := run(t, write(t, inTemp(t, "k.yaml"), "kafka: {embedded: true, partitions: {events: 2, partials: 2}}\nsinks:\n"+fileSink), archive)
	p.ready(t)
	p.stop(t, syscall.SIGINT)
}

// An invalid configuration ends the process before it does anything, with the file, the
// line, the key, the value and the allowed values.
func TestRunRefusesConfiguration(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		path := write(t, inTemp(t, "keytrail.yaml"), text)
		for _, args := range [][]string{{"run", "-c", path}, {"config", "check", "-c", path}, {"config", "-c", path, "print"}} {
			keytrail(t, nil, args...).wants(t, 2, append(want, "keytrail: "+path+":")...)
		}
	}
	f("kafka:\n  broker: [a:1]\n", ":2: kafka.broker: unknown key", `did you mean "brokers"`, "allowed: brokers, embedded")
	f("kafka: {embedded: true}\nwindow:\n  size: 90s\n", ":3: window.size: 1m30s", "whole number of minutes")
	f("stages: [count, cuont]\n", `:1: stages[1]: "cuont" is not allowed; allowed: collect, normalize, count, detect, forward`)
	f("sinks:\n  - {name: a, type: file, path: x, take: {windows: some}}\n", `:2: sinks[0].take.windows: "some"`, "none, anomalous, all")
	f("sinks:\n  - name: a\n    type: splunk\n", `:3: sinks[0].type: "splunk" is not allowed; allowed: otlp, splunk_hec, syslog, file`)
	f("commit: {interval: 1h}\n", ":1: commit.interval: 1h0m0s is out of range; allowed: 10ms to")
	f("kafka: {brokers: [\"${KEYTRAIL_NOT_SET}\"]}\n", ":1: kafka.brokers[0]", "KEYTRAIL_NOT_SET")
	f("kafka: [\n", "cannot parse YAML")
	good := write(t, inTemp(t, "good.yaml"), "kafka: {embedded: true}\n")
	keytrail(t, nil, "run", "-c", good, "--stages", "count,cuont").wants(t, 2, `--stages "count,cuont"`, `"cuont" is not allowed`, "normalize, count, detect, forward")
	keytrail(t, nil, "run", "-c", good+"x").wants(t, 2, good+"x", "no such file")
	folder := inTemp(t, "missing")
	text := fmt.Sprintf("kafka: {embedded: true}\nsinks: [{name: a, type: file, path: %q}]\n", filepath.Join(folder, "x"))
	keytrail(t, nil, "run", "-c", write(t, inTemp(t, "k.yaml"), text)).wants(t, 1, `sink "a"`, folder, "no such file")
}
