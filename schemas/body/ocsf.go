package body

import (
	"strings"

	"keytrail/schemas/kms"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
	"keytrail/schemas/view"
)

// newOCSF returns the encoder of the body ocsf.
func newOCSF() Encoder {
	d := newDocument(ocsfRows, false)
	for c := onCall; c <= onAnomaly; c <<= 1 {
		d.stays[c] = left(ocsfRows, c, nil)
	}
	return d
}

// The class numbers of OCSF.
const (
	ocsfAPIActivity = 6003
	ocsfFinding     = 2004
)

// activity is a value of activity_id with its name in OCSF.
type activity struct {
	id   int64
	name string
}

// The activities of API Activity.
var (
	ocsfCreate = activity{1, "Create"}
	ocsfRead   = activity{2, "Read"}
	ocsfUpdate = activity{3, "Update"}
	ocsfDelete = activity{4, "Delete"}
)

// ocsfActivities says what OCSF's API Activity calls the classes of operations. Calls that
// use a KMS key read it.
var ocsfActivities = [kms.NumClasses]activity{
	kms.ClassManage: ocsfUpdate, kms.ClassGrant: ocsfUpdate, kms.ClassPolicy: ocsfUpdate,
	kms.ClassRotate: ocsfUpdate, kms.ClassTrail: ocsfUpdate, kms.ClassReplicate: ocsfUpdate,
	kms.ClassDestroy: ocsfDelete,
}

// ocsfOperations are the beginnings of the names of operations that do something else than
// their class says: what can be undone, such as DisableKey, deletes nothing.
var ocsfOperations = [...]struct {
	begin string
	activity
}{
	{"Create", ocsfCreate}, {"ReplicateKey", ocsfCreate}, {"Disable", ocsfUpdate}, {"Disconnect", ocsfUpdate},
	{"Delete", ocsfDelete},
}

// activity returns what the record is about. A window is not an activity of OCSF.
func (s *state) activity() activity {
	switch s.class {
	case onWindow:
		return activity{99, "Aggregate"}
	case onAnomaly:
		revision := s.get(semconv.KeytrailAnomalyRevision)
		if s.ended() {
			return activity{3, "Close"}
		}
		if revision != nil && revision.Int > 2 && !isRule(s.get(semconv.KeytrailAnomalyKind)) {
			return activity{2, "Update"} // it goes on in a later window
		}
		if a := s.get(semconv.KeytrailIncidentRevision); a != nil && a.Int > 0 {
			return activity{2, "Update"}
		}
		return activity{1, "Create"}
	}
	_, operation := method(s.get(semconv.RPCMethod))
	for _, o := range ocsfOperations {
		if strings.HasPrefix(operation, o.begin) {
			return o.activity
		}
	}
	if a := ocsfActivities[s.operationClass()]; a.id != 0 {
		return a
	}
	return ocsfRead
}

func asActivityID(s *state, _ *otellog.Attr) otellog.Attr { return integer(s.activity().id) }

func asActivityName(s *state, _ *otellog.Attr) otellog.Attr { return text(s.activity().name) }

func asTypeUID(s *state, _ *otellog.Attr) otellog.Attr {
	if s.class == onAnomaly {
		return integer(ocsfFinding*100 + s.activity().id)
	}
	return integer(ocsfAPIActivity*100 + s.activity().id)
}

func asTypeName(s *state, _ *otellog.Attr) otellog.Attr {
	from := len(s.buf)
	if s.class == onAnomaly {
		s.buf = append(s.buf, "Detection Finding: "...)
	} else {
		s.buf = append(s.buf, "API Activity: "...)
	}
	s.buf = append(s.buf, s.activity().name...)
	return text(view.String(s.buf[from:]))
}

func asSeverityID(s *state, _ *otellog.Attr) otellog.Attr { return integer(int64(s.level()) + 1) }

func asSeverityName(s *state, _ *otellog.Attr) otellog.Attr {
	return text([...]string{"Informational", "Low", "Medium", "High", "Critical"}[s.level()])
}

// asSourceService names the service that a call came from, so that each call has a source:
// where the event has no address, the service that made it.
func asSourceService(s *state, a *otellog.Attr) otellog.Attr {
	if a != nil && a.Str != kms.Direct {
		return text(a.Str)
	}
	if s.get(semconv.ClientAddress) != nil || s.get(semconv.AWSVPCEndpointID) != nil {
		return otellog.Attr{}
	}
	service, _ := method(s.get(semconv.RPCMethod))
	if service == "" {
		service = "unknown"
	}
	return text(service)
}

func asStatusID(s *state, _ *otellog.Attr) otellog.Attr {
	if s.outcome() == kms.OutcomeOK {
		return integer(1)
	}
	return integer(2)
}

// ended reports whether the record is that of the end of an anomaly or an incident.
func (s *state) ended() bool {
	return s.str(semconv.KeytrailAnomalyState) == "ended" || s.str(semconv.KeytrailIncidentState) == "ended"
}

// asFindingStatusID and asFindingStatusName are the status of a finding.
func asFindingStatusID(s *state, _ *otellog.Attr) otellog.Attr {
	switch {
	case s.ended():
		return integer(4)
	case s.activity().id == 2:
		return integer(2)
	}
	return integer(1)
}

func asFindingStatusName(s *state, a *otellog.Attr) otellog.Attr {
	return text([...]string{1: "New", 2: "In Progress", 4: "Resolved"}[asFindingStatusID(s, a).Int])
}

func asStatusName(s *state, _ *otellog.Attr) otellog.Attr {
	if s.outcome() == kms.OutcomeOK {
		return text("Success")
	}
	return text("Failure")
}

// asKeyType is the type that CloudFormation gives a KMS key or an alias.
func asKeyType(_ *state, a *otellog.Attr) otellog.Attr {
	switch {
	case a == nil:
		return otellog.Attr{}
	case strings.Contains(a.Str, ":alias/"):
		return text("AWS::KMS::Alias")
	}
	return text("AWS::KMS::Key")
}

// isRule reports whether a kind of anomaly comes from a rule and not from statistics.
func isRule(kind *otellog.Attr) bool {
	return kind != nil && (kind.Str == "rule" || kind.Str == "blind_spot")
}

func asAnalyticID(_ *state, a *otellog.Attr) otellog.Attr {
	if isRule(a) {
		return integer(1)
	}
	return integer(3)
}

func asAnalyticName(_ *state, a *otellog.Attr) otellog.Attr {
	if isRule(a) {
		return text("Rule")
	}
	return text("Statistical")
}

// asAttacks is a list of OCSF's attack objects.
func asAttacks(s *state, a *otellog.Attr) otellog.Attr {
	if a == nil || len(a.Strs) == 0 {
		return otellog.Attr{}
	}
	from := len(s.buf)
	for i, id := range a.Strs {
		s.buf = append(s.buf, "[,"[min(i, 1)])
		technique, _, sub := strings.Cut(id, ".")
		s.buf = otellog.AppendString(append(s.buf, `{"technique":{"uid":`...), technique)
		if sub {
			s.buf = otellog.AppendString(append(s.buf, `},"sub_technique":{"uid":`...), id)
		}
		s.buf = append(s.buf, "}}"...)
	}
	s.buf = append(s.buf, ']')
	return otellog.Attr{Kind: kindRaw, Str: view.String(s.buf[from:])}
}

// asAnalyses is a list of one of OCSF's anomaly_analysis objects: what was observed, and
// what the baseline expected. OCSF has both as text.
func asAnalyses(s *state, _ *otellog.Attr) otellog.Attr {
	observed, expected := s.get(semconv.KeytrailAnomalyObserved), s.get(semconv.KeytrailAnomalyExpected)
	if observed == nil || expected == nil || isRule(s.get(semconv.KeytrailAnomalyKind)) {
		return otellog.Attr{}
	}
	target := s.str(semconv.AWSKMSKeyARN)
	if target == "" {
		target = s.str(semconv.KeytrailPrincipalID)
	}
	from := len(s.buf)
	b := otellog.AppendString(append(s.buf, `[{"analysis_targets":[{"name":`...), target)
	b = otellog.AppendString(append(b, `,"type":`...), s.str(semconv.KeytrailWindowScope))
	b = append(b, `}],"anomalies":[{"observation_parameter":`...)
	b = otellog.AppendString(b, s.str(semconv.KeytrailAnomalyDetector))
	b = otellog.AppendString(append(b, `,"observation_type":`...), s.str(semconv.KeytrailAnomalyKind))
	b = otellog.AppendString(append(b, `,"observed_pattern":`...), s.str(semconv.KeytrailAnomalyReason))
	b = append(appendText(append(b, `,"observations":[{"value":"`...), observed), `"}]}]`...)
	b = append(b, `,"baselines":[{"observation_parameter":`...)
	b = otellog.AppendString(b, s.str(semconv.KeytrailAnomalyDetector))
	b = otellog.AppendString(append(b, `,"observation_type":`...), s.str(semconv.KeytrailAnomalyKind))
	s.buf = append(appendText(append(b, `,"observations":[{"value":"`...), expected), `"}]}]}]`...)
	return otellog.Attr{Kind: kindRaw, Str: view.String(s.buf[from:])}
}

// asUnmapped collects the attributes that no row takes, by their names.
func asUnmapped(s *state, _ *otellog.Attr) otellog.Attr {
	from := len(s.buf)
	s.buf = append(s.buf, '{')
	for i := len(fields); i < len(s.slots); i++ {
		if a := s.slots[i]; a != nil && s.stays[s.class][i] {
			s.buf = appendAttr(s.buf, a)
		}
	}
	s.buf = s.unknown(s.buf)
	if len(s.buf) == from+1 {
		return otellog.Attr{}
	}
	s.buf = append(s.buf, '}')
	return otellog.Attr{Kind: kindRaw, Str: view.String(s.buf[from:])}
}
