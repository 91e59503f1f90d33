package window

import (
	"keytrail/processor/detector"
	"keytrail/processor/entity"
	"keytrail/schemas/cloud"
	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

// view is the detectors' view of an engine.
type view struct{ *Engine }

var _ detector.View = view{}

func (v view) Settings() *detector.Settings    { return &v.cfg.Settings }
func (v view) Size() int64                     { return v.cfg.Size }
func (v view) Service(principal string) bool   { return cloud.Actor(principal) == kms.ActorService }
func (v view) Person(principal string) bool    { return cloud.Actor(principal) == kms.ActorPerson }
func (v view) Account(principal string) uint32 { return v.accountHash(principal) }

func (v view) Owner(key string) uint32 {
	_, id, _ := cloud.Place(key)
	return hashOf(id)
}

func (v view) Bound(of wire.Entity, start int64) *wire.Binding { return v.bound(of, start) }

func (v view) Key(pair *entity.Entity) *entity.Entity { return v.key(pair.Key) }

// key returns the entity of a KMS key, or nil. Pairs are in the partition of their KMS
// key.
func (e *Engine) key(name string) *entity.Entity {
	i, ok := e.store.Find(wire.Entity{Scope: wire.ScopeKey, Key: name})
	if !ok {
		return nil
	}
	return e.store.Get(i)
}

// accountHash returns a hash of a principal's account, or 0 without one.
func (e *Engine) accountHash(principal string) uint32 {
	return hashOf(cloud.Account(principal))
}

// hashOf returns the hash of an account's id, or 0 for "".
func hashOf(id string) uint32 {
	if id == "" {
		return 0
	}
	return uint32(wire.EntityHash(id))
}
