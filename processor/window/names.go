package window

import (
	"keytrail/processor/detector"
	"keytrail/processor/entity"
	"keytrail/schemas/wire"
)

// Names is what an engine has to know of the names of KMS keys and principals, which have
// the forms of a cloud.
type Names interface {
	entity.Names
	// Service reports whether a principal is a service of the cloud.
	Service(principal string) bool
	// Person reports whether a principal is one whom people act as.
	Person(principal string) bool
	// Others returns the entity that stands for the others of an account, of a scope and in
	// a partition. When account is 0, its names have no account.
	Others(scope wire.Scope, account uint64, partition int32) wire.Entity
	// IsOthers reports whether e stands for many entities.
	IsOthers(e wire.Entity) bool
}

// view is what detectors may look at of an engine.
type view struct{ *Engine }

var _ detector.View = view{}

func (v view) Settings() *detector.Settings    { return &v.cfg.Settings }
func (v view) Size() int64                     { return v.cfg.Size }
func (v view) Service(principal string) bool   { return v.names.Service(principal) }
func (v view) Person(principal string) bool    { return v.names.Person(principal) }
func (v view) Account(principal string) uint32 { return v.accountHash(principal) }

func (v view) Bound(of wire.Entity, start int64) *wire.Binding { return v.bound(of, start) }

func (v view) Key(pair *entity.Entity) *entity.Entity { return v.key(pair.KeyARN) }

// key returns the entity of a KMS key, or nil. Pairs live with their KMS key.
func (e *Engine) key(arn string) *entity.Entity {
	i, ok := e.store.Find(wire.Entity{Scope: wire.ScopeKey, KeyARN: arn})
	if !ok {
		return nil
	}
	return e.store.Get(i)
}

// accountHash returns a hash of a principal's account, or 0 where it has none.
func (e *Engine) accountHash(principal string) uint32 {
	id := e.names.Account(principal)
	if id == "" {
		return 0
	}
	return uint32(wire.EntityHash(id))
}
