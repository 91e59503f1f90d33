package generate

import "fmt"

var (
	firstNames = []string{"ana", "ben", "chen", "dora", "emil", "fatma", "goran", "hana", "ivan", "julia", "kofi",
		"lena", "mateo", "nora", "omar", "petra"}
	lastNames = []string{"alvarez", "becker", "costa", "diaz", "ekberg", "fischer", "gupta", "haas", "ito",
		"jansen", "keller", "lopez"}
	roleKinds = []string{"api", "worker", "loader", "sync", "export", "consumer", "cron"}
	flavors   = []flavor{onInstance, inPod, inFunction, onInstance, inPod, byPerson, inFunction}
	versions  = []string{"1.08", "1.09", "1.09", "1.10", "1.10", "1.11", "1.11", "1.11", "1.11", "1.11"}
	agents    = []string{
		"aws-sdk-go-v2/1.36.3 ua/2.1 os/linux lang/go#1.24.4 md/GOOS#linux md/GOARCH#arm64 api/kms#1.38.1 m/E",
		"Boto3/1.38.23 md/Botocore#1.38.23 ua/2.1 os/linux#6.1.134-152.225.amzn2023.x86_64 md/arch#x86_64 lang/python#3.12.9 md/pyimpl#CPython cfg/retry-mode#standard Botocore/1.38.23",
		"aws-sdk-java/2.31.50 md/io#async md/http#NettyNio ua/2.1 os/Linux#5.10.236-228.935.amzn2.x86_64 lang/java#21.0.7 md/OpenJDK_64-Bit_Server_VM#21.0.7+6-LTS md/vendor#Amazon.com_Inc. m/E",
	}
	functionAgent = "aws-sdk-nodejs/2.1692.0 linux/v20.19.2 exec-env/AWS_Lambda_nodejs20.x promise"
	personAgents  = []string{
		"aws-cli/2.27.22 md/awscrt#0.26.1 ua/2.1 os/macos#24.5.0 md/arch#arm64 lang/python#3.13.3 md/pyimpl#CPython cfg/retry-mode#standard md/installer#source md/prompt#off md/command#kms",
		"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/137.0.0.0 Safari/537.36",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:139.0) Gecko/20100101 Firefox/139.0",
	}
)

// addPrincipals makes c.Principals principals, the roots, and KMS itself. The first is a
// role of a program.
func (w *world) addPrincipals(r random, c Config) {
	serving := min(len(services), max(2, c.Principals/8))
	users := max(2, c.Principals/6)
	federated := max(1, c.Principals/20)
	roles := c.Principals - serving - users - federated // at least half of 10 or more
	add := func(p *principal) { w.principals = append(w.principals, p) }
	for i := range roles {
		add(w.newRole(r, c.Accounts[i%len(c.Accounts)], i))
	}
	for i := range users {
		add(w.newUser(r, c.Accounts[i%len(c.Accounts)], i))
	}
	for i := range federated {
		account := c.Accounts[i%len(c.Accounts)]
		p := w.newUser(r, account, i)
		p.kind, p.uniqueID = isFederated, account+":"+p.name
		p.arn = "arn:" + w.partition + ":sts::" + account + ":federated-user/" + p.name
		add(p)
	}
	for _, s := range services[:serving] {
		add(&principal{kind: isService, service: s, version: pick(r, versions), seed: r.Uint64()})
	}
	for _, account := range c.Accounts {
		add(&principal{
			kind: isRoot, flavor: byPerson, account: account, uniqueID: account, name: "root",
			arn:     "arn:" + w.partition + ":iam::" + account + ":root",
			version: "1.11", seed: r.Uint64(), ip: publicAddress(r), agent: personAgents[1],
		})
	}
	add(&principal{kind: isInternal, version: "1.11", seed: r.Uint64()})
}

// newRole makes the i-th role.
func (w *world) newRole(r random, account string, i int) *principal {
	p := &principal{
		kind: isRole, flavor: flavors[i%len(flavors)], account: account, seed: r.Uint64(), version: pick(r, versions),
		name: fmt.Sprintf("%s-%s", projects[i%len(projects)], roleKinds[i/len(projects)%len(roleKinds)]),
	}
	if n := i / (len(projects) * len(roleKinds)); n > 0 {
		p.name += fmt.Sprintf("-%d", n+1)
	}
	path := ""
	if p.flavor == byPerson { // IAM Identity Center makes a role for each permission set
		p.name = fmt.Sprintf("AWSReservedSSO_%s_%s", []string{"Operations", "Security", "Developer"}[i%3],
			appendHex(nil, p.seed, 16))
		path = "aws-reserved/sso.amazonaws.com/"
	}
	p.arn = "arn:" + w.partition + ":iam::" + account + ":role/" + path + p.name
	p.uniqueID = "AROA" + string(appendBase32(nil, p.seed, 17))
	p.agent, p.ip = pick(r, agents), publicAddress(r)
	switch {
	case p.flavor == byPerson:
		p.agent = pick(r, personAgents)
	case p.flavor == inFunction:
		p.agent = functionAgent
	case r.chance(0.4):
		p.ip = fmt.Sprintf("10.%d.%d.%d", r.IntN(200), r.IntN(256), r.between(4, 250))
		p.endpoint = "vpce-0" + string(appendHex(nil, p.seed+1, 16))
	}
	return p
}

// newUser makes the i-th IAM user: every other one is a person, the rest are programs
// with long-lived access keys.
func (w *world) newUser(r random, account string, i int) *principal {
	p := &principal{
		kind: isUser, flavor: byPerson, account: account, seed: r.Uint64(), version: pick(r, versions),
		name: fmt.Sprintf("%s.%s", firstNames[i%len(firstNames)], lastNames[(i/len(firstNames)+i)%len(lastNames)]),
		ip:   publicAddress(r), agent: pick(r, personAgents),
	}
	if i%4 >= 2 {
		p.flavor, p.agent = onInstance, pick(r, agents)
		p.name = fmt.Sprintf("svc-%s-%d", projects[i%len(projects)], i)
	} else if n := i / (len(firstNames) * len(lastNames)); n > 0 {
		p.name += fmt.Sprintf("%d", n+1)
	}
	p.arn = "arn:" + w.partition + ":iam::" + account + ":user/" + p.name
	p.uniqueID = "AIDA" + string(appendBase32(nil, p.seed, 17))
	return p
}

// publicAddress returns an address of the ranges for documentation (RFC 5737).
func publicAddress(r random) string {
	return fmt.Sprintf("%s.%d", documentNetworks[r.IntN(3)], r.between(1, 254))
}

// documentNetworks are the networks of RFC 5737.
var documentNetworks = []string{"192.0.2", "198.51.100", "203.0.113"}

// console reports whether the principal works in a browser.
func (p *principal) console() bool { return p.flavor == byPerson && p.agent != personAgents[0] }
