package ack

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func frames() []frame {
	return []frame{
		{kind: kindHello, name: "out_kms.0"},
		{kind: kindWelcome, run: Run{1, 15: 9}},
		{kind: kindRefuse, text: "no"},
		{kind: kindRefuse},
		{kind: kindConfirm, number: 1 << 50},
		{kind: kindAcks, number: 7, run: Run{3}, health: Health{Silent: 1500 * time.Millisecond, Unfinished: 2}},
		{kind: kindAcks, number: 7, health: Health{Backlog: true, Held: []Range{{1, 2}, {4, 1 << 40}}}, ranges: []Range{{2, 4}}},
		{kind: kindAcks, number: 1, ranges: []Range{{0, 1}, {5, 900}, {1 << 63, 1<<64 - 1}}},
	}
}

func TestFramesSurvive(t *testing.T) {
	var wire []byte
	for _, f := range frames() {
		wire = f.append(wire)
	}
	r := bufio.NewReader(bytes.NewReader(wire))
	var got frame
	var buf []byte
	for _, want := range frames() {
		var err error
		if buf, err = got.read(r, buf); err != nil {
			t.Fatalf("%+v: %v", want, err)
		}
		got.ranges = append([]Range(nil), got.ranges...)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

func TestFrameRefusals(t *testing.T) {
	f := func(want string, b ...byte) {
		t.Helper()
		var fr frame
		if err := fr.parse(b); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v, want %q", b, err, want)
		}
	}
	f("without a kind")
	f("version 1 and this plugin version 2", 1, kindConfirm, 1)
	f("unknown kind 9", Version, 9)
	f("a name of 0 bytes", Version, kindHello)
	f("not text", Version, kindHello, 0xff)
	f("a run of 1 bytes", Version, kindWelcome, 1)
	f("cut", Version, kindConfirm)
	f("cut", Version, kindConfirm, 0x80)
	f("cut", Version, kindConfirm, 0x80, 0) // not the shortest form
	f("1 bytes too many", Version, kindConfirm, 1, 1)
	acks := append([]byte{Version, kindAcks, 1}, make([]byte, 16)...)
	f("a backlog of 2: more than there can be", append(acks[:19:19], 0, 0, 2, 0, 0)...)
	f("at most 1024 are taken", append(acks[:19:19], 0, 0, 0, 0xff, 0x7f)...)
	f("at most 4096 are taken", append(acks[:19:19], 0, 0, 0, 0, 0xff, 0xff, 0x7f)...)
	f("is empty", append(acks[:19:19], 0, 0, 0, 0, 1, 5, 0)...)
	f("touches", append(acks[:19:19], 0, 0, 0, 2, 5, 1, 0, 1)...)
	f("overflows", append(append(acks[:19:19], 0, 0, 0, 0, 1, 2), binary.AppendUvarint(nil, 1<<64-2)...)...)
	var fr frame
	if err := fr.parse([]byte{1, kindConfirm}); !errors.Is(err, errVersion) {
		t.Errorf("another version is %v", err)
	}
	head := binary.BigEndian.AppendUint32(nil, maxFrameBytes+1)
	if _, err := fr.read(bufio.NewReader(bytes.NewReader(head)), nil); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("a message that is too long is %v", err)
	}
}

// FuzzFrame: whatever comes, it is refused or means what its bytes say, and it stays
// within its bounds.
func FuzzFrame(f *testing.F) {
	for _, fr := range frames() {
		f.Add(fr.append(nil)[4:])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var fr frame
		if fr.parse(b) != nil {
			return
		}
		if len(fr.name) > maxName || len(fr.text) > maxText || len(fr.ranges) > MaxFrameRanges || len(fr.health.Held) > MaxHeldRanges {
			t.Fatalf("out of bounds: %+v", fr)
		}
		var s Ranges
		for _, r := range fr.ranges {
			s.Add(r)
		}
		if s.Len() != len(fr.ranges) {
			t.Fatalf("%d ranges are %d", len(fr.ranges), s.Len())
		}
		if again := fr.append(nil)[4:]; !bytes.Equal(again, b) {
			t.Fatalf("it means %v and came as %v", again, b)
		}
	})
}
