package normalize

import (
	"strings"

	"keytrail/schemas/aws/arn"
	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/kms"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// key finds the KMS keys that ev is about, keeps them in n.keys and writes
// their attributes.
func (n *Normalizer) key(ev *cloudtrail.Event, class kms.Class, o kms.Outcome, rec *otellog.Record) {
	n.keys, n.owner = [2]string{}, ""
	if n.knownKey(ev, class, rec) {
		return
	}
	if ev.Source == serviceKMS {
		if class == kms.ClassReencrypt {
			n.bothKeys(ev)
		} else {
			n.keys[0] = n.oneKey(ev)
		}
	}
	n.writeARN(ev, class, o, rec)
	rec.String(semconv.AWSKMSDestinationKeyARN, n.keys[1])
	n.alias(ev, class, rec)
}

// arn writes the first key and what its ARN says.
func (n *Normalizer) arn(ev *cloudtrail.Event, o kms.Outcome, rec *otellog.Record) {
	n.owner = arn.Account(n.keys[0])
	arn := n.keys[0]
	rec.String(semconv.AWSKMSKeyARN, arn)
	id, ok := strings.CutPrefix(kmsResource(arn), "key/")
	if !ok {
		_, id, _ = strings.Cut(arn, ":key/")
	}
	rec.String(semconv.AWSKMSKeyID, id)
	rec.String(semconv.AWSKMSKeyAccountID, n.owner)
	n.multiRegion(ev, id, o, rec)
}

// bothKeys finds the two keys of a ReEncrypt: both count. resources lists the
// source key and the destination key, in this order ("ReEncrypt" in "Examples of
// AWS KMS log entries"); one key may stand there twice. A list of one key is
// completed from the names in the request, which may be aliases. The second key is that of
// the destination, and the first one again where both are the same; it is "" where the
// record shows one of them only, as each of two owners' records may.
func (n *Normalizer) bothKeys(ev *cloudtrail.Event) {
	source, destination := n.complete(ev, ev.Request.SourceKeyID), n.complete(ev, ev.Request.DestinationKeyID)
	listed, a, b := 0, "", ""
	for i := range ev.Resources {
		arn := strings.TrimSpace(ev.Resources[i].ARN)
		if !isKey(arn) {
			continue
		}
		listed++
		switch {
		case a == "":
			a = arn
		case b == "" && arn != a:
			b = arn
		}
	}
	switch {
	case listed == 0:
		n.keys = [2]string{source, destination}
	case a == destination: // the other order, or the destination alone
		n.keys = [2]string{first(b, source), a}
	case b != "":
		n.keys = [2]string{a, b}
	case destination == "" && isKey(source):
		n.keys = [2]string{source, a}
	case listed > 1 && !isKey(destination): // an alias of the one key
		n.keys = [2]string{a}
	default:
		n.keys = [2]string{a, destination}
	}
	if n.keys[0] == "" {
		n.keys[0], n.keys[1] = n.keys[1], ""
	}
	whole := listed > 1 || source != "" && destination != ""
	switch {
	case whole && n.keys[1] == "":
		n.keys[1] = n.keys[0]
	case !whole && n.keys[1] == n.keys[0]:
		n.keys[1] = ""
	}
}

// isKey and isAlias tell what an ARN names. Most are ARNs of keys in the
// partition aws, which the search through the whole text is spared.
func isKey(arn string) bool {
	return strings.HasPrefix(kmsResource(arn), "key/") || strings.Contains(arn, ":key/")
}

func isAlias(id string) bool {
	return strings.HasPrefix(id, "alias/") ||
		!strings.HasPrefix(kmsResource(id), "key/") && strings.Contains(id, ":alias/")
}

// kmsResource returns what stands behind the account in the ARN of a KMS key or
// alias in the partition aws; "" for any other text.
func kmsResource(arn string) string {
	rest, ok := strings.CutPrefix(arn, "arn:aws:kms:")
	if !ok {
		return ""
	}
	_, rest, _ = strings.Cut(rest, ":")
	_, rest, _ = strings.Cut(rest, ":")
	return rest
}

// oneKey finds the KMS key of an event, or the alias if only that is known.
// resources comes first: requestParameters.keyId may be an alias, a bare id, or
// absent (Decrypt), and may differ. Listed resources that are not key ARNs, such as
// an alias or a bare id, come last.
func (n *Normalizer) oneKey(ev *cloudtrail.Event) string {
	other := ""
	for i := range ev.Resources {
		arn := ev.Resources[i].ARN
		if isKey(arn) {
			return strings.TrimSpace(arn)
		}
		if other == "" {
			other = n.complete(ev, arn)
		}
	}
	for _, id := range [...]string{
		ev.Response.KeyID, ev.Response.MetadataARN, ev.Service.KeyID, ev.Extra.KeyID,
		ev.Request.KeyID, ev.Request.TargetKeyID,
	} {
		if k := n.complete(ev, id); k != "" {
			return k
		}
	}
	return first(other, n.complete(ev, ev.Request.AliasName))
}

// complete makes an ARN of a bare key id or alias name; ARNs stay as they are.
// Ids are never checked for their form: real and anonymized ones differ in
// length.
func (n *Normalizer) complete(ev *cloudtrail.Event, id string) string {
	id = strings.TrimSpace(id)
	switch {
	case id == "":
		return ""
	case strings.HasPrefix(id, "alias/"):
		return n.join("arn:", partition(ev.Region), ":kms:", ev.Region, ":", account(ev), ":", id)
	case !strings.ContainsAny(id, ":/"):
		return n.join("arn:", partition(ev.Region), ":kms:", ev.Region, ":", account(ev), ":key/", id)
	}
	return id
}

// multiRegion writes whether the key is one of several with the same id in
// several Regions, and which of them is the primary key, where the record shows
// that. Only the primary key can be replicated; a call that failed tells nothing.
func (n *Normalizer) multiRegion(ev *cloudtrail.Event, id string, o kms.Outcome, rec *otellog.Record) {
	primary, replica := ev.Response.PrimaryARN, ev.Response.ReplicaARN
	if ev.Source == serviceKMS && o == kms.OutcomeOK && id != "" {
		switch ev.Name {
		case "ReplicateKey":
			primary = first(primary, n.keys[0])
			replica = first(replica, n.inRegion(n.keys[0], ev.Request.ReplicaRegion))
		case "UpdatePrimaryRegion":
			primary = n.inRegion(n.keys[0], ev.Request.PrimaryRegion)
		}
	}
	switch {
	case strings.HasPrefix(id, "mrk-"), primary != "", ev.Request.MultiRegion == cloudtrail.True:
		rec.Bool(semconv.AWSKMSKeyMultiRegion, true)
	case ev.Request.MultiRegion == cloudtrail.False:
		rec.Bool(semconv.AWSKMSKeyMultiRegion, false)
	}
	rec.String(semconv.AWSKMSKeyPrimaryARN, primary)
	rec.String(semconv.AWSKMSKeyReplicaARN, replica)
}

// inRegion returns the ARN of the key with the same id in another Region, or ""
// when the Region is not known. Related keys share partition and account.
func (n *Normalizer) inRegion(arn, region string) string {
	head, rest, ok := strings.Cut(arn, ":kms:")
	_, tail, found := strings.Cut(rest, ":")
	if region == "" || !ok || !found {
		return ""
	}
	return n.join(head, ":kms:", region, ":", tail)
}

// alias writes the alias that the event names: as it is named, and in full.
func (n *Normalizer) alias(ev *cloudtrail.Event, class kms.Class, rec *otellog.Record) {
	if ev.Source != serviceKMS {
		return
	}
	name := namedAlias(ev, class)
	rec.String(semconv.AWSKMSAliasName, name)
	rec.String(semconv.AWSKMSAliasARN, n.aliasARN(ev, name))
	if class == kms.ClassReencrypt && isAlias(ev.Request.DestinationKeyID) {
		rec.String(semconv.AWSKMSDestinationAliasARN, n.aliasARN(ev, ev.Request.DestinationKeyID))
	}
}

// namedAlias returns the alias that the event names, as it names it. A
// ReEncrypt names two keys; the alias is that of the source.
func namedAlias(ev *cloudtrail.Event, class kms.Class) string {
	if ev.Request.AliasName != "" {
		return ev.Request.AliasName
	}
	for _, id := range [...]string{ev.Request.KeyID, ev.Request.SourceKeyID} {
		if isAlias(id) {
			return id
		}
	}
	if class == kms.ClassReencrypt {
		return "" // one that is only listed may be that of either key
	}
	for i := range ev.Resources {
		if isAlias(ev.Resources[i].ARN) {
			return ev.Resources[i].ARN
		}
	}
	return ""
}

// aliasARN returns the ARN of the alias called name: as the event lists it, else
// completed. A name alone is always one of the caller's account and Region.
func (n *Normalizer) aliasARN(ev *cloudtrail.Event, name string) string {
	name = strings.TrimSpace(name)
	if strings.HasPrefix(name, "alias/") {
		for i := range ev.Resources {
			arn := strings.TrimSpace(ev.Resources[i].ARN)
			if rest, ok := strings.CutSuffix(arn, name); ok && strings.HasSuffix(rest, ":") {
				return arn
			}
		}
		if arn := ev.Response.AliasARN; arn != "" {
			return arn
		}
	}
	return n.complete(ev, name)
}
