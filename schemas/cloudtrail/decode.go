package cloudtrail

// Decoder decodes single events. The zero value is not usable; make one with
// NewDecoder. A Decoder is not safe for concurrent use.
type Decoder struct {
	s   scanner
	env envelope
	lim Limits
}

// NewDecoder returns a Decoder with the given limits (zero fields take their
// defaults).
func NewDecoder(lim Limits) *Decoder { return &Decoder{lim: lim.WithDefaults()} }

// Decode decodes data, which must hold exactly one event, into ev, whose
// strings become views into data. It returns nil or a *BadRecord; an object
// that is JSON but no CloudTrail event is ReasonEnvelope.
func (d *Decoder) Decode(data []byte, ev *Event) error {
	n, serr := d.value(data, ev)
	bad := func(reason Reason, detail string) error {
		raw, cut := clip(data)
		return &BadRecord{Object: ev.Object, Index: ev.Index, Offset: ev.Offset, Reason: reason, Detail: detail, Raw: raw, Cut: cut}
	}
	if serr.bad() {
		return bad(serr.reason, serr.detail)
	}
	d.s.pos = n
	if d.s.space() != 0 || d.s.pos < len(data) {
		return bad(ReasonSyntax, "bytes follow the event")
	}
	if !ev.isEvent() {
		return bad(ReasonEnvelope, "no eventSource, eventName or eventVersion")
	}
	return nil
}

func clip(raw []byte) ([]byte, bool) {
	if len(raw) > MaxRawBytes {
		return raw[:MaxRawBytes], true
	}
	return raw, false
}

// isEvent tells whether the object just decoded is a CloudTrail event.
func (ev *Event) isEvent() bool { return ev.Name != "" || ev.Source != "" || ev.Version != "" }

// reset empties ev and keeps its slices' memory and its place.
func (ev *Event) reset() {
	*ev = Event{
		Object: ev.Object, Index: ev.Index, Offset: ev.Offset,
		Resources: ev.Resources[:0], Context: ev.Context[:0],
		Lists: EventList{GrantOperations: ev.Lists.GrantOperations[:0]},
	}
}

// value decodes the JSON value at the start of data, which may go on behind it,
// and returns the value's length. An object's event fields go to ev and its
// envelope fields to d.env.
func (d *Decoder) value(data []byte, ev *Event) (int, scanErr) {
	ev.reset()
	d.env = envelope{}
	s := &d.s
	s.reset(data, d.lim.Depth)
	if s.space() != '{' {
		err := s.skip()
		ev.Raw = data[:s.pos]
		return s.pos, err
	}
	from := s.pos
	if err := d.record(ev); err.bad() {
		return s.pos, err
	}
	ev.Raw = data[from:s.pos]
	return s.pos, scanErr{}
}

// record decodes the members of the object at the scanner's position. Names
// that no event has may belong to an envelope.
func (d *Decoder) record(ev *Event) scanErr {
	s := &d.s
	var o objState
	if err := s.open(&o); err.bad() {
		return err
	}
	for {
		name, ok, err := s.next(&o)
		if err.bad() || !ok {
			return err
		}
		if dst := ev.text(name); dst != nil {
			err = s.text(dst)
		} else {
			err = d.part(ev, name)
		}
		if err.bad() {
			return err
		}
	}
}

// text returns where the text field called name goes, or nil. The cases, here
// and in part, are the fields of "CloudTrail record contents".
func (ev *Event) text(name string) *string {
	switch name {
	case "eventVersion":
		return &ev.Version
	case "eventTime":
		return &ev.Time
	case "eventSource":
		return &ev.Source
	case "eventName":
		return &ev.Name
	case "awsRegion":
		return &ev.Region
	case "sourceIPAddress":
		return &ev.SourceIP
	case "userAgent":
		return &ev.UserAgent
	case "errorCode":
		return &ev.ErrorCode
	case "errorMessage":
		return &ev.ErrorMessage
	case "requestID":
		return &ev.RequestID
	case "eventID":
		return &ev.ID
	case "sharedEventID":
		return &ev.SharedID
	case "eventType":
		return &ev.Type
	case "eventCategory":
		return &ev.Category
	case "apiVersion":
		return &ev.APIVersion
	case "recipientAccountId":
		return &ev.RecipientAccount
	case "vpcEndpointId":
		return &ev.VPCEndpoint
	case "vpcEndpointAccountId":
		return &ev.VPCEndpointOwner
	}
	return nil
}

// part decodes the fields that are not text.
func (d *Decoder) part(ev *Event, name string) scanErr {
	s := &d.s
	switch name {
	case "readOnly":
		return s.boolean(&ev.ReadOnly)
	case "managementEvent":
		return s.boolean(&ev.Management)
	case "sessionCredentialFromConsole":
		return s.boolean(&ev.ConsoleCredential)
	case "userIdentity":
		return s.identity(&ev.Identity)
	case "tlsDetails":
		return s.tls(&ev.TLS)
	case "requestParameters":
		return s.request(ev)
	case "responseElements":
		return s.response(&ev.Response)
	case "serviceEventDetails":
		return s.service(&ev.Service)
	case "additionalEventData":
		return s.extra(&ev.Extra)
	case "addendum":
		return s.addendum(&ev.Addendum)
	case "resources":
		return s.targets(&ev.Resources)
	}
	return d.env.member(s, name)
}

// identity decodes userIdentity.
func (s *scanner) identity(id *Identity) scanErr {
	var o objState
	if ok, err := s.object(&o); !ok {
		return err
	}
	for {
		name, ok, err := s.next(&o)
		if err.bad() || !ok {
			return err
		}
		switch name {
		case "type":
			err = s.text(&id.Type)
		case "principalId":
			err = s.text(&id.PrincipalID)
		case "arn":
			err = s.text(&id.ARN)
		case "accountId":
			err = s.text(&id.Account)
		case "accessKeyId":
			err = s.text(&id.AccessKeyID)
		case "userName":
			err = s.text(&id.UserName)
		case "invokedBy":
			err = s.text(&id.InvokedBy)
		case "identityProvider":
			err = s.text(&id.IdentityProvider)
		case "credentialId":
			err = s.text(&id.CredentialID)
		case "onBehalfOf":
			err = s.members(field{"userId", &id.OnBehalfOfUser}, field{"identityStoreArn", &id.OnBehalfOfStore})
		case "sessionContext":
			err = s.session(id)
		default:
			err = s.skip()
		}
		if err.bad() {
			return err
		}
	}
}

func (s *scanner) session(id *Identity) scanErr {
	var o objState
	if ok, err := s.object(&o); !ok {
		return err
	}
	for {
		name, ok, err := s.next(&o)
		if err.bad() || !ok {
			return err
		}
		switch name {
		case "sessionIssuer":
			err = s.members(field{"type", &id.IssuerType}, field{"principalId", &id.IssuerPrincipal},
				field{"arn", &id.IssuerARN}, field{"accountId", &id.IssuerAccount}, field{"userName", &id.IssuerName})
		case "attributes":
			var mfa string
			err = s.members(field{"creationDate", &id.SessionCreated}, field{"mfaAuthenticated", &mfa})
			id.MFA = boolOf(mfa)
		case "webIdFederationData":
			err = s.members(field{"federatedProvider", &id.FederatedBy})
		case "sourceIdentity":
			err = s.text(&id.SourceIdentity)
		default:
			err = s.skip()
		}
		if err.bad() {
			return err
		}
	}
}

func (s *scanner) tls(t *TLS) scanErr {
	return s.members(field{"tlsVersion", &t.Version}, field{"cipherSuite", &t.Cipher}, field{"clientProvidedHostHeader", &t.Host})
}

func (s *scanner) service(v *Service) scanErr {
	return s.members(field{"keyId", &v.KeyID}, field{"rotationType", &v.RotationType}, field{"keyOrigin", &v.KeyOrigin},
		field{"previousKeyMaterialId", &v.PreviousMaterialID}, field{"currentKeyMaterialId", &v.CurrentMaterialID})
}

func (s *scanner) addendum(a *Addendum) scanErr {
	return s.members(field{"reason", &a.Reason}, field{"originalEventID", &a.OriginalID},
		field{"originalRequestID", &a.OriginalRequestID}, field{"updatedFields", &a.UpdatedFields})
}

func boolOf(text string) Bool {
	switch text {
	case "true":
		return True
	case "false":
		return False
	}
	return Missing
}

// field is a name whose value goes to a string.
type field struct {
	name string
	dst  *string
}

// members decodes an object of which only a few text fields matter.
func (s *scanner) members(fields ...field) scanErr {
	var o objState
	if ok, err := s.object(&o); !ok {
		return err
	}
	for {
		name, ok, err := s.next(&o)
		if err.bad() || !ok {
			return err
		}
		dst := (*string)(nil)
		for i := range fields {
			if fields[i].name == name {
				dst = fields[i].dst
				break
			}
		}
		if dst != nil {
			err = s.text(dst)
		} else {
			err = s.skip()
		}
		if err.bad() {
			return err
		}
	}
}

// object opens the object at the scanner's position; any other value is passed
// over and ok is false.
func (s *scanner) object(o *objState) (ok bool, err scanErr) {
	if s.space() != '{' {
		return false, s.skip()
	}
	if err := s.open(o); err.bad() {
		return false, err
	}
	return true, scanErr{}
}
