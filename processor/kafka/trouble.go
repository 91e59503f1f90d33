package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/lograte"
)

// Trouble writes to the log what goes wrong between this process and the brokers. All
// clients of a process, and the stages themselves, share one: an outage is one line a
// minute, with the number of those that it stands for, and another when it is over. It
// is safe for concurrent use; nil logs nothing.
type Trouble struct {
	log   *slog.Logger
	gates lograte.Gates

	mu    sync.Mutex // guards what follows
	since time.Time  // of the outage that was logged; zero without one
	last  time.Time  // when something failed last
}

// NewTrouble returns a Trouble that writes to log; nil for a log of nil.
func NewTrouble(log *slog.Logger) *Trouble {
	if log == nil {
		return nil
	}
	return &Trouble{log: log}
}

func (c *Config) trouble() *Trouble {
	if c.Trouble != nil {
		return c.Trouble
	}
	return NewTrouble(c.Log)
}

// Failed notes that something failed because of err, such as "the session of stage count
// failed". What every outage brings is one kind, whatever failed; what the brokers refuse
// has a line of its own per refusal.
func (t *Trouble) Failed(what string, err error) {
	if t == nil {
		return
	}
	now, kind := time.Now(), kindOf(err)
	text := what
	if kind == outage {
		text = "Kafka does not answer; trying again"
		t.mu.Lock()
		if t.last = now; t.since.IsZero() {
			t.since = now
		}
		since := t.since
		t.mu.Unlock()
		if held, due := t.gates.Open(kind, now, 1); due {
			t.log.Warn(text, "first", what, "error", oneLine(err), "since", since, "lines_held_back", held)
		}
		return
	}
	if held, due := t.gates.Open(kind+" "+what, now, 1); due {
		t.log.Warn(text, "error", oneLine(err), "lines_held_back", held)
	}
}

// calm is for how long nothing may fail before an outage is over.
const calm = 5 * time.Second

// Answered notes that the brokers have answered a question, and says so after an outage.
func (t *Trouble) Answered() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.since.IsZero() || time.Since(t.last) < calm {
		return
	}
	t.log.Info("Kafka answers again", "after", t.last.Sub(t.since).Round(time.Second))
	t.since = time.Time{}
}

// outage is the kind of all that brokers bring about which are away, start, stop or move
// what they are responsible for.
const outage = "outage"

// kindOf returns the kind of an error: outage, or the name of what the brokers refuse.
// Client-side errors (a dial, an end of a connection, a time-out) are an outage, as are
// Kafka's retriable ones, and those that a member of a group meets when it comes back.
func kindOf(err error) string {
	var refused *kerr.Error
	if !errors.As(err, &refused) || refused.Retriable {
		return outage
	}
	switch refused {
	case kerr.UnknownMemberID, kerr.IllegalGeneration, kerr.RebalanceInProgress, kerr.FencedInstanceID,
		kerr.InvalidProducerEpoch, kerr.InvalidProducerIDMapping, kerr.ProducerFenced, kerr.InvalidTxnState, kerr.UnknownServerError:
		return outage
	}
	return refused.Message
}

// oneLine returns the text of an error without the ends of lines that joined errors have.
func oneLine(err error) string {
	if err == nil {
		return ""
	}
	return strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}

// clientLog passes the client's warnings to Trouble; its own chatter stays out.
type clientLog struct{ to *Trouble }

func (l clientLog) Level() kgo.LogLevel {
	if l.to == nil {
		return kgo.LogLevelNone
	}
	return kgo.LogLevelWarn
}

// Log takes a line of the client. Its pairs are kept as text: which of them say where it
// was is different in every line.
func (l clientLog) Log(_ kgo.LogLevel, msg string, keyvals ...any) {
	var cause error
	var where []string
	for i := 0; i+1 < len(keyvals); i += 2 {
		if err, ok := keyvals[i+1].(error); ok {
			cause = err
		} else if text := fmt.Sprint(keyvals[i+1]); text != "" && len(text) < 100 {
			where = append(where, fmt.Sprintf("%v=%s", keyvals[i], text))
		}
	}
	if errors.Is(cause, context.Canceled) || errors.Is(cause, kgo.ErrClientClosed) {
		return // we ended it
	}
	if len(where) > 0 {
		msg += " (" + strings.Join(where, ", ") + ")"
	}
	if cause == nil {
		l.to.noted(msg)
		return
	}
	l.to.Failed(msg, cause)
}

// noted writes a line of the client that names no error. Its kind is its first words,
// as the rest says where it was.
func (t *Trouble) noted(msg string) {
	kind, _, _ := strings.Cut(msg, " (")
	if held, due := t.gates.Open(kind, time.Now(), 1); due {
		t.log.Warn("kafka: "+msg, "lines_held_back", held)
	}
}

// FetchError says where a read failed. The client reports what ends a whole session, such
// as a group that may not be joined, as the error of a partition of no topic.
func FetchError(group string, e kgo.FetchError) error {
	if e.Topic == "" {
		return fmt.Errorf("consumer group %q: %w", group, e.Err)
	}
	return fmt.Errorf("cannot read topic %q partition %d: %w", e.Topic, e.Partition, e.Err)
}
