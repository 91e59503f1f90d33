package oracle

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Retention is how long a name that no record mentions keeps its binding.
const Retention = 35 * 24 * time.Hour

// binding means that a record at some time shows what a name refers to: an alias to a KMS
// key, a multi-Region key to its primary key. An empty target ends it.
type binding struct {
	name   string
	at     time.Time
	target string
}

func isKey(arn string) bool   { return strings.Contains(arn, ":key/") }
func isMulti(arn string) bool { return strings.Contains(arn, ":key/mrk-") }
func isAlias(name string) bool {
	return strings.HasPrefix(name, "alias/") || strings.Contains(name, ":alias/")
}

// bindingsOf returns the bindings that the record shows.
func bindingsOf(event object, at time.Time) []binding {
	if event.text("eventSource") != "kms.amazonaws.com" {
		return nil
	}
	keys := append(keysOf(event), "") // the second one of a ReEncrypt, or ""
	denied, failed := outcomeOf(event)
	done := !denied && !failed
	var found []binding
	alias, second := aliasesOf(event)
	switch operation := event.text("eventName"); {
	case !strings.Contains(alias, ":alias/") || isKey(alias):
	case slices.Contains([]string{"CreateAlias", "UpdateAlias", "DeleteAlias"}, operation) && !done:
	case operation == "DeleteAlias":
		found = append(found, binding{alias, at, ""})
	case isKey(keys[0]):
		found = append(found, binding{alias, at, keys[0]})
	}
	if strings.Contains(second, ":alias/") && !isKey(second) && isKey(keys[1]) {
		found = append(found, binding{second, at, keys[1]})
	}
	primary, replica := relatedOf(event, keys[0], done)
	if isMulti(keys[0]) && isMulti(primary) {
		found = append(found, binding{keys[0], at, primary})
		if isMulti(replica) {
			found = append(found, binding{replica, at, primary})
		}
	}
	return found
}

// aliasesOf returns the aliases of the record's first and second key, in full.
func aliasesOf(event object) (first, second string) {
	request := event.object("requestParameters")
	both := classOf(event) == "reencrypt"
	listed := targets(event, ":alias/")
	switch {
	case request.text("aliasName") != "":
		first = request.text("aliasName")
	case isAlias(request.text("keyId")):
		first = request.text("keyId")
	case isAlias(request.text("sourceKeyId")):
		first = request.text("sourceKeyId")
	case !both && len(listed) > 0:
		first = listed[0]
	}
	if id := request.text("destinationKeyId"); both && isAlias(id) {
		second = fullAlias(event, id)
	}
	return fullAlias(event, first), second
}

// fullAlias returns an alias in the form of resources[], else of the response, else
// completed.
func fullAlias(event object, name string) string {
	name = strings.TrimSpace(name)
	if !strings.HasPrefix(name, "alias/") {
		return complete(event, name)
	}
	for _, arn := range targets(event, ":"+name) {
		if strings.HasSuffix(arn, ":"+name) {
			return arn
		}
	}
	return cmp.Or(event.object("responseElements").text("aliasArn"), complete(event, name))
}

// relatedOf returns the primary key that the record shows for a multi-Region key, and the
// replica that it created.
func relatedOf(event object, key string, done bool) (primary, replica string) {
	request, response := event.object("requestParameters"), event.object("responseElements")
	made := response.object("replicaKeyMetadata")
	for _, metadata := range []object{response.object("keyMetadata"), made} {
		if arn := metadata.object("multiRegionConfiguration").object("primaryKey").text("arn"); arn != "" {
			primary = arn
		}
	}
	replica = made.text("arn")
	switch operation := event.text("eventName"); {
	case !done:
	case operation == "ReplicateKey":
		primary = cmp.Or(primary, key)
		replica = cmp.Or(replica, inRegion(key, request.text("replicaRegion")))
	case operation == "UpdatePrimaryRegion":
		primary = inRegion(key, request.text("primaryRegion"))
	}
	return primary, replica
}

// inRegion returns the key's ARN in another region.
func inRegion(arn, region string) string {
	parts := strings.Split(arn, ":")
	if region == "" || len(parts) < 6 {
		return ""
	}
	parts[3] = region
	return strings.Join(parts, ":")
}

// moment is a window with a mention of a name: by a call that counts for it, or by a
// binding.
type moment struct {
	start  int64 // Unix seconds
	latest *binding
	bound  string // the binding of the name at the end of the window
}

// meanings returns the binding of each name at the end of each window that mentions it,
// in order of time. named are the windows with its calls.
func meanings(shown map[binding]bool, named map[string]map[int64]bool,
	startOf func(time.Time) int64) map[string]map[int64]string {
	moments := map[string]map[int64]*moment{}
	at := func(name string, start int64) *moment {
		if moments[name] == nil {
			moments[name] = map[int64]*moment{}
		}
		if moments[name][start] == nil {
			moments[name][start] = &moment{start: start}
		}
		return moments[name][start]
	}
	for b := range shown {
		m := at(b.name, startOf(b.at))
		if l := m.latest; l == nil || cmp.Or(b.at.Compare(l.at), cmp.Compare(b.target, l.target)) > 0 {
			m.latest = &b
		}
	}
	bound := map[string]map[int64]string{}
	for name := range moments {
		for start := range named[name] {
			at(name, start)
		}
		var list []*moment
		for _, m := range moments[name] {
			list = append(list, m)
		}
		slices.SortFunc(list, func(a, b *moment) int { return cmp.Compare(a.start, b.start) })
		bound[name] = map[int64]string{}
		for i, m := range list {
			if i > 0 && time.Duration(m.start-list[i-1].start)*time.Second <= Retention {
				m.bound = list[i-1].bound
			}
			if m.latest != nil {
				m.bound = m.latest.target
			}
			bound[name][m.start] = m.bound
		}
	}
	return bound
}
