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

// Trouble logs failures between this process and the brokers. All clients and stages of a
// process share one: an outage is one line a minute, with a count, and a final line when
// it is over. It is safe for concurrent use; nil logs nothing.
type Trouble struct {
	log   *slog.Logger
	gates lograte.Gates

	mu    sync.Mutex // guards what follows
	since time.Time  // of the logged outage; zero without one
	last  time.Time  // of the last failure
}

// NewTrouble returns a Trouble that writes to log; nil if log is nil.
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

// Failed notes that an action, such as "the session of stage count failed", failed
// because of err. All errors of an outage share one line; each kind of refusal by the
// brokers has its own.
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

// calm is how long nothing must fail for an outage to be over.
const calm = 5 * time.Second

// Answered notes an answer of the brokers, and logs the end of an outage.
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

// outage is the kind of all errors from brokers that are unreachable, start, stop or move
// partitions or groups.
const outage = "outage"

// kindOf returns the kind of an error: outage, or the name of the brokers' refusal.
// Client-side errors (dial, closed connection, timeout) are an outage, as are Kafka's
// retriable errors and those of a group member that returns.
func kindOf(err error) string {
	var refused *kerr.Error
	if !errors.As(err, &refused) || refused.Retriable {
		return outage
	}
	switch refused {
	case kerr.UnknownMemberID, kerr.IllegalGeneration, kerr.RebalanceInProgress, kerr.FencedInstanceID,
		kerr.InvalidProducerEpoch, kerr.InvalidProducerIDMapping, kerr.ProducerFenced, kerr.InvalidTxnState,
		kerr.UnknownServerError:
		return outage
	}
	return refused.Message
}

// Outage reports whether err comes from brokers that are unreachable, start, stop or move
// partitions or groups, so that the same request may succeed later. It is false for nil.
func Outage(err error) bool { return err != nil && kindOf(err) == outage }

// oneLine returns the text of an error with its line breaks removed.
func oneLine(err error) string {
	if err == nil {
		return ""
	}
	return strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}

// clientLog passes the client's warnings to Trouble and drops its other lines.
type clientLog struct{ to *Trouble }

func (l clientLog) Level() kgo.LogLevel {
	if l.to == nil {
		return kgo.LogLevelNone
	}
	return kgo.LogLevelWarn
}

// Log takes a line of the client. Its pairs are kept as text, as each line names its
// place differently.
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
		return // this process closed it
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

// noted logs a client line without an error. Its kind is its first words; the rest names
// the place.
func (t *Trouble) noted(msg string) {
	kind, _, _ := strings.Cut(msg, " (")
	if held, due := t.gates.Open(kind, time.Now(), 1); due {
		t.log.Warn("kafka: "+msg, "lines_held_back", held)
	}
}

// FetchError returns a read error with its place. The client reports an error of the whole
// session, such as a group that the client may not join, as that of a partition of a topic "".
func FetchError(group string, e kgo.FetchError) error {
	if e.Topic == "" {
		return fmt.Errorf("consumer group %q: %w", group, e.Err)
	}
	return fmt.Errorf("cannot read topic %q partition %d: %w", e.Topic, e.Partition, e.Err)
}
