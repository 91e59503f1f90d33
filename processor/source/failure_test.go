package source

import (
	"testing"
	"time"
)

func TestPatience(t *testing.T) {
	now := time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
	var p Patience
	var f Failures
	begin := now
	for try := 1; try < Tries; try++ {
		if !p.Failed(&f, now) {
			t.Fatalf("given up at try %d", try)
		}
		if pause := f.Next.Sub(now); pause < 5*time.Second || pause > 5*time.Minute {
			t.Errorf("the pause behind try %d is %v", try, pause)
		}
		now = f.Next
	}
	if took := now.Sub(begin); took < 15*time.Minute {
		t.Errorf("%d tries take %v, want a quarter of an hour at the least", Tries, took)
	}
	for range 100 { // nothing else can be read
		if !p.Failed(&f, now) {
			t.Fatal("given up in an outage")
		}
		now = f.Next
	}
	p.Success()
	if p.Failed(&f, now) {
		t.Error("not given up, though others can be read")
	}
	var other Failures
	if !p.Failed(&other, now) {
		t.Error("another object was given up at its first try")
	}
}
