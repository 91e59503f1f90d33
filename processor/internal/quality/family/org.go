package family

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// Stranger is an account outside the organization. It has no trail.
const Stranger = "999988887777"

// Org is an organization under construction. All times are UTC; Start is a Monday.
type Org struct {
	Rand              *rand.Rand // the only source of chance
	Start, Quiet, End time.Time  // attacks come after Quiet
	Keys              int        // how many KMS keys in use it should have, about

	blocks [][]Call
	made   int
	ids    int
	mutes  []mute
	habits []Habit
	spent  map[*Principal]bool
	taken  map[*Key]bool
}

// mute is a time without calls of a KMS key.
type mute struct {
	key      *Key
	from, to int64 // Unix seconds
}

// Kind is a kind of principal.
type Kind uint8

// The kinds of principals.
const (
	Role    Kind = iota // a program's role
	Person              // a person who signs in through IAM Identity Center
	User                // an IAM user with a long-lived access key
	Service             // a service of AWS, such as CloudTrail
)

// Principal makes calls. Set its fields before its first call; a call can have another
// address and program. The same role made again is another session of one principal.
type Principal struct {
	Kind          Kind
	Account, Name string // Name of a service: cloudtrail.amazonaws.com
	Session       string // the session's name; the one of a person is an e-mail address
	IP, Agent     string
	arn, id       string
}

// Key is a KMS key.
type Key struct {
	Account, Region, ID, ARN string
	// Context is the name in the encryption context, such as aws:s3:arn, PARAMETER_ARN or
	// SecretARN; "" for calls without one. Prefix is what the names of its objects begin with.
	Context, Prefix string
}

// Call is one API call. Do makes it; change the fields that are not usual at once.
type Call struct {
	At     time.Time
	Who    *Principal
	Op     string // the name of an operation of KMS, such as Decrypt
	Key    *Key   // nil: the operation names none
	Object int    // number of the object in the encryption context; negative: no context
	Error  string // such as AccessDenied or ThrottlingException; "": it succeeded
	Extra  string // further members of requestParameters, as JSON: "a":1,"b":2
	IP     string // "": the principal's
	Agent  string // "": the principal's
}

// account12 returns the nth account id of the organization.
func account12(n int) string { return fmt.Sprintf("%012d", 210000000000+n*7654321) }

// Account returns the id of the organization's nth account.
func (o *Org) Account(n int) string { return account12(n) }

// Key makes a KMS key. Objects are named by context and prefix: see Key.
func (o *Org) Key(account, region, context, prefix string) *Key {
	id := uuid(o.Rand)
	return &Key{Account: account, Region: region, ID: id, Context: context, Prefix: prefix,
		ARN: "arn:aws:kms:" + region + ":" + account + ":key/" + id}
}

// Role makes a program's role.
func (o *Org) Role(account, name string) *Principal {
	return o.principal(Role, account, name, "arn:aws:iam::"+account+":role/"+name)
}

// Person makes a person; name is like ann.lee, and set the permission set.
func (o *Org) Person(account, name, set string) *Principal {
	// Everybody with the same permission set in an account acts as the same role.
	role := fmt.Sprintf("AWSReservedSSO_%s_%016x", set, hash(account+set))
	p := o.principal(Person, account, role, "arn:aws:iam::"+account+":role/aws-reserved/sso.amazonaws.com/"+role)
	p.Session = name + "@example.com"
	return p
}

// User makes an IAM user.
func (o *Org) User(account, name string) *Principal {
	return o.principal(User, account, name, "arn:aws:iam::"+account+":user/"+name)
}

// Service makes a service of AWS that acts in an account; name is like
// cloudtrail.amazonaws.com.
func (o *Org) Service(account, name string) *Principal {
	return o.principal(Service, account, name, name)
}

func (o *Org) principal(kind Kind, account, name, arn string) *Principal {
	o.ids++
	return &Principal{Kind: kind, Account: account, Name: name, arn: arn, id: fmt.Sprintf("%016X", hash(arn)),
		Session: fmt.Sprintf("i-0%016x", o.Rand.Uint64()),
		IP:      fmt.Sprintf("10.%d.%d.%d", o.ids%200, o.ids/200%250, 1+o.Rand.IntN(250)),
		Agent:   "aws-sdk-go-v2/1.30.3 os/linux lang/go#1.22.5 md/GOOS#linux api/kms#1.35.3"}
}

// names returns the principal's names in keytrail.principal.id.
func (p *Principal) names() []string {
	if p.Account == Stranger {
		return []string{p.arn, "account:" + p.Account}
	}
	return []string{p.arn}
}

// Do makes a call. It is valid for changes until the organization is built.
func (o *Org) Do(at time.Time, who *Principal, op string, key *Key, object int) *Call {
	const size = 4096
	last := len(o.blocks) - 1
	if last < 0 || len(o.blocks[last]) == size {
		o.blocks, last = append(o.blocks, make([]Call, 0, size)), last+1
	}
	o.made++
	o.blocks[last] = append(o.blocks[last], Call{At: at.Truncate(time.Second), Who: who, Op: op, Key: key, Object: object})
	return &o.blocks[last][len(o.blocks[last])-1]
}

// Hours calls f with the start of every hour.
func (o *Org) Hours(f func(hour time.Time)) {
	for at := o.Start; at.Before(o.End); at = at.Add(time.Hour) {
		f(at)
	}
}

// Days calls f with the start of every day.
func (o *Org) Days(f func(day time.Time)) {
	for at := o.Start; at.Before(o.End); at = at.AddDate(0, 0, 1) {
		f(at)
	}
}

// Within returns a random time in [from, from+d).
func (o *Org) Within(from time.Time, d time.Duration) time.Time {
	return from.Add(time.Duration(o.Rand.Float64() * float64(d)))
}

// Poisson returns a random number of independent events with the given mean.
func (o *Org) Poisson(mean float64) int {
	if mean > 500 { // nearly normal
		return max(0, int(math.Round(mean+math.Sqrt(mean)*o.Rand.NormFloat64())))
	}
	n, p, limit := 0, o.Rand.Float64(), math.Exp(-mean)
	for ; p > limit; n++ {
		p *= o.Rand.Float64()
	}
	return n
}

// LogNormal returns a random factor with median 1; sigma is the deviation of its logarithm.
func (o *Org) LogNormal(sigma float64) float64 { return math.Exp(sigma * o.Rand.NormFloat64()) }

// Pareto returns a random number of at least 1 with P(more than x) = x^-alpha.
func (o *Org) Pareto(alpha float64) float64 { return math.Pow(1-o.Rand.Float64(), -1/alpha) }

// Pick returns a random element.
func Pick[T any](o *Org, list []T) T { return list[o.Rand.IntN(len(list))] }
