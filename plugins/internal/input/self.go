package input

import (
	"context"
	"strings"

	"keytrail/plugins/internal/logging"
	"keytrail/processor/source/feed"
	"keytrail/schemas/aws/cloudtrail"
)

// own recognizes the calls of the collector's principals: reading a trail that is
// encrypted with a KMS key is a Decrypt for every file, which CloudTrail records in turn.
// normalize.TrailRead decides which of their calls are such reads.
type own struct {
	arns     []string // users, and roles as their events' issuer
	sessions []string // "arn:aws:sts::ACCOUNT:assumed-role/NAME/": the beginning of a role's sessions
}

// add adds a principal: the ARN of a user, a role, or a session of one.
func (o *own) add(arn string) {
	head, rest, isSession := strings.Cut(arn, ":assumed-role/")
	if isSession {
		name, _, _ := strings.Cut(rest, "/")
		o.sessions = append(o.sessions, head+":assumed-role/"+name+"/")
		return
	}
	o.arns = append(o.arns, arn)
	if head, path, isRole := strings.Cut(arn, ":role/"); isRole {
		name := path[strings.LastIndexByte(path, '/')+1:]
		o.sessions = append(o.sessions, strings.Replace(head, ":iam:", ":sts:", 1)+":assumed-role/"+name+"/")
	}
}

// made reports whether a principal of the collector made the call.
func (o *own) made(ev *cloudtrail.Event) bool {
	if o == nil {
		return false
	}
	for _, s := range o.sessions {
		if strings.HasPrefix(ev.Identity.ARN, s) {
			return true
		}
	}
	for _, a := range o.arns {
		if ev.Identity.ARN == a || ev.Identity.IssuerARN == a {
			return true
		}
	}
	return false
}

// learnSelf finds out who the collector is, from the configuration and, where AWS is
// called, from STS. Every principal may call it; where its endpoint cannot be reached
// the calls are not marked, and the log says so.
func (in *Input) learnSelf(ctx context.Context) {
	o := &own{}
	for _, arn := range in.cfg.SelfPrincipals {
		o.add(arn)
	}
	if in.cfg.Source != SourceFile {
		arn, err := feed.Caller(ctx, in.cfg.AWS)
		if err != nil {
			in.log.Printf(logging.Warn, "%v; reads by the collector itself are not marked, unless self_principals names it", err)
		} else {
			in.log.Printf(logging.Info, "reads of encrypted trails by %s are marked as the collector's own", arn)
			o.add(arn)
		}
	}
	in.own.Store(o)
}
