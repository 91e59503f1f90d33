package generate

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Names makes a trail about the resolution of names: aliases that are created, moved and
// deleted, used by calls that show their KMS key and by refused ones that do not, and
// multi-Region keys that are replicated and change their primary. Some records come
// twice, some calls are recorded in two accounts or corrected with the key in only one
// copy, and many share their second. Bursts of use spread over a hundred days, and some
// names rest for more than a month in between.
//
// It is separate from Generator, whose trails have labels for the detectors. Events come
// in order of event time.
func Names(seed uint64, start time.Time) []Event {
	n := &names{r: newRandom(seed, 7<<48), at: start, target: map[string]string{}, primary: map[string]string{},
		regions: map[string][]string{}}
	for _, day := range []int{0, 20, 54, 60, 96} {
		n.at = start.AddDate(0, 0, day)
		n.awake = n.r.Uint64()
		for end := n.at.Add(2 * time.Hour); n.at.Before(end); {
			n.event()
			if n.r.chance(0.7) {
				n.at = n.at.Add(time.Duration(n.r.IntN(50)) * time.Second)
			}
		}
	}
	return n.events
}

const (
	nameOwner  = "111122223333"
	nameCaller = "444455556666"
)

// names is the state of the generated world at the time of an event.
type names struct {
	r       random
	at      time.Time
	awake   uint64              // bits of the aliases in use in this burst
	target  map[string]string   // alias ARN to key ARN
	primary map[string]string   // multi-Region key id to its primary's Region
	regions map[string][]string // multi-Region key id to all its Regions
	events  []Event
}

// fields are the members of a record, or of an object in it.
type fields = map[string]any

func (n *names) event() {
	alias, key := n.pickAlias()
	switch x := n.r.IntN(100); {
	case x < 12:
		n.change(alias, key)
	case x < 62:
		n.use(alias, key)
	case x < 68:
		n.reEncrypt(alias)
	case x < 76:
		n.foreign(alias)
	default:
		n.multiRegion()
	}
}

// pickAlias returns an alias that is in use in this burst, and a key of its
// Region.
func (n *names) pickAlias() (alias, key string) {
	for {
		i := n.r.IntN(12)
		if n.awake>>i&1 == 0 && n.awake&0xfff != 0 {
			continue
		}
		region := []string{"eu-central-1", "us-east-1"}[i%2]
		prefix := "arn:aws:kms:" + region + ":" + nameOwner
		name := []string{":alias/app-%d", ":alias/team/app-%d"}[i/2%2]
		return prefix + fmt.Sprintf(name, i/4), prefix + fmt.Sprintf(":key/1234abcd-0000-4000-8000-%012d", n.r.IntN(4))
	}
}

// record adds a record, sometimes twice.
func (n *names) record(name, arn, code string, more fields) {
	id := n.r.uuid().String()
	e := fields{
		"eventVersion": "1.11", "eventSource": "kms.amazonaws.com", "eventName": name, "eventTime": n.at.UTC().Format(time.RFC3339),
		"eventID": id, "awsRegion": strings.Split(arn, ":")[3], "recipientAccountId": nameOwner, "eventType": "AwsApiCall",
		"userIdentity": fields{"type": "IAMUser", "arn": fmt.Sprintf("arn:aws:iam::%s:user/%d", nameOwner, n.r.IntN(3)), "accountId": nameOwner},
	}
	if code != "" {
		e["errorCode"] = code
	}
	for k, v := range more {
		e[k] = v
	}
	n.write(e)
	if n.r.chance(0.1) {
		n.events = append(n.events, n.events[len(n.events)-1])
	}
}

func (n *names) write(e fields) {
	text, err := json.Marshal(e)
	if err != nil {
		panic(err) // maps of strings always have a text
	}
	n.events = append(n.events, Event{
		Time: n.at, Delivered: n.at.Add(time.Duration(120+n.r.IntN(480)) * time.Second),
		Account: e["recipientAccountId"].(string), Region: e["awsRegion"].(string), JSON: text,
	})
}

// listed returns resources[] with these ARNs.
func listed(arns ...string) []fields {
	var list []fields
	for _, arn := range arns {
		list = append(list, fields{"ARN": arn, "type": "AWS::KMS::Key"})
	}
	return list
}

func shortName(alias string) string { return alias[strings.Index(alias, "alias/"):] }
func keyID(arn string) string       { return arn[strings.Index(arn, "key/")+4:] }

// change creates, moves or deletes an alias, or fails to.
func (n *names) change(alias, key string) {
	request, old := fields{"aliasName": shortName(alias), "targetKeyId": keyID(key)}, n.target[alias]
	name, code := "UpdateAlias", ""
	switch {
	case old == "":
		name = "CreateAlias"
	case n.r.chance(0.35):
		name, key, request = "DeleteAlias", old, fields{"aliasName": shortName(alias)}
	case n.r.chance(0.2):
		name, code = "CreateAlias", "AlreadyExistsException"
	}
	if code == "" && n.r.chance(0.15) {
		code = "AccessDenied"
	}
	more := fields{"requestParameters": request}
	if n.r.chance(0.7) {
		more["resources"] = listed(alias, key)
	} else if name != "DeleteAlias" {
		more["responseElements"] = fields{"keyId": key}
	}
	n.record(name, alias, code, more)
	if code == "" {
		n.target[alias] = key
		if name == "DeleteAlias" {
			n.target[alias] = ""
		}
	}
}

// use calls KMS by an alias: successfully, which shows the key, or refused.
func (n *names) use(alias, key string) {
	id := pick(n.r, []string{alias, shortName(alias), " " + alias})
	more := fields{"requestParameters": fields{"keyId": id}}
	target := n.target[alias]
	switch {
	case n.r.chance(0.1): // by the key itself
		n.record("Encrypt", key, "", fields{"requestParameters": fields{"keyId": key}, "resources": listed(key)})
	case target == "":
		n.record("Encrypt", alias, "NotFoundException", more)
	case n.r.chance(0.6):
		n.record("Encrypt", alias, "AccessDenied", more)
	case n.r.chance(0.2):
		more["resources"] = listed(target)
		n.record("Encrypt", alias, "DisabledException", more)
	case n.r.chance(0.3):
		more["resources"] = listed(alias, target)
		n.record("DescribeKey", alias, "", more)
	default:
		more["resources"] = listed(target)
		n.record("GenerateDataKey", alias, "", more)
	}
}

// reEncrypt uses two aliases of a Region.
func (n *names) reEncrypt(alias string) {
	other, _ := n.pickAlias()
	for strings.Split(other, ":")[3] != strings.Split(alias, ":")[3] {
		other, _ = n.pickAlias()
	}
	more := fields{"requestParameters": fields{"sourceKeyId": alias, "destinationKeyId": other}}
	from, to := n.target[alias], n.target[other]
	if from == "" || to == "" || n.r.chance(0.3) {
		n.record("ReEncrypt", alias, "AccessDenied", more)
		return
	}
	more["resources"] = listed(from, to)
	n.record("ReEncrypt", alias, "", more)
}

// foreign is a call of another account, recorded in both. Sometimes only the owner's copy
// or a correction shows the key.
func (n *names) foreign(alias string) {
	target, shared := n.target[alias], n.r.uuid().String()
	caller := fields{
		"recipientAccountId": nameCaller, "sharedEventID": shared, "requestParameters": fields{"keyId": alias},
		"userIdentity": fields{"type": "IAMUser", "arn": "arn:aws:iam::" + nameCaller + ":user/a", "accountId": nameCaller},
	}
	owner := fields{
		"sharedEventID": shared, "requestParameters": fields{"keyId": alias},
		"userIdentity": fields{"type": "AWSAccount", "accountId": nameCaller},
	}
	if target != "" {
		owner["resources"] = listed(target)
		if n.r.chance(0.4) {
			caller["resources"] = listed(target)
		}
	}
	copies := []fields{caller, owner}
	if n.r.chance(0.3) {
		copies = append(copies, fields{"recipientAccountId": nameCaller, "requestParameters": fields{"keyId": alias},
			"resources": owner["resources"],
			"addendum":  fields{"reason": "UPDATED_DATA", "originalEventID": shared}})
	}
	n.r.Shuffle(len(copies), func(i, j int) { copies[i], copies[j] = copies[j], copies[i] })
	for _, c := range copies {
		n.record("Decrypt", alias, "AccessDenied", c)
	}
}

// multiRegion creates, replicates, moves or uses a multi-Region key.
func (n *names) multiRegion() {
	all := []string{"eu-central-1", "us-east-1", "eu-west-1"}
	id := fmt.Sprintf("mrk-%032d", n.r.IntN(4))
	in := func(region string) string { return "arn:aws:kms:" + region + ":" + nameOwner + ":key/" + id }
	home, others := n.primary[id], n.regions[id]
	if home == "" {
		home = pick(n.r, all)
		n.primary[id], n.regions[id] = home, []string{home}
		n.record("CreateKey", in(home), "", fields{"requestParameters": fields{"multiRegion": true},
			"resources":        listed(in(home)),
			"responseElements": fields{"keyMetadata": fields{"arn": in(home), "multiRegionConfiguration": fields{"primaryKey": fields{"arn": in(home)}}}}})
		return
	}
	region := pick(n.r, all)
	code := ""
	if n.r.chance(0.2) {
		code = "AccessDenied"
	}
	switch present := slices.Contains(others, region); {
	case !present && n.r.chance(0.3):
		more := fields{"requestParameters": fields{"keyId": id, "replicaRegion": region}, "resources": listed(in(home))}
		if code == "" {
			n.regions[id] = append(others, region)
			if n.r.chance(0.5) {
				more["responseElements"] = fields{"replicaKeyMetadata": fields{"arn": in(region),
					"multiRegionConfiguration": fields{"primaryKey": fields{"arn": in(home)}}}}
			}
		}
		n.record("ReplicateKey", in(home), code, more)
	case present && region != home && n.r.chance(0.2): // recorded in both Regions
		n.record("UpdatePrimaryRegion", in(home), code, fields{"requestParameters": fields{"keyId": id,
			"primaryRegion": region}, "resources": listed(in(home))})
		if code == "" {
			n.record("UpdatePrimaryRegion", in(region), "", fields{"requestParameters": fields{"keyId": in(region),
				"primaryRegion": region}})
			n.primary[id] = region
		}
	default:
		n.record("Decrypt", in(region), code, fields{"resources": listed(in(region))})
	}
}
