package stream

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// This file makes the calls of the simulation: small CloudTrail events of few keys and
// principals, so that windows have more than one call.

// simCall is one call; its copies show different parts of it.
type simCall struct {
	id          string
	at          int64
	op, code    string
	key, second string // ARNs; "" for a key that is not shown
	alias       string // by which the caller names the key
	role        int
	more        string // further members of the record
}

// copyKind is the kind of a copy: whose account recorded it.
type copyKind int

const (
	plainCopy    copyKind = iota // the only record
	callerCopy                   // of a call on another account's key
	ownerCopy                    // the same in that account: it shows only the caller's account
	addendumCopy                 // a later correction, with the wrong caller
	secondCopy                   // of a ReEncrypt, in the account that owns the second key
)

const (
	here  = "111122223333" // the callers' account
	there = "444455556666" // owns keys that they use
	third = "777788889999" // owns second keys of ReEncrypts
)

// trailChange is an operation that is not of KMS, and that no rule judges.
const trailChange = "StartLogging"

func keyHere(n int) string  { return fmt.Sprintf("arn:aws:kms:eu-central-1:%s:key/k%d", here, n) }
func keyThere(n int) string { return fmt.Sprintf("arn:aws:kms:eu-central-1:%s:key/f%d", there, n) }

// id returns a new call id. Half of the ids are UUIDs.
func (l *simLoad) id() string {
	l.made++
	if l.s.rng.IntN(2) == 0 {
		return fmt.Sprintf("%08x-0000-4000-8000-%012d", l.s.rng.Uint32(), l.made)
	}
	return fmt.Sprintf("call-%x-%d", l.s.rng.Uint32(), l.made)
}

// call makes a call at about that time and its copies, in order of delivery.
func (l *simLoad) call(at int64) []simItem {
	rng, few := l.s.rng, l.s.most(4, 2)
	c := simCall{id: l.id(), at: at, key: keyHere(rng.IntN(few)), role: rng.IntN(few)}
	if !l.s.live && !l.s.wild && !l.s.orderly { // the partition, and so its late mark, is known only now
		p := l.item(l.json(c, plainCopy)).partition
		c.at = max(c.at, l.floor(p))
	}
	c.op = [...]string{"Decrypt", "Decrypt", "Encrypt", "GenerateDataKey", "DescribeKey", "DisableKey", "", ""}[rng.IntN(8)]
	if c.op == "" {
		c.op = lifeChanges[rng.IntN(len(lifeChanges))]
		c.more = lifeOf(c.op, rng.IntN(few))
	}
	c.code = [...]string{"", "", "", "", "AccessDenied", "ThrottlingException"}[rng.IntN(6)]
	kinds := []copyKind{plainCopy}
	switch l.kinds[rng.IntN(len(l.kinds))] {
	case 0:
		c.op, c.second = "ReEncrypt", keyHere(rng.IntN(few+1))
	case 5:
		c.op, c.key = trailChange, ""
	case 1, 4:
		c.alias = fmt.Sprintf("alias/a%d", rng.IntN(few/2))
		if rng.IntN(2) == 0 {
			c.key = ""
		}
	case 2, 3:
		c.key, kinds = keyThere(rng.IntN(2)), []copyKind{callerCopy, ownerCopy}
	case 6:
		c.op, c.key, c.code = "ReEncrypt", keyThere(rng.IntN(2)), ""
		c.second = fmt.Sprintf("arn:aws:kms:eu-central-1:%s:key/t%d", third, rng.IntN(2))
		kinds = [...][]copyKind{{ownerCopy, secondCopy}, {callerCopy, ownerCopy, secondCopy}, {callerCopy, secondCopy}}[rng.IntN(3)]
	}
	if rng.IntN(8) == 0 {
		kinds = append(kinds, addendumCopy)
	}
	var list []simItem
	for _, kind := range kinds {
		it := l.item(l.json(l.shown(c, kind), kind), kind)
		if kind == callerCopy && len(l.withheld) < 8 && rng.IntN(3) == 0 {
			l.withheld = append(l.withheld, it) // arrives late, or never
			continue
		}
		for range 1 + rng.IntN(3)/len(kinds) {
			list = append(list, it)
		}
	}
	l.last = max(l.last, l.end(c.at))
	rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

// shown returns the keys that one copy shows. For a ReEncrypt over keys of two owners,
// each owner's record shows its own key only, and the others show both, either or none.
func (l *simLoad) shown(c simCall, kind copyKind) simCall {
	if !strings.Contains(c.second, third) {
		return c
	}
	switch kind {
	case ownerCopy:
		c.second = ""
	case secondCopy:
		c.key, c.second = c.second, ""
	default:
		some := l.s.rng.IntN(4)
		if some&1 == 0 {
			c.key = ""
		}
		if some&2 == 0 {
			c.second = ""
		}
	}
	return c
}

// json is one copy of the call in CloudTrail's form.
func (l *simLoad) json(c simCall, kind copyKind) []byte {
	b := make([]byte, 0, 700)
	put := func(parts ...string) {
		for _, p := range parts {
			b = append(b, p...)
		}
	}
	role := fmt.Sprintf("role/r%d", c.role)
	if kind == addendumCopy {
		role = "role/wrong"
	}
	put(`{"eventVersion":"1.11","userIdentity":{`)
	if kind == ownerCopy || kind == secondCopy {
		put(`"type":"AWSAccount","accountId":"`, here, `"}`)
	} else {
		put(`"type":"AssumedRole","accountId":"`, here, `","sessionContext":{"sessionIssuer":{"arn":"arn:aws:iam::`, here, `:`, role, `"}}}`)
	}
	service := "kms"
	if c.op == trailChange {
		service = "cloudtrail"
	}
	put(`,"eventTime":"`, time.Unix(0, c.at).UTC().Format(time.RFC3339), `","eventSource":"`, service, `.amazonaws.com","eventName":"`, c.op, `","awsRegion":"eu-central-1"`)
	if c.code != "" {
		put(`,"errorCode":"`, c.code, `"`)
	}
	if c.alias != "" && c.more == "" {
		put(`,"requestParameters":{"keyId":"`, c.alias, `"}`)
	}
	var listed []string
	for _, arn := range slices.Compact([]string{c.key, c.second}) {
		if arn != "" {
			listed = append(listed, `{"ARN":"`+arn+`"}`)
		}
	}
	put(`,"resources":[`)
	for i, one := range listed {
		put([...]string{"", ","}[min(i, 1)], one)
	}
	put(`]`, c.more, ids(c, kind), `}`)
	return b
}

// ids returns the fields that identify the call and its copy.
func ids(c simCall, kind copyKind) string {
	const recipient = `,"recipientAccountId":"`
	shared := `,"sharedEventID":"` + c.id + `"`
	switch kind {
	case callerCopy:
		return `,"eventID":"c` + c.id + `"` + recipient + here + `"` + shared
	case ownerCopy:
		return `,"eventID":"o` + c.id + `"` + recipient + there + `"` + shared
	case secondCopy:
		return `,"eventID":"s` + c.id + `"` + recipient + third + `"` + shared
	case addendumCopy:
		return `,"eventID":"a` + c.id + `"` + recipient + here + `","addendum":{"originalEventID":"` + c.id + `"}`
	}
	return `,"eventID":"` + c.id + `"` + recipient + here + `"`
}
