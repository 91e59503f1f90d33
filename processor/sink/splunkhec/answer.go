package splunkhec

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"keytrail/processor/sink"
	"keytrail/processor/sink/httpsink"
)

// action is what a code means for the events of a request.
type action uint8

const (
	actTake    action = iota + 1 // they are accepted
	actRetry                     // they are sent again
	actPause                     // nothing is sent until somebody corrects code.cause
	actHalve                     // one of them is at fault: it is found and dead-lettered
	actHealthy                   // an answer of the health endpoint only
)

// code is one code of HEC.
type code struct {
	text   string // as Splunk words it
	action action
	cause  sink.Cause // of actPause
	hint   string     // for the operator
}

// Codes that other code names.
const (
	codeHealthy   = 17
	codeQueueNear = 24
	codeAckNear   = 25
)

// codes are all codes, by number (Splunk documentation, "Troubleshoot HTTP Event Collector";
// 24 to 27 since Splunk 9.x).
//
// Code 7 pauses the sink even if it names an event: all events of a sink have the index of
// its configuration. So does code 5: the sink never sends an empty request.
var codes = [...]code{
	0:  {"Success", actTake, "", ""},
	1:  {"Token disabled", actPause, sink.CauseCredentials, "enable the token in Splunk"},
	2:  {"Token is required", actPause, sink.CauseCredentials, "a proxy may remove the header Authorization"},
	3:  {"Invalid authorization", actPause, sink.CauseCredentials, "check token"},
	4:  {"Invalid token", actPause, sink.CauseCredentials, "check token"},
	5:  {"No data", actPause, sink.CauseProtocol, "check proxies on the way, or set compression: none"},
	6:  {"Invalid data format", actHalve, "", ""},
	7:  {"Incorrect index", actPause, sink.CauseAddress, "create the index, allow it for the token, or correct index"},
	8:  {"Internal server error", actRetry, "", ""},
	9:  {"Server is busy", actRetry, "", ""},
	10: {"Data channel is missing", actPause, sink.CauseProtocol, "the token wants acknowledgements: set ack: require"},
	11: {"Invalid data channel", actPause, sink.CauseProtocol, "a proxy may change the header X-Splunk-Request-Channel"},
	12: {"Event field is required", actHalve, "", ""},
	13: {"Event field cannot be blank", actHalve, "", ""},
	14: {"ACK is disabled", actPause, sink.CauseProtocol, "turn on acknowledgement for the token, or set ack: off"},
	15: {"Error in handling indexed fields", actHalve, "", ""},
	16: {"Query string authorization is not enabled", actPause, sink.CauseCredentials, "a proxy may change the request"},
	17: {"HEC is healthy", actHealthy, "", ""},
	18: {"HEC is unhealthy, queues are full", actRetry, "", ""},
	19: {"HEC is unhealthy, ack service unavailable", actRetry, "", ""},
	20: {"HEC is unhealthy, queues are full, ack service unavailable", actRetry, "", ""},
	21: {"Invalid token", actPause, sink.CauseCredentials, "check token"},
	22: {"Token disabled", actPause, sink.CauseCredentials, "enable the token in Splunk"},
	23: {"Server is shutting down", actRetry, "", ""},
	24: {"Queue is approaching capacity", actTake, "", ""},
	25: {"ACK is approaching capacity", actTake, "", ""},
	26: {"Queue is at capacity", actRetry, "", ""},
	27: {"ACK channel is at capacity", actRetry, "", ""},
}

// answer is the body of an answer, of any endpoint.
type answer struct {
	Text  string          `json:"text"`
	Code  *int            `json:"code"`
	AckID *uint64         `json:"ackId"`
	Acks  map[string]bool `json:"acks"`

	code int // *Code, -1 for none
}

// parse returns the body of an answer, and reports whether it is one of HEC.
func parse(a *httpsink.Answer) (said answer, ok bool) {
	said.code = -1
	if !a.Whole || json.Unmarshal(a.Body, &said) != nil || said.Code == nil && said.Acks == nil {
		return answer{code: -1}, false
	}
	if said.Code != nil {
		said.code = *said.Code
	}
	return said, true
}

// judge returns the answer to events, or to a question for acknowledgements, or an error of
// package sink. The code goes before the status, except that only a 2xx is a success.
func (s *Sink) judge(a *httpsink.Answer, acks bool) (answer, error) {
	said, ok := parse(a)
	words := httpsink.Clean(string(a.Body))
	if words == "" {
		words = "no reason given"
	}
	if said.code >= 0 && said.code < len(codes) {
		c := &codes[said.code]
		err := fmt.Errorf("status %d, code %d (%s): %s", a.Status, said.code, c.text, words)
		after := httpsink.RetryAfter(a.Header, time.Now())
		switch {
		case c.action == actTake && a.OK() && !acks:
			return said, nil
		case c.action == actRetry:
			return said, &sink.Throttled{After: after, Err: err}
		case c.action == actPause:
			if c.cause == sink.CauseCredentials {
				s.forget(a)
			}
			return said, &sink.Paused{Cause: c.cause, After: after, Err: fmt.Errorf("%w; %s", err, c.hint)}
		case c.action == actHalve && !a.OK():
			return said, &sink.Rejected{Reason: sink.ReasonInvalid, Split: true, Err: err}
		}
	}
	switch {
	case a.Status == http.StatusUnauthorized, a.Status == http.StatusForbidden:
		s.forget(a)
		return said, a.Verdict(words)
	case !a.OK():
		return said, a.Verdict(words)
	case ok && acks && said.Acks != nil:
		return said, nil
	}
	return said, httpsink.NotProtocol("status %d with %d bytes of %q, which is not an answer of HEC: %s",
		a.Status, len(a.Body), httpsink.Clean(a.Media()), words)
}

// forget has the credentials read again for the next request.
func (s *Sink) forget(a *httpsink.Answer) {
	s.c.Token.Forget()
	a.Forget()
}

// noAck is an acknowledgement that no request has: the answer to a question about it uses up
// none. JSON numbers up to it are exact everywhere.
const noAck = 1<<53 - 1

// begin waits until the receiver is able to take events. After a success it does nothing
// until Deliver fails.
func (s *Sink) begin(ctx context.Context, channel string) error {
	if err := ctx.Err(); err != nil || s.ready.Load() {
		return err
	}
	if err := s.healthy(ctx, channel); err != nil {
		return err
	}
	if channel != "" {
		// Splunk refuses the question if the token has no acknowledgements. This costs no
		// event, while an answer without an ackId costs a copy of all events of a request.
		if _, err := s.ask(ctx, channel, []uint64{noAck}, ""); err != nil {
			return err
		}
	}
	s.ready.Store(true)
	return nil
}

// healthy returns an error if the receiver says that it takes nothing. Every answer that is
// not one of HEC passes: some receivers have no such endpoint.
func (s *Sink) healthy(ctx context.Context, channel string) error {
	a, err := s.do(ctx, channel, httpsink.Request{Method: http.MethodGet, Path: healthPath}, "")
	if err != nil {
		return err
	}
	said, ok := parse(a)
	if !ok || said.code == codeHealthy {
		return nil
	}
	_, err = s.judge(a, false)
	var refused *sink.Rejected
	if errors.As(err, &refused) {
		return nil
	}
	return err
}
