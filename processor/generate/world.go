package generate

import (
	"fmt"
	"math"
	"slices"
)

// purpose is the kind of data that a KMS key protects. It determines the operations, the
// calling service, and the encryption context.
type purpose uint8

const (
	forCustom purpose = iota // the users' own data, called directly
	forS3
	forSSM
	forSecrets
	forEBS
	forLambda
	forTrail // CloudTrail's log files
	forSigning
	forMAC
)

// purposes is the mix of keys, assigned in this order.
var purposes = []purpose{
	forCustom, forS3, forSSM, forSecrets, forS3, forEBS, forCustom, forLambda, forTrail, forSigning, forS3, forMAC,
}

// projects give keys, buckets, roles and parameters their names.
var projects = []string{
	"payments", "ledger", "orders", "profile", "search", "media", "billing", "reports", "gateway", "archive",
	"claims", "catalog", "mailer", "metrics", "sessions", "partners", "fraud", "loyalty", "shipping", "support",
}

// kmsKey is one KMS key.
type kmsKey struct {
	partition, account, region string
	id, arn, alias             string
	purpose                    purpose
	project                    string  // part of the names of the protected data
	material                   string  // keyMaterialId, 64 hexadecimal digits
	bucketKeys                 bool    // S3: the context is the bucket, not the object
	partner                    *kmsKey // ReEncrypt goes to this key; nil: never
	down                       span    // while it is disabled or pending deletion
	edges                      int     // how many callers use it
	seed                       uint64  // for derived values
}

// span is a time [from, to) in Unix seconds; the zero span is empty.
type span struct{ from, to int64 }

func (s span) holds(second int64) bool { return second >= s.from && second < s.to }

// kind is the kind of a principal: the form of its userIdentity.
type kind uint8

const (
	isRole kind = iota
	isUser
	isFederated
	isService
	isRoot
	isInternal // KMS itself: no type
	isForeign  // another account, seen from here
)

// flavor is how a role is used; it decides session names and networks.
type flavor uint8

const (
	onInstance flavor = iota
	inFunction
	inPod // with a web identity
	byPerson
)

// principal is someone who uses keys.
type principal struct {
	kind     kind
	flavor   flavor
	account  string
	name     string
	arn      string // the role's or user's ARN; "" for services
	uniqueID string // AROA..., AIDA...
	seed     uint64 // for derived values: sessions, access keys
	ip       string
	agent    string
	version  string   // eventVersion of its events
	endpoint string   // vpcEndpointId, or ""
	moves    *moves   // changes of network and client in a long trail; nil: none
	service  *service // isService
}

// entity returns the name under which the principal's calls count.
func (p *principal) entity() string {
	switch p.kind {
	case isService:
		return p.service.name
	case isInternal:
		return internalName
	case isForeign:
		return "account:" + p.account
	}
	return p.arn
}

// internalName is KMS's name for itself.
const internalName = "AWS Internal"

// service is an AWS service that uses keys for itself.
type service struct {
	name    string // invokedBy
	context string // the name of its encryption context
	target  string // the context's value after arn:<partition>:
}

// services are assigned in this order. In a target, R is the region, A the account and N
// a number.
var services = []*service{
	{"cloudtrail.amazonaws.com", "aws:cloudtrail:arn", "cloudtrail:R:A:trail/management-events"},
	{"sqs.amazonaws.com", "aws:sqs:arn", "sqs:R:A:queue-N"},
	{"sns.amazonaws.com", "aws:sns:topicArn", "sns:R:A:topic-N"},
	{"events.amazonaws.com", "aws:events:event-bus:arn", "events:R:A:event-bus/bus-N"},
	{"rds.amazonaws.com", "aws:rds:db-id", "rds:R:A:db:db-N"},
	{"backup.amazonaws.com", "aws:backup:backup-vault", "backup:R:A:backup-vault:vault-N"},
	{"workmail.amazonaws.com", "aws:workmail:arn", "workmail:R:A:organization/m-N"},
	{"dynamodb.amazonaws.com", "aws:dynamodb:table", "dynamodb:R:A:table/table-N"},
}

// world is everything that exists before the first event.
type world struct {
	partition  string
	keys       []*kmsKey
	principals []*principal
	edges      []*edge
	blind      map[string][]blindness // by account
	delayed    []delay                // files that arrive late or again
}

// blindness is a time without records of an account: of KMS, or of any service.
type blindness struct {
	span
	all bool
}

// hidden reports whether the account's trail omits an event.
func (w *world) hidden(account string, second int64, kms bool) bool {
	for _, b := range w.blind[account] {
		if b.holds(second) && (kms || b.all) {
			return true
		}
	}
	return false
}

// buildWorld makes keys, principals and edges. Rates are relative until
// scaleRates.
func buildWorld(c Config) *world {
	r := newRandom(c.Seed, streamWorld)
	w := &world{partition: partition(c.Regions[0]), blind: map[string][]blindness{}}
	for i := range c.Keys {
		w.keys = append(w.keys, w.newKey(r, c, i))
	}
	w.pairKeys()
	w.addPrincipals(r, c)
	w.connect(r)
	return w
}

func (w *world) newKey(r random, c Config, i int) *kmsKey {
	k := &kmsKey{
		partition: w.partition, seed: r.Uint64(),
		account: c.Accounts[i%len(c.Accounts)],
		region:  c.Regions[0],
		purpose: purposes[(i+i/len(purposes))%len(purposes)],
		project: projects[i%len(projects)],
		id:      r.uuid().String(),
	}
	if n := i / len(projects); n > 0 {
		k.project += fmt.Sprintf("-%d", n+1)
	}
	if !r.chance(0.6) {
		k.region = pick(r, c.Regions)
	}
	if i%15 == 14 { // a multi-Region key
		k.id = "mrk-" + string(appendHex(nil, r.Uint64(), 32))
	}
	k.alias = "alias/" + k.project
	k.arn = "arn:" + w.partition + ":kms:" + k.region + ":" + k.account + ":key/" + k.id
	k.material = string(appendHex(nil, r.Uint64(), 64))
	k.bucketKeys = k.purpose == forS3 && r.chance(0.5)
	return k
}

// pairKeys gives each key for custom data a destination of ReEncrypt: the next such key
// of its account and region.
func (w *world) pairKeys() {
	last := map[string]*kmsKey{}
	for _, k := range w.keys {
		if k.purpose != forCustom {
			continue
		}
		place := k.account + k.region
		if before := last[place]; before != nil {
			before.partner = k
		}
		last[place] = k
	}
}

// geometric returns 1, 2, ... up to limit, each half as likely as the one before.
func (r random) geometric(limit int) int {
	n := 1
	for n < limit && r.chance(0.5) {
		n++
	}
	return n
}

// byPopularity picks a key: earlier keys have more users.
func byPopularity(r random, keys []*kmsKey) *kmsKey {
	u := r.Float64()
	return keys[int(u*math.Sqrt(u)*float64(len(keys)))]
}

// connect makes the edges.
func (w *world) connect(r random) {
	own := map[string][]*kmsKey{}
	for _, k := range w.keys {
		own[k.account] = append(own[k.account], k)
	}
	for _, p := range w.principals {
		switch p.kind {
		case isRoot:
			w.addEdge(r, p, own[p.account][0], true)
		case isInternal:
			for _, k := range w.keys {
				if k.purpose != forSigning && k.purpose != forMAC { // those do not rotate
					w.addEdge(r, p, k, true)
				}
			}
		case isService:
			w.connectService(r, p)
		default:
			w.connectCaller(r, p, own[p.account])
		}
	}
	w.connectAcross(r)
	for _, k := range w.keys {
		if k.edges == 0 {
			w.addEdge(r, w.anyRole(r, k.account), k, false)
		}
	}
}

// connectCaller gives a role or user one to four keys of its account.
func (w *world) connectCaller(r random, p *principal, own []*kmsKey) {
	admin := p.flavor == byPerson && r.chance(0.6)
	var used []*kmsKey
	for range r.geometric(4) {
		if k := byPopularity(r, own); !slices.Contains(used, k) {
			used = append(used, k)
			w.addEdge(r, p, k, admin)
		}
	}
}

// connectAcross gives every eighth program's role a key of another account.
func (w *world) connectAcross(r random) {
	var open []*kmsKey // those that other accounts use
	for _, k := range w.keys {
		if k.purpose == forCustom || k.purpose == forS3 {
			open = append(open, k)
		}
	}
	n := 0
	for _, p := range w.principals {
		if p.kind != isRole || p.flavor == byPerson {
			continue
		}
		if n++; n%8 != 2 {
			continue
		}
		start := r.IntN(len(open))
		for i := range open {
			if k := open[(start+i)%len(open)]; k.account != p.account {
				w.addEdge(r, p, k, false)
				break
			}
		}
	}
}

// connectService gives a service a few keys that suit it.
func (w *world) connectService(r random, p *principal) {
	var fitting []*kmsKey
	for _, k := range w.keys {
		trail := p.service == services[0]
		if trail && k.purpose == forTrail || !trail && (k.purpose == forCustom || k.purpose == forS3) {
			fitting = append(fitting, k)
		}
	}
	for _, i := range r.Perm(len(fitting))[:min(len(fitting), r.between(2, 4))] {
		w.addEdge(r, p, fitting[i], false)
	}
}

// anyRole returns a role of a program in the account.
func (w *world) anyRole(r random, account string) *principal {
	start := r.IntN(len(w.principals))
	for i := range w.principals {
		p := w.principals[(start+i)%len(w.principals)]
		if p.kind == isRole && p.flavor != byPerson && p.account == account {
			return p
		}
	}
	return w.principals[0] // a role: see addPrincipals
}
