package plugintest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// core is a Fluent Bit between the two plugins, each in its C host, that does everything
// that Fluent Bit may do with records, and more: it drops, repeats, splits and reorders
// them, gives a chunk up after a retry, and both hosts are killed at any time.
type core struct {
	t       *testing.T
	b       built
	rnd     *rand.Rand // of pump's goroutine
	inArgs  []string
	outArgs []string

	mu    sync.Mutex // guards the following
	out   *server
	in    *exec.Cmd
	loss  int // in a hundred records
	pumps sync.WaitGroup
}

// startIn starts in_kms, whose records come through a pipe.
func (c *core) startIn() {
	c.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		c.t.Fatal(err)
	}
	cmd := exec.Command(c.b.host, append([]string{c.b.in, "--calls", "1000000", "--tick-ms", "10", "--out", "/dev/fd/3", "--log-level", "2"}, c.inArgs...)...)
	cmd.ExtraFiles, cmd.Stderr = []*os.File{w}, os.Stderr
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	w.Close()
	c.mu.Lock()
	c.in = cmd
	c.mu.Unlock()
	c.pumps.Go(func() { c.pump(r) })
}

func (c *core) killIn() {
	c.mu.Lock()
	cmd := c.in
	c.in = nil
	c.mu.Unlock()
	if cmd != nil {
		cmd.Process.Kill()
		cmd.Wait() // it was killed
	}
	c.pumps.Wait()
}

func (c *core) startOut() {
	c.t.Helper()
	s := startServer(c.t, c.b, c.outArgs...)
	c.mu.Lock()
	c.out = s
	c.mu.Unlock()
}

func (c *core) killOut() {
	c.mu.Lock()
	s := c.out
	c.mu.Unlock()
	s.cmd.Process.Kill()
	s.cmd.Wait() // it was killed
}

// pump passes what in_kms returns on until it ends.
func (c *core) pump(r *os.File) {
	defer r.Close()
	var data, held []byte
	part := make([]byte, 32<<10)
	for {
		n, err := r.Read(part[:1+c.rnd.IntN(len(part))])
		data = append(data, part[:n]...)
		var chunk, tail []byte
		for len(data) > 0 {
			rest, serr := msgp.Skip(data)
			if serr != nil {
				break // the rest of it comes later
			}
			chunk, tail, held = c.fate(data[:len(data)-len(rest)], chunk, tail, held)
			data = rest
		}
		c.deliver(append(chunk, tail...))
		if err != nil {
			if c.rnd.IntN(2) == 0 {
				c.deliver(held)
			}
			return
		}
	}
}

// fate decides whether one record is lost, delayed, repeated or passed on. The records that a
// filter makes of it stay in one chunk, side by side or not.
func (c *core) fate(record, chunk, tail, held []byte) (_, _, _ []byte) {
	c.mu.Lock()
	loss := c.loss
	c.mu.Unlock()
	second := split(record)
	switch fate := c.rnd.IntN(100); {
	case fate < loss: // dropped
	case fate < 2*loss: // later, behind others
		held = slices.Concat(held, record, second)
	case fate < 3*loss: // twice
		chunk = slices.Concat(chunk, second, record, record)
	default:
		chunk = append(chunk, record...)
		if c.rnd.IntN(2) == 0 {
			chunk = append(chunk, second...)
		} else {
			tail = append(tail, second...)
		}
		if c.rnd.IntN(50) == 0 {
			chunk, held = append(chunk, held...), held[:0]
		}
	}
	return chunk, tail, held
}

// restOfID follows the eight digits that tell the events of numbered apart.
const restOfID = "-0000-4000-8000-000000000000"

// partOf returns the call of the second record that a filter makes of the record of a
// call, "" where it makes none: of every other it makes two.
func partOf(call string) string {
	if digits, ok := strings.CutSuffix(call, restOfID); !ok || digits[len(digits)-1]%2 == 0 {
		return ""
	}
	return "f" + call[1:]
}

// split returns that second record, with the number of the first.
func split(record []byte) []byte {
	at := bytes.Index(record, []byte(restOfID)) - 8
	part := partOf(string(record[at : at+8+len(restOfID)]))
	second := bytes.Clone(record)
	return second[:len(second)*min(1, copy(second[at:], part))] // nothing without a part
}

// deliver flushes a chunk, with a retry, and drops it when that fails as well.
func (c *core) deliver(chunk []byte) {
	if len(chunk) == 0 {
		return
	}
	for range 2 {
		c.mu.Lock()
		s := c.out
		c.mu.Unlock()
		if code, err := s.flush(chunk); err == nil && code == '1' {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// ledger follows what Kafka has, read by a separate client.
type ledger struct {
	client *kgo.Client
	has    map[string]bool
}

func newLedger(t *testing.T, c *kfake.Cluster) *ledger {
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.ConsumeTopics("kms.events"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &ledger{client, map[string]bool{}}
}

// done returns the files that a checkpoint has.
func done(t *testing.T, path string) (names []string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil
	}
	var c struct{ Done []struct{ Name string } }
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range c.Done {
		names = append(names, filepath.Base(d.Name))
	}
	return names
}

// judge holds the checkpoint to what Kafka has. It returns how many files are done.
func (l *ledger) judge(t *testing.T, path string, files map[string][]string) int {
	t.Helper()
	names := done(t, path) // first: what is in it must have been in Kafka before
	want := map[string]bool{}
	for _, name := range names {
		for _, event := range files[name] {
			for _, call := range []string{callOf(t, event), partOf(callOf(t, event))} {
				if call != "" && !l.has[call] {
					want[call] = true
				}
			}
		}
	}
	for deadline := time.Now().Add(20 * time.Second); len(want) > 0 && time.Now().Before(deadline); {
		l.client.PollFetches(t.Context()).EachRecord(func(r *kgo.Record) {
			l.has[string(r.Key)] = true
			delete(want, string(r.Key))
		})
	}
	if len(want) > 0 {
		t.Fatalf("%d files are done, and %d of their events are not in Kafka", len(names), len(want))
	}
	return len(names)
}

// course is one run of TestAcknowledgements: a core, and what it is judged by.
type course struct {
	*core
	*ledger
	trail, checkpoint string
	files             map[string][]string
	away              atomic.Int32 // the broker that answers nothing, for a while
}

// newCourse makes a core that is not started, and the files that will be put.
func newCourse(t *testing.T, seed uint64, count, size int) *course {
	t.Helper()
	b := plugins(t)
	k, err := kfake.NewCluster(kfake.NumBrokers(partitions), kfake.SeedTopics(partitions, "kms.events", "kms.deadletter"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	dir, err := os.MkdirTemp("", "acks") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	c := &course{trail: filepath.Join(dir, "trail"), checkpoint: filepath.Join(dir, "cp"), files: map[string][]string{}, ledger: newLedger(t, k)}
	c.away.Store(-1)
	k.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		if k.CurrentNode() == c.away.Load() {
			return nil, errors.New("away"), true
		}
		return nil, nil, false
	})
	if err := os.Mkdir(c.trail, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range count {
		c.files[fmt.Sprintf("%02d", i)] = numbered(t, events(t)[0], i*size, size)
	}
	socket := "ack_path=" + filepath.Join(dir, "s")
	c.core = &core{
		t: t, b: b, rnd: rand.New(rand.NewPCG(seed, 2)), loss: 4,
		inArgs:  fast(c.trail, "checkpoint="+c.checkpoint, socket, "ack_timeout=1s", "ack_window=1M", "batch_bytes=64K"),
		outArgs: outProps(k, socket, "flush_timeout=500ms"),
	}
	return c
}

// put lets a file appear as a whole.
func (c *course) put(name string) {
	c.t.Helper()
	path := filepath.Join(c.trail, name)
	if err := os.WriteFile(path+".part", []byte(strings.Join(c.files[name], "\n")), 0o644); err != nil {
		c.t.Fatal(err)
	}
	if err := os.Rename(path+".part", path); err != nil {
		c.t.Fatal(err)
	}
}

// TestAcknowledgements: whatever happens between the plugins and to them, the checkpoint
// holds only files of which Kafka has every event, and what a filter made of each, and in
// the end it holds all of them.
func TestAcknowledgements(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	c := newCourse(t, seed, 40, 60)
	c.startOut()
	c.startIn()
	t.Cleanup(func() { c.killIn(); c.killOut() })
	for _, name := range slices.Sorted(maps.Keys(c.files)) {
		c.put(name)
		switch rnd.IntN(6) {
		case 0:
			c.killIn()
			c.judge(t, c.checkpoint, c.files)
			c.startIn()
		case 1:
			c.killOut()
			c.judge(t, c.checkpoint, c.files)
			c.startOut()
		}
		time.Sleep(time.Duration(rnd.IntN(200)) * time.Millisecond) // any moment will do
		c.judge(t, c.checkpoint, c.files)
	}
	t.Logf("%d files were done while records were lost", c.judge(t, c.checkpoint, c.files))
	c.finish()
}

// finish waits until all files are done.
func (c *course) finish() {
	c.t.Helper()
	n := 0
	for deadline := time.Now().Add(3 * time.Minute); n < len(c.files); n = c.judge(c.t, c.checkpoint, c.files) {
		if time.Now().After(deadline) {
			c.t.Fatalf("%d of %d files are done in the end: %v", n, len(c.files), slices.Sorted(slices.Values(done(c.t, c.checkpoint))))
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// TestSplitRecordsAreAcknowledgedTogether: what one broker did not take is lost with
// out_kms, and what the others took is not. The parts of a record are on several brokers.
func TestSplitRecordsAreAcknowledgedTogether(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	c := newCourse(t, seed, 6, 60)
	c.loss = 0
	c.startOut()
	c.startIn()
	t.Cleanup(func() { c.killIn(); c.killOut() })
	for i, name := range slices.Sorted(maps.Keys(c.files)) {
		c.away.Store(int32(i % partitions))
		c.put(name)
		time.Sleep(time.Second) // any moment will do
		c.killOut()
		c.away.Store(-1)
		c.startOut()
		c.judge(t, c.checkpoint, c.files)
	}
	c.finish()
}
