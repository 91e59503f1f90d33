package family

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"iter"
	"math/rand/v2"
	"strings"
	"time"
)

// Event is one CloudTrail record.
type Event struct {
	Time, Delivered time.Time // of the call, and of the file that contains it
	JSON            []byte
}

// Events yields the trail's records in order of event time. Files come 2 to 10 minutes
// late, on multiples of a minute. Every call of Events begins again.
func (t *Trail) Events() iter.Seq[Event] {
	return func(yield func(Event) bool) {
		r := recorder{rand: rand.New(rand.NewPCG(t.Seed, 77))}
		for _, c := range t.calls {
			if t.muted(c) {
				continue
			}
			late := 3*time.Minute + time.Duration(r.rand.IntN(480))*time.Second
			delivered := c.At.Add(late).Truncate(time.Minute)
			id, accounts := uuid(r.rand), c.recipients()
			for _, account := range accounts {
				event := id
				if len(accounts) > 1 {
					event = uuid(r.rand)
				}
				if !yield(Event{c.At, delivered, r.append(c, account, id, event, len(accounts) > 1)}) {
					return
				}
			}
		}
	}
}

func (t *Trail) muted(c *Call) bool {
	for _, m := range t.mutes {
		if at := c.At.Unix(); c.Key == m.key && at >= m.from && at < m.to {
			return true
		}
	}
	return false
}

// recipients returns the accounts that record a call: the caller's, and the key owner's if
// that is another one and the call succeeded. Stranger has no trail.
func (c *Call) recipients() []string {
	caller := c.Who.Account
	if c.Key == nil || c.Key.Account == caller || c.Key.Account == Stranger || c.Error != "" {
		if caller == Stranger {
			return nil
		}
		return []string{caller}
	}
	if caller == Stranger {
		return []string{c.Key.Account}
	}
	return []string{caller, c.Key.Account}
}

// recorder writes records.
type recorder struct{ rand *rand.Rand }

func (r *recorder) append(c *Call, recipient, call, event string, shared bool) []byte {
	b := make([]byte, 0, 1400)
	p := func(format string, args ...any) { b = fmt.Appendf(b, format, args...) }
	region, ip, agent := "us-east-1", c.IP, c.Agent
	if c.Key != nil {
		region = c.Key.Region
	}
	if ip == "" {
		ip = c.Who.IP
	}
	if agent == "" {
		agent = c.Who.Agent
	}
	if c.Who.Kind == Service {
		ip, agent = c.Who.Name, c.Who.Name
	}
	p(`{"eventVersion":"1.11","userIdentity":%s,"eventTime":"%s","eventSource":"kms.amazonaws.com","eventName":"%s",`+
		`"awsRegion":"%s","sourceIPAddress":"%s","userAgent":"%s",`,
		c.identity(recipient), c.At.UTC().Format(time.RFC3339), c.Op, region, ip, agent)
	if c.Error != "" {
		p(`"errorCode":"%s","errorMessage":"The call failed.",`, c.Error)
	}
	p(`"requestParameters":{%s},"responseElements":null,"requestID":"%s","eventID":"%s","readOnly":%t,`,
		c.parameters(), uuid(r.rand), event, readOnly(c.Op))
	if c.Key != nil {
		p(`"resources":[{"accountId":"%s","type":"AWS::KMS::Key","ARN":"%s"}],`, c.Key.Account, c.Key.ARN)
	}
	if shared || c.Who.Account == Stranger {
		p(`"sharedEventID":"%s",`, call)
	}
	p(`"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"%s","eventCategory":"Management"}`, recipient)
	return b
}

func (c *Call) identity(recipient string) string {
	w := c.Who
	switch {
	case w.Kind == Service:
		return `{"type":"AWSService","invokedBy":"` + w.Name + `"}`
	case recipient != w.Account:
		return fmt.Sprintf(`{"type":"AWSAccount","principalId":"AROA%s:%s","accountId":"%s"}`,
			w.id, w.Session, w.Account)
	case w.Kind == User:
		return fmt.Sprintf(`{"type":"IAMUser","principalId":"AIDA%s","arn":"%s","accountId":"%s",`+
			`"accessKeyId":"AKIA%s","userName":"%s"}`, w.id, w.arn, w.Account, w.id, w.Name)
	}
	return fmt.Sprintf(`{"type":"AssumedRole","principalId":"AROA%[1]s:%[2]s",`+
		`"arn":"arn:aws:sts::%[3]s:assumed-role/%[4]s/%[2]s","accountId":"%[3]s","accessKeyId":"ASIA%[1]s",`+
		`"sessionContext":{"sessionIssuer":{"type":"Role","principalId":"AROA%[1]s","arn":"%[5]s","accountId":"%[3]s",`+
		`"userName":"%[4]s"},"attributes":{"mfaAuthenticated":"false"}}}`, w.id, w.Session, w.Account, w.Name, w.arn)
}

func (c *Call) parameters() string {
	var parts []string
	if c.Key != nil {
		id := c.Key.ARN
		if c.Key.Account == c.Who.Account {
			id = c.Key.ID
		}
		parts = append(parts, fmt.Sprintf(`"keyId":"%s"`, id))
		if c.Key.Context != "" && c.Object >= 0 && uses(c.Op) {
			parts = append(parts, fmt.Sprintf(`"encryptionContext":{"%s":"%s%d"}`, c.Key.Context, c.Key.Prefix, c.Object))
		}
	}
	if c.Extra != "" {
		parts = append(parts, c.Extra)
	}
	return strings.Join(parts, ",")
}

// uses reports whether an operation uses key material on data.
func uses(op string) bool {
	return strings.HasPrefix(op, "Generate") || strings.HasPrefix(op, "Decrypt") || strings.HasPrefix(op, "Encrypt")
}

func readOnly(op string) bool {
	for _, verb := range []string{"Decrypt", "Encrypt", "Generate", "Describe", "List", "Get", "Sign", "Verify"} {
		if strings.HasPrefix(op, verb) {
			return true
		}
	}
	return false
}

func hash(s string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(s))
	return h.Sum64()
}

func uuid(r *rand.Rand) string {
	a, b := r.Uint64(), r.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", a>>32, a>>16&0xffff, a&0xfff,
		0x8000|b>>48&0x3fff, b&0xffffffffffff)
}

// Text writes a value as a JSON string, for Call.Extra.
func Text(s string) string {
	b, _ := json.Marshal(s) // a string always has a JSON form
	return string(b)
}
