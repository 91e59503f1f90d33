package generate

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// This file has the attacks that a single event reveals: destruction, opened policies,
// grants, and the blinding of trails.

// policyOpened: a key policy that lets everybody in, bypassing the lockout check.
func (p *planner) policyOpened(at int64) {
	who := p.person()
	key := pick(p.r, p.free(p.keysOf(who.account), nil))
	const policy = "{\n  \"Version\" : \"2012-10-17\",\n  \"Statement\" : [ {\n    \"Sid\" : \"Maintenance\",\n    " +
		"\"Effect\" : \"Allow\",\n" +
		"    \"Principal\" : \"*\",\n    \"Action\" : \"kms:*\",\n    \"Resource\" : \"*\"\n  } ]\n}"
	request := appendField([]byte("{"), "keyId", key.id)
	request = appendField(appendField(request, "policyName", "default"), "policy", policy)
	request = closeObject(appendBool(request, "bypassPolicyLockoutSafetyCheck", true))
	i := p.incident(key, who, "a key policy that allows every principal everything, past the lockout check", KindRule)
	p.add(i, call{at: at, who: who, key: key, op: opPutPolicy, request: string(request)})
}

// keyDeletion: a key is disabled and scheduled for deletion; twenty minutes later
// somebody cancels it. Meanwhile its use fails; the key is busy enough to show that.
func (p *planner) keyDeletion(at int64) {
	const usual = 30.0 // calls an hour
	who := p.person()
	var key *kmsKey
	least := 0.0
	for _, k := range p.keysOf(who.account) {
		mean, _ := p.expected(k, at, at+3600)
		cost := math.Abs(math.Log((mean + 0.01) / usual))
		if p.taken[k] {
			cost += 100
		}
		if k.use() == opDecrypt && k.purpose != forTrail && (key == nil || cost < least) {
			key, least = k, cost
		}
	}
	if key == nil {
		key = p.keysOf(who.account)[0]
	}
	const pause = 45 // seconds
	deletion := time.Unix(at+pause, 0).UTC().AddDate(0, 0, 7).Format("Jan 2, 2006, 3:04:05 PM")
	i := p.incident(key, who, "a key is disabled and scheduled for deletion in seven days", KindRule)
	p.add(i, call{at: at, who: who, key: key, op: opDisable})
	p.add(i, call{
		at: at + pause, who: who, key: key, op: opDelete,
		request: `{"keyId":"` + key.id + `","pendingWindowInDays":7}`,
		response: `{"keyId":"` + key.arn + `","keyState":"PendingDeletion","deletionDate":"` + deletion +
			`","pendingWindowInDays":7}`,
	})
	back := at + 20*60
	i.Aftermath = time.Unix(back+120, 0).UTC()
	key.down = span{at + 1, back + 60}
	rescuer := p.colleague(who)
	i.Principals = append(i.Principals, rescuer.entity())
	for _, e := range p.uses[key] { // whose calls fail meanwhile
		i.Principals = append(i.Principals, e.who.entity())
	}
	for n, op := range []*operation{opCancelDeletion, opEnable} {
		p.others = append(p.others, &call{
			at: back + int64(n)*60, who: rescuer, key: key, op: op, form: byID,
			id: p.r.uuid(), requestID: p.r.uuid(),
		})
	}
}

// colleague returns another person of the same account, else the account's root.
func (p *planner) colleague(who *principal) *principal {
	var found *principal
	for _, c := range p.w.principals {
		if c == who || c.account != who.account || c.flavor != byPerson || c.kind == isFederated {
			continue
		}
		if found == nil || found.kind == isRoot || p.spent[found] && c.kind != isRoot {
			found = c
		}
	}
	return found
}

// grantAbuse: someone grants another account the use of a key, and that account then
// decrypts with it. Only the owner's copies of those calls reach the trail.
func (p *planner) grantAbuse(at int64) {
	who := p.person()
	keys := p.free(p.keysOf(who.account), func(k *kmsKey) bool { return k.use() == opDecrypt })
	key := slices.MaxFunc(keys, func(a, b *kmsKey) int { return cmp.Compare(a.edges, b.edges) })
	grantee := "arn:" + p.w.partition + ":iam::" + ForeignAccount + ":role/backup-sync"
	grant := string(appendHex(nil, p.r.Uint64(), 64))
	i := p.incident(key, who, "a grant with Decrypt to account "+ForeignAccount, KindRule)
	p.add(i, call{
		at: at, who: who, key: key, op: opCreateGrant, direct: true,
		request: `{"keyId":"` + key.arn + `","granteePrincipal":"` + grantee +
			`","operations":["Decrypt","GenerateDataKey","DescribeKey"]}`,
		response: `{"grantId":"` + grant + `","keyId":"` + key.arn + `"}`,
	})
	thief := &principal{
		kind: isForeign, flavor: onInstance, account: ForeignAccount, name: "backup-sync", arn: grantee, seed: p.r.Uint64(),
		uniqueID: "AROA" + string(appendBase32(nil, p.r.Uint64(), 17)), version: "1.11",
		ip: publicAddress(p.r), agent: agents[1],
	}
	use := p.incident(key, thief, "account "+ForeignAccount+" decrypts with the key that it was granted", KindFirstSeen)
	const n = 16
	for k := range int64(n) {
		p.add(use, call{at: at + 15*60 + k*600/n, who: thief, key: key, op: opDecrypt, object: int(k), direct: true})
	}
}

// gap is how long a blinded trail stays blind.
const gap = 45 * 60

// trailName is the name of each account's trail.
const trailName = "management-events"

// trailBlinded: a trail excludes KMS events, once with basic and once with advanced event
// selectors, each time for three quarters of an hour.
func (p *planner) trailBlinded(at int64) {
	basic := func(excluded string) string {
		return `"eventSelectors":[{"readWriteType":"All","includeManagementEvents":true,"dataResources":[],` +
			`"excludeManagementEventSources":[` + excluded + `]}]`
	}
	advanced := func(fields string) string {
		return `"advancedEventSelectors":[{"name":"Management events","fieldSelectors":[` +
			`{"field":"eventCategory","equals":["Management"]}` + fields + `]}]`
	}
	who := p.person()
	p.blind(at, who, "basic event selectors exclude kms.amazonaws.com",
		basic(`"kms.amazonaws.com"`), basic(""))
	p.blind(at+gap+10*60, who, "advanced event selectors leave out kms.amazonaws.com",
		advanced(`,{"field":"eventSource","notEquals":["kms.amazonaws.com"]}`), advanced(""))
}

// blind plants a PutEventSelectors, the silence after it, and the call that ends it.
func (p *planner) blind(at int64, who *principal, note, selectors, restored string) {
	arn := p.trailARN(who.account)
	put := func(at int64, selectors string) call {
		return call{
			at: at, who: who, op: opSelectors,
			request:  `{"trailName":"` + trailName + `",` + selectors + `}`,
			response: `{"trailARN":"` + arn + `",` + selectors + `}`,
		}
	}
	i := p.incident(nil, who, note, KindBlindSpot)
	i.Principals = p.servicesOf(who.account)
	i.Account, i.Aftermath = who.account, time.Unix(at+gap+300, 0).UTC()
	p.add(i, put(at, selectors))
	end := put(at+gap, restored)
	end.id, end.requestID = p.r.uuid(), p.r.uuid()
	p.others = append(p.others, &end)
	p.silence(who.account, blindness{span: span{at + 1, at + gap}})
}

// loggingStopped: a trail is stopped for three quarters of an hour.
func (p *planner) loggingStopped(at int64) {
	who := p.person()
	request := `{"name":"` + p.trailARN(who.account) + `"}`
	i := p.incident(nil, who, "logging of the trail is stopped", KindBlindSpot)
	i.Principals = p.servicesOf(who.account)
	i.Account, i.Aftermath = who.account, time.Unix(at+gap+300, 0).UTC()
	p.add(i, call{at: at, who: who, op: opStopLogging, request: request})
	p.others = append(p.others, &call{
		at: at + gap, who: who, op: opStartLogging, request: request, id: p.r.uuid(), requestID: p.r.uuid(),
	})
	p.silence(who.account, blindness{span: span{at + 1, at + gap}, all: true})
}

func (p *planner) trailARN(account string) string {
	return "arn:" + p.w.partition + ":cloudtrail:" + p.g.config.Regions[0] + ":" + account + ":trail/" + trailName
}

// silenceNeeds is the minimum number of missing calls for a label to expect that a
// silence is found.
const silenceNeeds = 30

// silence hides an account's records, and labels the silence of its busiest key if enough
// calls are missing there.
func (p *planner) silence(account string, b blindness) {
	p.w.blind[account] = append(p.w.blind[account], b)
	var key *kmsKey
	most := 0.0
	for _, k := range p.keysOf(account) {
		if mean, only := p.expected(k, b.from, b.to); only && mean > most {
			key, most = k, mean
		}
	}
	if most < silenceNeeds {
		return
	}
	i := p.incident(key, nil, fmt.Sprintf("no calls on the account's busiest key, where about %.0f were to be expected",
		most), KindSilence)
	i.Start, i.End = time.Unix(b.from, 0).UTC(), time.Unix(b.to, 0).UTC()
	i.Account, i.Principals = account, p.servicesOf(account) // all of it is silent, this key most noticeably
}

// servicesOf returns the services that use keys of this account only: they fall silent
// with it.
func (p *planner) servicesOf(account string) (names []string) {
	for _, who := range p.w.principals {
		elsewhere := func(e *edge) bool { return e.key.account != account }
		if who.kind == isService && len(p.edges[who]) > 0 && !slices.ContainsFunc(p.edges[who], elsewhere) {
			names = append(names, who.entity())
		}
	}
	return names
}
