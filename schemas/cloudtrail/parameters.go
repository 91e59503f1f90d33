package cloudtrail

// request decodes requestParameters of KMS calls and of the CloudTrail calls
// that change a trail. Fields that Keytrail does not read stay in the body.
func (s *scanner) request(ev *Event) scanErr {
	var o objState
	if ok, err := s.object(&o); !ok {
		return err
	}
	for {
		name, ok, err := s.next(&o)
		if err.bad() || !ok {
			return err
		}
		if dst := ev.Request.text(name); dst != nil {
			err = s.text(dst)
		} else {
			err = s.requestPart(ev, name)
		}
		if err.bad() {
			return err
		}
	}
}

// text returns where the text parameter called name goes, or nil.
func (r *Request) text(name string) *string {
	switch name {
	case "keyId":
		return &r.KeyID
	case "keySpec", "customerMasterKeySpec", "keyPairSpec":
		return &r.KeySpec
	case "encryptionAlgorithm", "signingAlgorithm", "macAlgorithm", "keyAgreementAlgorithm":
		return &r.Algorithm
	case "sourceKeyId":
		return &r.SourceKeyID
	case "destinationKeyId":
		return &r.DestinationKeyID
	case "targetKeyId":
		return &r.TargetKeyID
	case "aliasName":
		return &r.AliasName
	case "keyUsage":
		return &r.KeyUsage
	case "origin":
		return &r.Origin
	case "grantId":
		return &r.GrantID
	case "name", "trailName":
		return &r.TrailName
	case "granteePrincipal":
		return &r.GranteePrincipal
	case "retiringPrincipal":
		return &r.RetiringPrincipal
	case "policy":
		return &r.Policy
	case "pendingWindowInDays":
		return &r.PendingWindowDays
	case "expirationModel":
		return &r.ExpirationModel
	case "validTo":
		return &r.ValidTo
	case "primaryRegion":
		return &r.PrimaryRegion
	case "replicaRegion":
		return &r.ReplicaRegion
	case "eventDataStore":
		return &r.EventDataStore
	case "kmsKeyId":
		return &r.KMSKeyID
	}
	return nil
}

// requestPart decodes the parameters that are not text.
func (s *scanner) requestPart(ev *Event, name string) scanErr {
	r := &ev.Request
	switch name {
	case "encryptionContext", "sourceEncryptionContext", "destinationEncryptionContext":
		if len(ev.Context) > 0 { // ReEncrypt has two; the first one stands for both
			return s.skip()
		}
		return s.pairs(&ev.Context)
	case "constraints":
		return s.constraints(ev)
	case "operations":
		return s.strings(&ev.Lists.GrantOperations)
	case "bypassPolicyLockoutSafetyCheck":
		return s.boolean(&r.BypassPolicyLockout)
	case "multiRegion":
		return s.boolean(&r.MultiRegion)
	case "dryRun":
		return s.boolean(&r.DryRun)
	case "eventSelectors":
		return s.json(&r.EventSelectors)
	case "advancedEventSelectors":
		return s.json(&r.AdvancedSelectors)
	case "insightSelectors":
		return s.json(&r.InsightSelectors)
	}
	return s.skip()
}

// constraints decodes a grant's constraints: the context that its user must
// give, in full or in part.
func (s *scanner) constraints(ev *Event) scanErr {
	var o objState
	if ok, err := s.object(&o); !ok {
		return err
	}
	for {
		name, ok, err := s.next(&o)
		if err.bad() || !ok {
			return err
		}
		if (name == "encryptionContextSubset" || name == "encryptionContextEquals") && len(ev.Context) == 0 {
			err = s.pairs(&ev.Context)
		} else {
			err = s.skip()
		}
		if err.bad() {
			return err
		}
	}
}

func (s *scanner) response(r *Response) scanErr {
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
		case "keyId":
			err = s.text(&r.KeyID)
		case "keyState":
			err = s.text(&r.KeyState)
		case "grantId":
			err = s.text(&r.GrantID)
		case "aliasArn":
			err = s.text(&r.AliasARN)
		case "deletionDate":
			err = s.text(&r.DeletionDate)
		case "keyMetadata":
			err = s.members(field{"arn", &r.MetadataARN}, field{"keyState", &r.KeyState})
		default:
			err = s.skip()
		}
		if err.bad() {
			return err
		}
	}
}

func (s *scanner) extra(x *Extra) scanErr {
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
		case "keyMaterialId":
			err = s.text(&x.KeyMaterialID)
		case "grantId":
			err = s.text(&x.GrantID)
		case "keyId":
			err = s.text(&x.KeyID)
		case "recipient":
			err = s.members(field{"attestationDocumentModuleId", &x.AttestedBy})
		default:
			err = s.skip()
		}
		if err.bad() {
			return err
		}
	}
}

// targets decodes resources, into dst unless that is nil. Copies that passed
// through other tools spell ARN in lower case.
//
// A record cut inside its resources takes the records behind it in as further
// resources, and the end of the file makes it whole again. So a target that has
// a record's own name is where the next record begins.
func (s *scanner) targets(dst *[]Target) scanErr {
	if s.space() != '[' {
		return s.skip()
	}
	var a arrState
	if err := s.openArray(&a); err.bad() {
		return err
	}
	for {
		ok, err := s.nextItem(&a)
		if err.bad() || !ok {
			return err
		}
		var t Target
		var lower, version, id string
		if s.space() == '"' { // EventBridge lists bare ARNs
			err = s.text(&t.ARN)
		} else {
			err = s.members(field{"accountId", &t.Account}, field{"type", &t.Type}, field{"ARN", &t.ARN}, field{"arn", &lower},
				field{"eventVersion", &version}, field{"EventId", &id})
		}
		if err.bad() {
			return err
		}
		if version != "" || id != "" {
			return syntax("a record begins inside the resources of another")
		}
		if t.ARN == "" {
			t.ARN = lower
		}
		if dst != nil && t != (Target{}) {
			*dst = append(*dst, t)
		}
	}
}
