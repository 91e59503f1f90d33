package body

import (
	"slices"
	"strings"

	"keytrail/schemas/kms"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// newECS returns the encoder of the body ecs. Attributes that no row takes stand in the
// document under their own names.
func newECS() Encoder {
	rows := slices.Clone(ecsRows)
	for c := onCall; c <= onAnomaly; c <<= 1 {
		for i, stays := range left(ecsRows, c, ecsKeep) {
			if stays {
				name := attributes[i-len(fields)]
				rows = append(rows, row{to: name, from: []string{name}, on: c})
			}
		}
	}
	return newDocument(rows, true)
}

// The categories and types that ECS 9 has for what a class of operations does: values of
// event.category, of which event.type depends.
var (
	ecsUse    = []string{"api"}
	ecsChange = []string{"api", "configuration"}
	ecsAdmin  = []string{"api", "iam"}

	ecsTypes = [kms.NumClasses]string{
		kms.ClassManage: "change", kms.ClassGrant: "admin", kms.ClassPolicy: "admin", kms.ClassDestroy: "change",
		kms.ClassRotate: "change", kms.ClassReplicate: "change", kms.ClassTrail: "change",
	}
)

func asEcsCategory(s *state, _ *otellog.Attr) otellog.Attr {
	switch s.operationClass() {
	case kms.ClassGrant, kms.ClassPolicy:
		return list(ecsAdmin...)
	case kms.ClassManage, kms.ClassDestroy, kms.ClassRotate, kms.ClassReplicate, kms.ClassTrail:
		return list(ecsChange...)
	}
	return list(ecsUse...)
}

// asEcsType says what the call does and whether it was refused.
func asEcsType(s *state, _ *otellog.Attr) otellog.Attr {
	from := len(s.items)
	kind := ecsTypes[s.operationClass()]
	switch activity := s.activity(); {
	case kind == "":
		kind = "access"
	case kind == "change" && activity == ocsfCreate:
		kind = "creation"
	case kind == "change" && activity == ocsfDelete:
		kind = "deletion"
	}
	s.items = append(s.items, kind)
	if s.outcome() == kms.OutcomeDenied {
		s.items = append(s.items, "denied")
	}
	return s.since(from)
}

func asAttackFramework(_ *state, a *otellog.Attr) otellog.Attr {
	if a == nil || len(a.Strs) == 0 {
		return otellog.Attr{}
	}
	return text("MITRE ATT&CK")
}

// asTechniques lists techniques, those of sub-techniques included, each once.
func asTechniques(s *state, a *otellog.Attr) otellog.Attr {
	from := len(s.items)
	if a != nil {
		for _, id := range a.Strs {
			id, _, _ = strings.Cut(id, ".")
			if !slices.Contains(s.items[from:], id) {
				s.items = append(s.items, id)
			}
		}
	}
	return s.since(from)
}

// asSubtechniques lists the sub-techniques among the techniques.
func asSubtechniques(s *state, a *otellog.Attr) otellog.Attr {
	from := len(s.items)
	if a != nil {
		for _, id := range a.Strs {
			if strings.Contains(id, ".") {
				s.items = append(s.items, id)
			}
		}
	}
	return s.since(from)
}

// asRelatedUser lists all names of the caller, each once.
func asRelatedUser(s *state, _ *otellog.Attr) otellog.Attr {
	from := len(s.items)
	for _, name := range [...]string{
		semconv.KeytrailPrincipalID, semconv.AWSPrincipalARN, semconv.UserName, semconv.UserID,
	} {
		if v := s.str(name); v != "" && !slices.Contains(s.items[from:], v) {
			s.items = append(s.items, v)
		}
	}
	return s.since(from)
}
