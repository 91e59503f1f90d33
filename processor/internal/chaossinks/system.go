package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/internal/chaostest"
	"keytrail/processor/internal/opensearch"
	"keytrail/processor/internal/process"
	receivers "keytrail/processor/internal/receiver"
	"keytrail/processor/kafka/kafkatest"
	"keytrail/schemas/body"
	"keytrail/schemas/otellog"
	"keytrail/schemas/wire"
)

var topics = wire.DefaultTopics()

// brokers and instances are how many brokers and processes of keytrail run.
const brokers, instances = 3, 2

// system is everything that runs.
type system struct {
	dir        string
	keytrail   string // the program
	cluster    *kafkatest.Cluster
	node       *opensearch.Node
	hec        *process.Process
	syslog     *process.Process
	processors []*process.Process
	receivers  []receiver
	kills      atomic.Int64
}

// setUp builds keytrail, and starts the brokers, the receivers and the processors.
func setUp(ctx context.Context, o options, dir string) (s *system, err error) {
	s = &system{dir: dir}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	var flags []string
	if o.sabotage {
		if flags, err = sabotage(dir); err != nil {
			return nil, err
		}
	}
	if s.keytrail, err = chaostest.Build(ctx, dir, flags...); err != nil {
		return nil, err
	}
	if s.cluster, err = kafkatest.StartCluster(filepath.Join(dir, "kafka"), brokers, os.Stderr); err != nil {
		return nil, err
	}
	hec, syslog, err := s.startReceivers(dir)
	if err != nil {
		return nil, err
	}
	config := func(name string, idleAfter time.Duration) error {
		text := fmt.Sprintf(settings, strings.Join(s.cluster.Brokers(), ", "), chaostest.SessionTimeout, idleAfter,
			s.node.URL, hec, token, syslog)
		return os.WriteFile(s.file(name), []byte(text), 0o600)
	}
	// The clock may close no window while files are on their way, because its detectors then
	// judge what has arrived. At the end it closes the last windows.
	if err := errors.Join(config("keytrail.yaml", 5*time.Minute), config("last.yaml", time.Second)); err != nil {
		return nil, err
	}
	setup := exec.CommandContext(ctx, s.keytrail, "sinks", "setup", "-c", s.file("keytrail.yaml"), "--apply", "opensearch")
	if said, err := setup.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("keytrail sinks setup: %w: %s", err, said)
	}
	for i := range instances {
		p := process.New(s.file(fmt.Sprintf("keytrail-%d.log", i+1)), "", s.keytrail, "run", "-c", s.file("keytrail.yaml"))
		s.processors = append(s.processors, p)
		if err := p.Launch(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *system) file(name string) string { return filepath.Join(s.dir, name) }

// startReceivers starts OpenSearch, the stand-in for Splunk and syslog-ng, and returns the
// addresses of the latter two.
func (s *system) startReceivers(dir string) (hec, syslog string, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", "", err
	}
	daemon, err := receivers.Path("syslogd", "syslog-ng")
	if err != nil {
		return "", "", err
	}
	if hec, err = receivers.FreeAddress(); err == nil {
		syslog, err = receivers.FreeAddress()
	}
	if err != nil {
		return "", "", err
	}
	s.node = opensearch.New(s.file("opensearch"))
	s.hec = process.New(s.file("hec.log"), hec, self, "-hec", hec, "-keep", s.file("hec.ndjson"))
	if err := os.MkdirAll(s.file("syslog-ng"), 0o700); err != nil {
		return "", "", err
	}
	var out string
	s.syslog, out, err = receivers.SyslogNG(daemon, s.file("syslog-ng"), syslog, `syslog(transport("tcp") AT)`)
	if err != nil {
		return "", "", err
	}
	for _, launch := range []func() error{s.node.Launch, s.hec.Launch, s.syslog.Launch} {
		if err := launch(); err != nil {
			return "", "", err
		}
	}
	s.receivers = []receiver{openSearchReceiver(s.node.URL), hecReceiver(s.file("hec.ndjson")), syslogReceiver(out)}
	return hec, syslog, nil
}

// settings is the configuration. Times are short, so that a run sees many of them pass.
const settings = `kafka:
  brokers: [%s]
  replication: 3
  partitions: {events: 4, partials: 4}
  session_timeout: %v
window: {rollups: [1h], idle_after: %v}
sinks:
  - name: opensearch
    type: opensearch
    endpoint: %s
    timeout: 5s
    from: earliest
    take: {events: true, windows: all, anomalies: true}
    batch: {records: 500}
    retry: {cap: 3s}
  - name: splunk
    type: splunk_hec
    endpoint: http://%s
    token: %s
    ack_timeout: 5s
    timeout: 5s
    from: earliest
    take: {events: true, windows: all, anomalies: true}
    batch: {records: 100}
    retry: {cap: 3s}
  - name: syslog
    type: syslog
    endpoint: tcp://%s
    max_message: 1MiB
    timeout: 5s
    from: earliest
    take: {events: true, windows: all, anomalies: true}
    batch: {records: 200}
    retry: {cap: 3s}
`

// sabotage returns the flags of a build in which sinks commit what they have not delivered.
func sabotage(dir string) ([]string, error) {
	root, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	chain := filepath.Join(root, "processor", "sink", "chain.go")
	text, err := os.ReadFile(chain)
	if err != nil {
		return nil, err
	}
	const honest = "list[l.at.topic][l.at.partition] = l.done\n"
	if strings.Count(string(text), honest) != 1 {
		return nil, fmt.Errorf("%s does not have the line %q once", chain, honest)
	}
	broken := strings.Replace(string(text), honest,
		honest+"\t\tif n := len(l.items); n > 0 {\n\t\t\tlist[l.at.topic][l.at.partition] = l.items[n-1].next\n\t\t}\n", 1)
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{chain: filepath.Join(dir, "chain.go")}})
	if err != nil {
		return nil, err
	}
	err = errors.Join(os.WriteFile(filepath.Join(dir, "chain.go"), []byte(broken), 0o600),
		os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600))
	return []string{"-overlay", filepath.Join(dir, "overlay.json")}, err
}

// lanes returns the lanes of faults: one for each processor, one for the brokers, because
// Kafka accepts no writes with two of three down, and one for each receiver. Syslog-ng is not
// killed: over TCP nothing tells what it had read and not written.
func (s *system) lanes(seed uint64) []*lane {
	second := func(low, high float64) [2]time.Duration {
		return [2]time.Duration{time.Duration(low * float64(time.Second)), time.Duration(high * float64(time.Second))}
	}
	kill, stop := action{"kill", second(0, 5)}, action{"stop", second(0, 5)}
	timeout := action{"suspend", second(6, 9)} // longer than a sink waits
	session := action{"suspend", second(chaostest.SessionTimeout.Seconds(), 2*chaostest.SessionTimeout.Seconds())}
	var list []*lane
	for i, p := range s.processors {
		list = append(list, &lane{targets: []target{programTarget(fmt.Sprint("processor ", i+1), p)},
			actions: []action{kill, kill, kill, stop, session}, up: second(3, 15)})
	}
	all := &lane{actions: []action{kill}, up: second(8, 25)}
	for i := range brokers {
		all.targets = append(all.targets, target{name: fmt.Sprint("broker ", i+1), kill: func() { s.cluster.Kill(i) },
			launch: func() error { return errors.Join(s.cluster.Launch(i), s.cluster.Await(i)) }})
	}
	node := target{"opensearch", s.node.Launch, func() error { s.node.Stop(); return nil }, s.node.Kill, s.node.Suspend,
		s.node.Resume}
	hec, syslog := programTarget("splunk_hec", s.hec), programTarget("syslog-ng", s.syslog)
	list = append(list, all,
		&lane{targets: []target{node}, actions: []action{kill, kill, stop, timeout}, up: second(10, 30)},
		&lane{targets: []target{hec}, actions: []action{kill, kill, kill, stop, timeout}, up: second(3, 12)},
		&lane{targets: []target{syslog}, actions: []action{stop, stop, timeout}, up: second(3, 12)})
	for i, l := range list {
		l.rng = rand.New(rand.NewPCG(seed, uint64(i)))
	}
	return list
}

// programTarget returns a program as a target. It starts again a program that has ended by
// itself, for example a processor without Kafka.
func programTarget(name string, p *process.Process) target {
	stop := func() error {
		if ended, err := p.Ended(); ended {
			chaostest.Say("%s has ended by itself: %v", name, err)
			return nil
		}
		return p.Stop()
	}
	return target{name, p.Launch, stop, p.Kill, p.Suspend, p.Resume}
}

// finish stops the processors and starts one to finish the work.
func (s *system) finish() error {
	for i, p := range s.processors {
		if ended, err := p.Ended(); ended {
			chaostest.Say("processor %d has ended by itself: %v", i+1, err)
		}
		if err := p.Stop(); err != nil {
			return err
		}
	}
	chaostest.Say("one last processor finishes the work")
	last := process.New(s.file("keytrail-last.log"), "", s.keytrail, "run", "-c", s.file("last.yaml"))
	s.processors = append(s.processors, last)
	return last.Launch()
}

// close ends everything at once.
func (s *system) close() {
	for _, p := range append(s.processors, s.hec, s.syslog) {
		if p != nil {
			p.Kill()
		}
	}
	if s.node != nil {
		s.node.Kill()
	}
	if s.cluster != nil {
		s.cluster.Close()
	}
}

// published reads the last revision of every record that the sinks take.
func (s *system) published(ctx context.Context, w *expected) error {
	w.published = map[string]published{}
	form, err := body.New("json")
	if err != nil {
		return err
	}
	var rec otellog.Record
	var text []byte
	for _, topic := range []string{topics.Events, topics.Windows, topics.Anomalies} {
		err := chaostest.Read(ctx, s.cluster.Brokers(), topic, func(r *kgo.Record) error {
			rec.Reset()
			err := rec.Decode(r.Value)
			if err == nil {
				text, err = form.Append(text[:0], &rec)
			}
			if err != nil {
				return err
			}
			own, err := decodeFlat(text)
			if err != nil {
				return err
			}
			w.publish(own, sum(text))
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// publish adds a record of Kafka.
func (w *expected) publish(own flat, sum uint64) {
	p, again := w.published[own.id()]
	if revision := own.revision(); !again || revision > p.revision {
		p = published{revision: revision}
	} else if revision < p.revision {
		return
	}
	p.sums = append(p.sums, sum)
	p.window, _ = own.window()
	w.published[own.id()] = p
}

// letters counts the records that receivers refused.
func (s *system) letters(ctx context.Context) (refused int, err error) {
	reasons := map[string]int{}
	err = chaostest.Read(ctx, s.cluster.Brokers(), topics.DeadLetter, func(r *kgo.Record) error {
		for _, h := range r.Headers {
			if h.Key == "reason" {
				reasons[string(h.Value)]++
				if strings.HasPrefix(string(h.Value), "rejected_") {
					refused++
				}
			}
		}
		return nil
	})
	if len(reasons) > 0 {
		chaostest.Say("dead letters: %v", reasons)
	}
	return refused, err
}
