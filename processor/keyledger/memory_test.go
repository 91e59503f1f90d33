package keyledger_test

import (
	"fmt"
	"runtime"
	"testing"

	"keytrail/processor/keyledger"
	"keytrail/schemas/kms"
)

// BenchmarkMemory measures the memory of a key with two aliases and three grants, which was
// used. -benchtime 1000000x measures a million keys: multiply bytes/key by that.
func BenchmarkMemory(b *testing.B) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	l := keyledger.New()
	for i := range b.N {
		life(l, i)
	}
	for i := range b.N { // a later use, so that some of the slabs is out of date
		e := keyledger.Event{At: 1780000000, Key: keyOf(i), Operation: "Encrypt", Principal: "arn:aws:iam::111122223333:role/x"}
		l.Apply(&e)
	}
	l.Watch()
	deadlines, most := keyledger.DefaultDeadlines(), b.N
	l.Advance(1780000000, &deadlines, true, &most, func(*keyledger.News) {})
	l.Advance(1780000000+90*86400, &deadlines, true, &most, func(*keyledger.News) {})
	l.Pack()
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(b.N), "bytes/key")
	if l.Len() != min(b.N, keyledger.MaxKeys) {
		b.Fatalf("%d keys", l.Len())
	}
}

func keyOf(i int) string {
	return fmt.Sprintf("arn:aws:kms:eu-central-1:%012d:key/%08x-12ab-34cd-56ef-1234567890ab", 111122223333+i%40, i)
}

// life applies the life of a key: its creation, two aliases, three grants, rotation and uses.
func life(l *keyledger.Ledger, i int) {
	account := fmt.Sprintf("%012d", 111122223333+i%40)
	key := keyOf(i)
	role := fmt.Sprintf("arn:aws:iam::%s:role/app-%d", account, i%100)
	at := int64(1772409600 + 7*i)
	event := func(change kms.Change, set func(*keyledger.Event)) {
		at += 11
		e := keyledger.Event{At: at, Key: key, Operation: "Decrypt", Class: kms.ClassDecrypt, Principal: role, Change: change}
		set(&e)
		l.Apply(&e)
	}
	event(kms.KeyCreated, func(e *keyledger.Event) {
		e.Spec, e.Usage, e.Origin, e.MultiRegion = "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "AWS_KMS", "false"
	})
	event(kms.RotationEnabled, func(*keyledger.Event) {})
	for n := range 2 {
		event(kms.AliasPointed, func(e *keyledger.Event) {
			e.Alias = fmt.Sprintf("arn:aws:kms:eu-central-1:%s:alias/service-%d-%d", account, i, n)
		})
	}
	for n := range 3 {
		event(kms.GrantCreated, func(e *keyledger.Event) {
			e.Grant = keyledger.Grant{ID: fmt.Sprintf("%056x%08x", i, n), Details: keyledger.Details{Grantee: role, Operations: "Decrypt,GenerateDataKey", Retiring: role}}
		})
	}
	event(kms.ChangeNone, func(*keyledger.Event) {})
}
