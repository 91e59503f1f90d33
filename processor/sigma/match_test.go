package sigma

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"go.yaml.in/yaml/v3"
)

// loadText loads the rules of one file.
func loadText(t testing.TB, text string) *Rules {
	t.Helper()
	var l Loader
	l.File("rules.yml", []byte(text))
	rules, problems := l.Rules()
	if len(problems) > 0 {
		t.Fatalf("%s\nhas problems: %v", text, problems)
	}
	return rules
}

// head is the text above a detection in these tests.
const head = "title: a rule\nlogsource: {product: aws, service: cloudtrail}\ndetection:\n"

// rule returns a rule with the given detection, indented by two.
func rule(detection string) string {
	return head + "  " + strings.ReplaceAll(strings.TrimSpace(detection), "\n", "\n  ") + "\n"
}

// matches reports whether a text's only rule matches an event, and compares the Matcher
// with the reference.
func matches(t testing.TB, text, event string) bool {
	t.Helper()
	m := loadText(t, text).NewMatcher()
	var got bool
	for range 2 { // the second time with reused memory
		r, err := m.Match([]byte(event))
		if err != nil {
			t.Fatalf("%s: %v", event, err)
		}
		got = len(r.Hits) == 1
	}
	var node yaml.Node
	if err := yaml.Unmarshal([]byte(text), &node); err != nil {
		t.Fatal(err)
	}
	v, err := decodeJSON([]byte(event))
	if err != nil {
		t.Fatal(err)
	}
	if want := refRule(node.Content[0], v); got != want {
		t.Errorf("%s\nwith %s gives %v, and by the reference %v", text, event, got, want)
	}
	return got
}

// call is the tests' event.
const call = `{"eventVersion":"1.09","userIdentity":{"type":"AssumedRole","arn":"arn:aws:sts::111122223333:assumed-role/App/session-7","accountId":"111122223333",
 "sessionContext":{"attributes":{"mfaAuthenticated":"false"}}},"eventSource":"kms.amazonaws.com","eventName":"Decrypt","sourceIPAddress":"203.0.113.9",
 "userAgent":"aws-cli/2.15 Python","errorCode":null,"readOnly":true,"requestParameters":{"keyId":"alias/app","policy":"{\"Principal\":\"*\"}","limit":100,"ratio":2.50,
 "path":"C:\\Windows\\sys*tem?","owner":"App","empty":"","none":[],"text":"line one\nline two","umlaut":"GRÖSSE"},
 "resources":[{"ARN":"arn:aws:kms:eu-west-1:111122223333:key/1","accountId":"111122223333"},{"ARN":"arn:aws:kms:eu-west-1:444455556666:key/2","tags":["red","Green"]}],
 "addresses":["AWS Internal","10.1.2.3","2001:db8::5","::ffff:192.0.2.1"],"big":9007199254740993,"nested":[[1,[2,"three"]],{"x":null}]}`

// asks returns a function that checks whether a line of a selection matches the call.
func asks(t *testing.T) func(want bool, line string) {
	return func(want bool, line string) {
		t.Helper()
		if got := matches(t, rule("s:\n  "+line+"\ncondition: s"), call); got != want {
			t.Errorf("%s: %v, want %v", line, got, want)
		}
	}
}

func TestTexts(t *testing.T) {
	f := asks(t)
	// plain values: whole, and whatever their case
	f(true, "eventName: Decrypt")
	f(true, "eventName: dEcRyPt")
	f(false, "eventName: Decryp")
	f(false, "eventname: Decrypt") // field names are case-sensitive
	f(true, "eventName: [Encrypt, Decrypt]")
	f(false, "eventName: [Encrypt, ReEncrypt]")
	f(true, "userIdentity.type: assumedrole")
	f(true, "requestParameters.umlaut: grösse")
	f(false, "requestParameters.umlaut: gross")
	f(true, "requestParameters.empty: ''")
	f(false, "requestParameters.missing: ''")
	f(true, "requestParameters.none: null")
	// wildcards and their escapes
	f(true, "eventName: De*t")
	f(true, "eventName: '*'")
	f(true, "eventName: D?cryp?")
	f(false, "eventName: D?crypt?")
	f(true, "eventName: '*c?y*'")
	f(true, "eventName: '?*?'")
	f(false, "eventName: '*x*'")
	f(true, "requestParameters.umlaut: 'GR?SSE'")
	f(true, `requestParameters.path: 'C:\Windows\sys\*tem\?'`)
	f(true, `requestParameters.path: 'C:\\Windows\\sys\*tem\?'`)
	f(false, `requestParameters.path: 'C:\Windows\sys\?tem\?'`)
	f(true, `requestParameters.path: 'C:\Win*\\sys*'`)
	f(true, `requestParameters.path: 'C:\\*tem?'`)
	f(false, `requestParameters.path: 'C:\*tem?'`) // a literal asterisk
	f(true, "requestParameters.text: 'line*two'")
	f(false, "requestParameters.missing: '*'")
	// contains, startswith, endswith, all, cased
	f(true, "userAgent|contains: PYTHON")
	f(true, "userAgent|contains: 'cli/?.1'")
	f(true, "userAgent|startswith: AWS-")
	f(false, "userAgent|startswith: cli")
	f(true, "userAgent|endswith: [boto, thon]")
	f(true, "userAgent|contains|all: [python, aws]")
	f(true, "userAgent|all|contains: [python, aws]")
	f(false, "userAgent|contains|all: [python, boto]")
	f(true, "userAgent|contains|cased: Python")
	f(false, "userAgent|contains|cased: python")
	f(true, "eventName|cased: Decrypt")
	f(false, "eventName|cased: [decrypt, DECRYPT]")
	f(true, "userAgent|contains: '*'")
	f(false, "errorCode|contains: '*'")
	f(true, "requestParameters.empty|contains: ''")
}

func TestOtherValues(t *testing.T) {
	f := asks(t)
	// null and exists
	f(true, "errorCode: null")
	f(true, "errorMessage: null")
	f(false, "eventName: null")
	f(false, "requestParameters: null")
	f(true, "nested.x: null")
	f(true, "errorCode|exists: true")
	f(false, "errorMessage|exists: true")
	f(true, "errorMessage|exists: false")
	f(true, "requestParameters.none|exists: true")
	f(true, "requestParameters|exists: true")
	f(false, "eventName.below|exists: true")
	// numbers and booleans
	f(true, "requestParameters.limit: 100")
	f(true, "requestParameters.limit: 100.0")
	f(true, "requestParameters.limit: '100'")
	f(false, "requestParameters.limit: '100.0'")
	f(true, "requestParameters.ratio: 2.5")
	f(true, "userIdentity.accountId: 111122223333") // a string in the event
	f(false, "big: 9007199254740992")               // the next representable floating-point number
	f(true, "big: 9007199254740993")
	f(true, "readOnly: true")
	f(true, "readOnly: 'TRUE'")
	f(true, "userIdentity.sessionContext.attributes.mfaAuthenticated: false") // a string in the event
	f(false, "readOnly: false")
	f(false, "readOnly: 1")
	f(true, "requestParameters.limit|contains: 10")
	f(true, "requestParameters.limit|gt: 99")
	f(false, "requestParameters.limit|gt: 100")
	f(true, "requestParameters.limit|gte: 100")
	f(true, "requestParameters.limit|lt: 100.5")
	f(false, "requestParameters.limit|lt: 100")
	f(true, "requestParameters.limit|lte: 1e2")
	f(true, "userIdentity.accountId|gt: 1")
	f(false, "eventName|gt: 1")
	f(true, "requestParameters.limit|gt: [1000, 10]")
}

func TestModifiers(t *testing.T) {
	f := asks(t)
	// neq: not, for all values
	f(true, "eventName|neq: Encrypt")
	f(false, "eventName|neq: decrypt")
	f(false, "eventName|neq: [Encrypt, Decrypt]")
	f(true, "errorMessage|neq: AccessDenied")
	f(false, "userAgent|contains|neq: python")
	f(true, "requestParameters.limit|neq: 99")
	// re
	f(true, "userIdentity.arn|re: 'assumed-role/[A-Z]pp/session-\\d+$'")
	f(false, "userIdentity.arn|re: 'ASSUMED'")
	f(true, "userIdentity.arn|re|i: 'ASSUMED'")
	f(false, "requestParameters.text|re: '^line two$'")
	f(true, "requestParameters.text|re|m: '^line two$'")
	f(false, "requestParameters.text|re: 'one.line'")
	f(true, "requestParameters.text|re|s: 'one.line'")
	f(true, "requestParameters.text|re|i|s: 'ONE.line'")
	f(true, "userAgent|re|all: ['^aws', 'thon$']")
	f(true, "userAgent|re|i: 'x|PYTHON'")
	// cidr
	f(true, "sourceIPAddress|cidr: 203.0.113.0/24")
	f(false, "sourceIPAddress|cidr: 203.0.112.0/24")
	f(true, "sourceIPAddress|cidr: [10.0.0.0/8, 203.0.113.9]")
	f(true, "addresses|cidr: 2001:db8::/32")
	f(true, "addresses|cidr: 192.0.2.0/24") // in IPv6 form
	f(false, "addresses|cidr: 172.16.0.0/12")
	f(false, "userAgent|cidr: 0.0.0.0/0")
	f(true, "sourceIPAddress|cidr|neq: 10.0.0.0/8")
	// fieldref
	f(true, "userIdentity.accountId|fieldref: resources.accountId")
	f(false, "userIdentity.arn|fieldref: requestParameters.owner")
	f(true, "userIdentity.arn|fieldref|contains: requestParameters.owner")
	f(true, "userIdentity.arn|fieldref|startswith: requestParameters.empty")
	f(false, "userIdentity.arn|fieldref|endswith: requestParameters.owner")
	f(true, "userIdentity.arn|fieldref|neq: requestParameters.owner")
	f(false, "eventName|fieldref: requestParameters.missing")
	f(false, "errorCode|fieldref: requestParameters.missing") // two missing fields are not equal
}

func TestListsAndObjects(t *testing.T) {
	f := asks(t)
	// lists of the event: any item
	f(true, "resources.ARN|endswith: key/2")
	f(true, "resources.tags: green")
	f(true, "resources.ARN|endswith|all: [key/1, key/2]")
	f(false, "resources.ARN|endswith: key/3")
	f(true, "nested: three")
	f(true, "nested|contains: '\"x\":null'")
	f(false, "requestParameters.none|contains: '*'")
	// objects as text: without white space, escapes in strings resolved
	f(true, `requestParameters|contains: '"keyId":"alias/app"'`)
	f(true, `requestParameters|contains: '{"Principal":"\*"}'`)
	f(true, `requestParameters|contains: '"limit":100,"ratio":2.50'`)
	f(true, `userIdentity|contains: '"sessionContext":{"attributes":{"mfaAuthenticated":"false"}}'`)
	f(true, `resources: '{"ARN":*key/2","tags":["red","Green"]}'`)
	f(true, "requestParameters: '{*}'")
	f(false, "requestParameters|cidr: 0.0.0.0/0")
}

// TestSelections checks the forms of selections.
func TestSelections(t *testing.T) {
	f := func(want bool, detection string) {
		t.Helper()
		if got := matches(t, rule(detection), call); got != want {
			t.Errorf("%s: %v, want %v", detection, got, want)
		}
	}
	f(true, "s:\n  eventName: Decrypt\n  readOnly: true\ncondition: s") // a map: all
	f(false, "s:\n  eventName: Decrypt\n  readOnly: false\ncondition: s")
	f(true, "s:\n  - eventName: Encrypt\n  - readOnly: true\ncondition: s") // a list: any
	f(false, "s:\n  - eventName: Encrypt\n    readOnly: true\n  - readOnly: false\ncondition: s")
	// keywords: anywhere in any value
	f(true, "s: [nothing, WINDOWS]\ncondition: s")
	f(true, "s: cli/2\ncondition: s")
	f(false, "s: [keyId, nothing]\ncondition: s") // a name
	f(true, "s: [100]\ncondition: s")
	f(true, "s: ['li?e*TWO']\ncondition: s")
	f(true, "s:\n  '|all': [cli, session-7]\ncondition: s")
	f(false, "s:\n  '|all': [cli, nothing]\ncondition: s")
	f(true, "s:\n  '|re': ['sess[i]on-\\d']\ncondition: s")
	f(false, "s:\n  '|contains|cased': [windows]\ncondition: s")
	f(true, "s:\n  - nothing\n  - eventName: Decrypt\ncondition: s")
	f(true, "s:\n  '|contains': [three]\n  eventName: Decrypt\ncondition: s")
}

// TestConditions checks the forms of conditions, over selections of which yes and yes2
// match and no and _no do not.
func TestConditions(t *testing.T) {
	f := func(want bool, condition string) {
		t.Helper()
		names, used := []string{"yes", "no", "yes2", "_no"}, ""
		for _, name := range names { // all must be used
			used += " or (" + name + " and not " + name + ")"
		}
		text := "yes: {eventName: Decrypt}\nyes2: {readOnly: true}\nno: {eventName: Encrypt}\n_no: {eventName: Sign}\ncondition: "
		if strings.HasPrefix(condition, "[") {
			text += condition[:len(condition)-1] + ", '" + strings.TrimPrefix(used, " or ") + "']"
		} else {
			text += "(" + condition + ")" + used
		}
		if got := matches(t, rule(text), call); got != want {
			t.Errorf("%s: %v, want %v", condition, got, want)
		}
	}
	f(true, "yes")
	f(false, "no")
	f(true, "not no")
	f(false, "not not no")
	f(true, "yes and yes2")
	f(false, "yes and no")
	f(true, "no or yes")
	f(true, "yes or no and no") // and binds more
	f(false, "(yes or no) and no")
	f(true, "not no and yes") // not binds more
	f(false, "not (no or yes)")
	f(true, "yes and not no or no")
	f(true, "1 of yes*")
	f(true, "all of yes*")
	f(true, "1 of them")
	f(true, "any of them")
	f(false, "all of them")
	f(false, "1 of *o")
	f(true, "not 1 of n*")
	f(true, "all of y*s*")
	f(true, "1 of yes2")
	f(true, "yes AND NOT no")
	f(true, "((((yes))))")
	f(true, "[no, yes]")
	f(false, "[no, not yes]")
}

// TestIndex checks that a rule without an index entry is judged all the same.
func TestIndex(t *testing.T) {
	f := func(want bool, detection, event string) {
		t.Helper()
		if got := matches(t, rule(detection), event); got != want {
			t.Errorf("%s with %s: %v, want %v", detection, event, got, want)
		}
	}
	name := "s: {eventName: [A, B]}\ncondition: s"
	f(true, name, `{"eventName":"a"}`)
	f(true, name, `{"eventName":["x","b"]}`)
	f(false, name, `{"eventName":{"A":"B"}}`)
	f(false, name, `{}`)
	f(true, "s: {eventName: '5'}\ncondition: s", `{"eventName":5}`)
	f(true, "s: {eventName: 5}\ncondition: s", `{"eventName":5.0}`)
	f(true, "s: {eventName: A}\ncondition: not s", `{"eventName":"B"}`)
	f(true, "s: {eventName: A}\nt: {eventName: B}\ncondition: s or not t", `{"eventName":"C"}`)
	f(true, "s: {eventName|startswith: A}\ncondition: s", `{"eventName":"Abc"}`)
	f(true, "s: {eventName|cased: A}\ncondition: s", `{"eventName":"A"}`)
	f(false, "s: {eventName|cased: A}\ncondition: s", `{"eventName":"a"}`)
	f(true, "s:\n  - eventName: A\n  - eventSource: B\ncondition: s", `{"eventName":"x","eventSource":"b"}`)
	f(true, "s:\n  eventName|all: [a, b]\ncondition: s", `{"eventName":["b","a"]}`)
}

// TestManyRules matches among many rules, in their order.
func TestManyRules(t *testing.T) {
	var text strings.Builder
	for i := range 200 {
		fmt.Fprintf(&text, "---\ntitle: rule %d\nlogsource: {product: aws}\ndetection: {s: {eventName: [Op%d, Op%d]}, condition: s}\n", i, i, i+1)
	}
	rules := loadText(t, text.String())
	m := rules.NewMatcher()
	for i := range 200 {
		r, err := m.Match(fmt.Appendf(nil, `{"eventName":"op%d"}`, i))
		if want := min(i+1, 2); err != nil || len(r.Hits) != want || r.Hits[want-1].Title != fmt.Sprintf("rule %d", i) {
			t.Errorf("Op%d gives %v, %v", i, r.Hits, err)
		}
		if !m.Wants("", fmt.Sprintf("OP%d", i)) {
			t.Errorf("Op%d is not wanted", i)
		}
	}
	if m.Wants("kms.amazonaws.com", "Op500") {
		t.Error("an operation of no rule is wanted")
	}
}

// TestConcurrentMatchers shares rules between goroutines.
func TestConcurrentMatchers(t *testing.T) {
	rules := loadText(t, rule("s:\n  userIdentity.arn|re: 'App/session-\\d'\n  requestParameters|contains: alias\ncondition: s"))
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			m := rules.NewMatcher()
			for range 200 {
				if r, err := m.Match([]byte(call)); err != nil || len(r.Hits) != 1 {
					t.Errorf("%v, %v", r, err)
				}
			}
		})
	}
	group.Wait()
}

// TestBrokenEvents checks that other values than events are errors, and that the Matcher
// continues with the next event.
func TestBrokenEvents(t *testing.T) {
	m := loadText(t, rule("s: {eventName: Decrypt, requestParameters.a.b|contains: x}\nk: [word]\ncondition: s or k")).NewMatcher()
	for _, text := range []string{"", "[]", "null", "{", `{"eventName"`, `{"eventName":`, `{"eventName":"Decrypt","requestParameters":{"a":[{"b"`, `{"a":"`, `{1:2}`,
		`{"eventName":"\uZZZZ"}`, `{"eventName":"Decrypt","requestParameters":` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + "}"} {
		if r, err := m.Match([]byte(text)); err == nil || r.Hits != nil {
			t.Errorf("%.60q gives %v and no error", text, r)
		}
		if r, err := m.Match([]byte(`{"eventName":"Decrypt","requestParameters":{"a":{"b":"xyz"}}}`)); err != nil || len(r.Hits) != 1 {
			t.Errorf("after %.60q a good event gives %v, %v", text, r, err)
		}
	}
}

// TestNoAllocations checks that a Matcher allocates nothing once it has seen similar
// events, also for observations, keywords, objects as text and regular expressions.
func TestNoAllocations(t *testing.T) {
	text := correlation("type: value_count\nrules: [refused, deleted]\ntimespan: 5m\ngroup-by: [userIdentity.arn]\ncondition: {gte: 5, field: requestParameters.path}") +
		"---\n" + rule("s:\n  requestParameters|contains: '\"Principal\"'\n  userIdentity.arn|re: 'assumed-role/.*-[0-9]$'\n  sourceIPAddress|cidr: 203.0.113.0/24\n"+
		"  userIdentity.accountId|fieldref: resources.accountId\n  requestParameters.limit|gt: 5\nk: [python]\ncondition: s and k")
	m := loadText(t, text).NewMatcher()
	event := []byte(strings.Replace(strings.Replace(call, "null", `"AccessDenied"`, 1), "Decrypt", "Delete", 1))
	var r Result
	match := func() {
		var err error
		if r, err = m.Match(event); err != nil {
			t.Fatal(err)
		}
	}
	match()
	if len(r.Hits) != 3 || len(r.Observations) != 2 {
		t.Fatalf("the event is no test: %+v", r)
	}
	if n := testing.AllocsPerRun(200, match); n > 0 {
		t.Errorf("%v allocations for an event", n)
	}
}
