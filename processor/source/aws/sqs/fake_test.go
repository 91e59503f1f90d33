package sqs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// fakeQueue is a queue with its own clock, for the rules of SQS that take a real queue
// days: twelve hours, receive counts, redrive and retention.
type fakeQueue struct {
	mu        sync.Mutex // guards the following
	now       time.Time
	messages  []*fakeMessage
	max       int // maxReceiveCount; 0 for no redrive policy
	retention time.Duration
	dead      []string // moved bodies
	expired   []string // bodies dropped for their age
	n         int
}

type fakeMessage struct {
	id, body, receipt       string
	sent, received, visible time.Time
	count                   int
}

// start serves the queue and returns a client's configuration.
func (q *fakeQueue) start(t *testing.T) aws.Config {
	srv := httptest.NewServer(q)
	t.Cleanup(srv.Close)
	return aws.Config{
		HTTPClient: wholeAnswers{}, Region: "eu-central-1", BaseEndpoint: &srv.URL, Retryer: func() aws.Retryer { return aws.NopRetryer{} },
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
	}
}

// wholeAnswers reads an answer before passing it to the SDK. The SDK closes the request's body
// as soon as there is an answer. If the transport has not seen the end of that body yet, it
// closes the connection during a long answer; on loopback the fake is fast enough for that.
type wholeAnswers struct{}

func (wholeAnswers) Do(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, err
}

func (q *fakeQueue) send(body string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.n++
	q.messages = append(q.messages, &fakeMessage{id: fmt.Sprint("m", q.n), body: body, sent: q.now, visible: q.now})
}

func (q *fakeQueue) pass(d time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.now = q.now.Add(d)
}

func (q *fakeQueue) clock() time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.now
}

// call is a request, and entry one message in it.
type (
	call struct {
		MaxNumberOfMessages, VisibilityTimeout int
		Entries                                []entry
	}
	entry struct {
		Id, ReceiptHandle string
		VisibilityTimeout int
	}
	failure struct{ Id, Code, Message string }
)

func (q *fakeQueue) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var in call
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	answer := map[string]any{}
	switch target := r.Header.Get("X-Amz-Target"); {
	case strings.HasSuffix(target, ".ReceiveMessage"):
		answer["Messages"] = q.receive(&in)
	case strings.HasSuffix(target, ".GetQueueAttributes"):
		attributes := map[string]string{"MessageRetentionPeriod": strconv.Itoa(int(q.retention.Seconds()))}
		if q.max > 0 {
			attributes["RedrivePolicy"] = fmt.Sprintf(`{"deadLetterTargetArn":"arn:aws:sqs:eu-central-1:1:dead","maxReceiveCount":%d}`, q.max)
		}
		answer["Attributes"] = attributes
	default:
		var failed []failure
		for _, e := range in.Entries {
			code := q.change(e, strings.HasSuffix(target, ".DeleteMessageBatch"))
			if code != "" {
				failed = append(failed, failure{e.Id, code, code})
			}
		}
		answer["Failed"] = failed
	}
	json.NewEncoder(w).Encode(answer) // to a recorder of the server's
}

// receive returns visible messages, moves those received too often, and drops those that
// are too old.
func (q *fakeQueue) receive(in *call) (list []map[string]any) {
	kept := q.messages[:0]
	for _, m := range q.messages {
		switch {
		case !q.now.Before(m.sent.Add(q.retention)):
			q.expired = append(q.expired, m.body)
			continue
		case m.visible.After(q.now) || len(list) == in.MaxNumberOfMessages:
		case q.max > 0 && m.count >= q.max:
			q.dead = append(q.dead, m.body)
			continue
		default:
			q.n++
			m.count++
			m.receipt, m.received, m.visible = fmt.Sprint("r", q.n), q.now, q.now.Add(time.Duration(in.VisibilityTimeout)*time.Second)
			list = append(list, map[string]any{"MessageId": m.id, "ReceiptHandle": m.receipt, "Body": m.body, "Attributes": map[string]string{
				"ApproximateReceiveCount": strconv.Itoa(m.count), "SentTimestamp": strconv.FormatInt(m.sent.UnixMilli(), 10)}})
		}
		kept = append(kept, m)
	}
	q.messages = kept
	return list
}

// change deletes a message or changes its visibility. It returns SQS's code, "" without an error.
func (q *fakeQueue) change(e entry, remove bool) string {
	for i, m := range q.messages {
		if m.receipt != e.ReceiptHandle {
			continue
		}
		if remove {
			q.messages = append(q.messages[:i:i], q.messages[i+1:]...)
			return ""
		}
		until := q.now.Add(time.Duration(e.VisibilityTimeout) * time.Second)
		switch {
		case !m.visible.After(q.now):
			return "MessageNotInflight"
		case until.After(m.received.Add(12 * time.Hour)):
			return "InvalidParameterValue"
		}
		m.visible = until
		return ""
	}
	if remove {
		return "" // SQS accepts an old receipt, and does nothing
	}
	return "ReceiptHandleIsInvalid"
}
