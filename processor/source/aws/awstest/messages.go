package awstest

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// Message is one message that Messages has taken.
type Message struct {
	ID, Body, Subject, Group, Dedup string
	Attributes                      map[string]string
}

// Messages is a stand-in for SendMessageBatch of SQS and PublishBatch of SNS, written from
// the API references and strict about their limits. moto, which make integration uses, is
// not, and refuses no single message.
type Messages struct {
	// Fault returns the fault of a message, by its body; nil or a code of "" takes it.
	Fault func(body string) (code, text string, sender bool)
	// Error returns the error of a request, a code and a status; nil or "" for none.
	Error func() (code string, status int)

	mu       sync.Mutex // guards what follows
	taken    []Message
	requests int
	refused  string // see Refuse
	busy     bool   // see Busy
}

// Busy has the stand-in take the first message of each request, and be busy about the others.
func (m *Messages) Busy() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.busy = true
}

// Refuse has the stand-in refuse the messages with an id among their attributes.
func (m *Messages) Refuse(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refused = id
}

// Start starts the stand-in for the duration of a test, and returns its URL.
func (m *Messages) Start(t testing.TB) string {
	srv := httptest.NewServer(m)
	t.Cleanup(srv.Close)
	return srv.URL
}

// Taken returns the messages that were taken, in order.
func (m *Messages) Taken() []Message {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]Message(nil), m.taken...)
}

// Requests returns the number of requests.
func (m *Messages) Requests() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.requests
}

// outcome is what a batch call says of one message.
type outcome struct {
	ID          string `json:"Id" xml:"Id"`
	Code        string `json:"Code,omitempty" xml:"Code,omitempty"`
	Text        string `json:"Message,omitempty" xml:"Message,omitempty"`
	SenderFault bool   `json:"SenderFault" xml:"SenderFault"`
	MessageID   string `json:"MessageId" xml:"MessageId"`
}

// ServeHTTP answers one call.
func (m *Messages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	isSQS := r.Header.Get("X-Amz-Target") == "AmazonSQS.SendMessageBatch"
	var batch []Message
	var err error
	if isSQS {
		batch, err = sqsBatch(r)
	} else {
		batch, err = snsBatch(r)
	}
	m.mu.Lock()
	m.requests++
	m.mu.Unlock()
	if m.Error != nil {
		if code, status := m.Error(); code != "" {
			fail(w, isSQS, code, "as the test wants", status)
			return
		}
	}
	if err == nil {
		err = limits(batch)
	}
	if err != nil {
		fail(w, isSQS, "BatchRequestTooLong", err.Error(), http.StatusBadRequest)
		return
	}
	good, bad := m.take(batch)
	if isSQS {
		json.NewEncoder(w).Encode(map[string]any{"Successful": good, "Failed": bad}) // the client reports the error
		return
	}
	type list struct {
		Member []outcome `xml:"member"`
	}
	xml.NewEncoder(w).Encode(struct {
		XMLName xml.Name `xml:"PublishBatchResponse"`
		Good    list     `xml:"PublishBatchResult>Successful"`
		Bad     list     `xml:"PublishBatchResult>Failed"`
	}{Good: list{good}, Bad: list{bad}})
}

// take takes what has no fault, and drops repetitions by their deduplication ids.
func (m *Messages) take(batch []Message) (good, bad []outcome) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, one := range batch {
		if m.busy && i > 0 {
			bad = append(bad, outcome{ID: one.ID, Code: "InternalError", Text: "busy"})
			continue
		}
		if m.refused != "" && one.Attributes["event_id"] == m.refused {
			bad = append(bad, outcome{ID: one.ID, Code: "InvalidMessageContents", Text: "refused by the test",
				SenderFault: true})
			continue
		}
		if m.Fault != nil {
			if code, text, sender := m.Fault(one.Body); code != "" {
				bad = append(bad, outcome{ID: one.ID, Code: code, Text: text, SenderFault: sender})
				continue
			}
		}
		good = append(good, outcome{ID: one.ID, MessageID: fmt.Sprint(len(m.taken))})
		known := false
		for i := range m.taken {
			known = known || one.Dedup != "" && m.taken[i].Dedup == one.Dedup
		}
		if !known {
			m.taken = append(m.taken, one)
		}
	}
	return good, bad
}

func fail(w http.ResponseWriter, isSQS bool, code, text string, status int) {
	if isSQS {
		w.Header().Set("X-Amzn-Query-Error", "AWS.SimpleQueueService."+code+";Sender")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"__type":"com.amazonaws.sqs#%s","message":%q}`, code, text)
		return
	}
	w.WriteHeader(status)
	fmt.Fprintf(w, "<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error></ErrorResponse>",
		code, text)
}

func sqsBatch(r *http.Request) (batch []Message, err error) {
	var in struct {
		Entries []struct {
			ID                string `json:"Id"`
			Body              string `json:"MessageBody"`
			Group             string `json:"MessageGroupId"`
			Dedup             string `json:"MessageDeduplicationId"`
			MessageAttributes map[string]struct{ DataType, StringValue string }
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, err
	}
	for _, e := range in.Entries {
		m := Message{ID: e.ID, Body: e.Body, Group: e.Group, Dedup: e.Dedup, Attributes: map[string]string{}}
		for name, a := range e.MessageAttributes {
			m.Attributes[name] = a.StringValue
		}
		batch = append(batch, m)
	}
	return batch, nil
}

func snsBatch(r *http.Request) (batch []Message, err error) {
	if err := r.ParseForm(); err != nil || r.PostForm.Get("Action") != "PublishBatch" {
		return nil, fmt.Errorf("not a PublishBatch: %v", err)
	}
	for i := 1; ; i++ {
		at := fmt.Sprintf("PublishBatchRequestEntries.member.%d.", i)
		if !r.PostForm.Has(at + "Id") {
			return batch, nil
		}
		get := func(name string) string { return r.PostForm.Get(at + name) }
		m := Message{ID: get("Id"), Body: get("Message"), Subject: get("Subject"), Group: get("MessageGroupId"),
			Dedup: get("MessageDeduplicationId"), Attributes: map[string]string{}}
		for j := 1; get(fmt.Sprintf("MessageAttributes.entry.%d.Name", j)) != ""; j++ {
			a := fmt.Sprintf("MessageAttributes.entry.%d.", j)
			m.Attributes[get(a+"Name")] = get(a + "Value.StringValue")
		}
		batch = append(batch, m)
	}
}

var fifoID = regexp.MustCompile("^[a-zA-Z0-9!\"#$%&'()*+,./:;<=>?@\\[\\\\\\]^_`{|}~-]{1,128}$")

// limits returns an error if a request breaks what AWS documents.
func limits(batch []Message) error {
	size, ids := 0, map[string]bool{}
	for _, m := range batch {
		size += len(m.Body)
		for name, value := range m.Attributes {
			size += len(name) + len("String") + len(value)
			if value == "" {
				return fmt.Errorf("attribute %q is empty", name)
			}
		}
		switch {
		case ids[m.ID]:
			return fmt.Errorf("id %q is there twice", m.ID)
		case m.Body == "" || len(m.Attributes) > 10:
			return fmt.Errorf("a message of %d bytes with %d attributes", len(m.Body), len(m.Attributes))
		case len(m.Subject) > 100 || strings.ContainsFunc(m.Subject, func(r rune) bool { return r < ' ' || r > '~' }):
			return fmt.Errorf("the subject %q", m.Subject)
		case m.Group != "" && (!fifoID.MatchString(m.Group) || !fifoID.MatchString(m.Dedup)):
			return fmt.Errorf("the ids %q and %q", m.Group, m.Dedup)
		}
		ids[m.ID] = true
	}
	if len(batch) < 1 || len(batch) > 10 || size > 256<<10 {
		return fmt.Errorf("%d messages with %d bytes", len(batch), size)
	}
	return nil
}
