package cli

import (
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"keytrail/processor/status"
	"keytrail/processor/stream"
)

// TestLivePicture: the picture fits the terminal, renews itself and ends at q.
func TestLivePicture(t *testing.T) {
	now := time.Now()
	m := &livePicture{table: status.NewTable(now), troubled: &troubled{list: []stream.InTrouble{
		{Entity: "key-a\x1b[31m" + strings.Repeat("x", 300), Severity: "high", Detector: "rate", Last: now, Open: 3}}}}
	m.table.Set(&status.Process{Format: status.Format, ID: "one", Host: "h", Started: now, At: now,
		Stages: []status.Stage{{Name: "count", State: status.Stall}}}, now)
	text := m.View().Content
	for _, want := range []string{"state: stall", "count", `key-a\x1b`, "q ends"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	m.Update(tea.WindowSizeMsg{Width: 40, Height: 6})
	list := strings.Split(m.View().Content, "\n")
	for _, line := range list {
		if len([]rune(line)) > 40 {
			t.Errorf("%d columns: %s", len([]rune(line)), line)
		}
	}
	if len(list) != 6 || strings.ContainsRune(text, '\x1b') {
		t.Errorf("%d lines, want 6:\n%q", len(list), list)
	}
	if _, cmd := m.Update(tick{}); cmd == nil {
		t.Error("it does not renew itself")
	}
	if _, cmd := m.Update(tea.KeyPressMsg{Code: 'q', Text: "q"}); cmd == nil {
		t.Error("q does not end it")
	} else if _, ok := cmd().(tea.QuitMsg); !ok {
		t.Error("q does not end it")
	}
}
