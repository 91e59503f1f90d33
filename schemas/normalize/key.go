package normalize

import (
	"strings"

	"keytrail/schemas/cloudtrail"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// key finds the KMS keys that ev is about, keeps them in n.keys and writes
// their attributes.
func (n *Normalizer) key(ev *cloudtrail.Event, class Class, rec *otellog.Record) {
	n.keys = [2]string{}
	if ev.Source == serviceKMS {
		if class == ClassReencrypt {
			n.bothKeys(ev)
		}
		if n.keys[0] == "" {
			n.keys[0] = n.oneKey(ev)
		}
	}
	arn := n.keys[0]
	rec.String(semconv.AWSKMSKeyARN, arn)
	if _, id, ok := strings.Cut(arn, ":key/"); ok {
		rec.String(semconv.AWSKMSKeyID, id)
		if strings.HasPrefix(id, "mrk-") {
			rec.Bool(semconv.AWSKMSKeyMultiRegion, true)
		}
	}
	rec.String(semconv.AWSKMSKeyAccountID, ARNAccount(arn))
	rec.String(semconv.AWSKMSDestinationKeyARN, n.keys[1])
	rec.String(semconv.AWSKMSAlias, alias(ev))
	rec.String(semconv.AWSKMSOperationClass, class.String())
}

// bothKeys finds the two keys of a ReEncrypt: both count.
func (n *Normalizer) bothKeys(ev *cloudtrail.Event) {
	found := 0
	for i := range ev.Resources {
		arn := strings.TrimSpace(ev.Resources[i].ARN)
		if strings.Contains(arn, ":key/") && (found == 0 || arn != n.keys[0]) && found < 2 {
			n.keys[found] = arn
			found++
		}
	}
	if found == 2 {
		return
	}
	n.keys = [2]string{n.complete(ev, ev.Request.SourceKeyID), n.complete(ev, ev.Request.DestinationKeyID)}
	if n.keys[0] == "" {
		n.keys[0], n.keys[1] = n.keys[1], ""
	}
	if n.keys[0] == n.keys[1] {
		n.keys[1] = ""
	}
}

// oneKey finds the KMS key of an event, or the alias when only that is known.
// resources comes first: requestParameters.keyId may be an alias, a bare id, or
// absent (Decrypt), and may differ.
func (n *Normalizer) oneKey(ev *cloudtrail.Event) string {
	other := ""
	for i := range ev.Resources {
		arn := ev.Resources[i].ARN
		if strings.Contains(arn, ":key/") {
			return strings.TrimSpace(arn)
		}
		if other == "" && strings.Contains(arn, ":alias/") {
			other = strings.TrimSpace(arn)
		}
	}
	for _, id := range [...]string{ev.Response.KeyID, ev.Response.MetadataARN, ev.Service.KeyID, ev.Request.KeyID, ev.Request.TargetKeyID, ev.Request.SourceKeyID} {
		if k := n.complete(ev, id); k != "" {
			return k
		}
	}
	return other
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

// alias returns the alias that the event names, as it names it.
func alias(ev *cloudtrail.Event) string {
	if ev.Request.AliasName != "" {
		return ev.Request.AliasName
	}
	if id := ev.Request.KeyID; strings.HasPrefix(id, "alias/") || strings.Contains(id, ":alias/") {
		return id
	}
	for i := range ev.Resources {
		if strings.Contains(ev.Resources[i].ARN, ":alias/") {
			return ev.Resources[i].ARN
		}
	}
	return ""
}

// ARNAccount returns the account id inside an ARN (its fifth part), or "".
func ARNAccount(arn string) string {
	for range 4 {
		_, rest, ok := strings.Cut(arn, ":")
		if !ok {
			return ""
		}
		arn = rest
	}
	id, _, ok := strings.Cut(arn, ":")
	if !ok {
		return ""
	}
	return id
}
