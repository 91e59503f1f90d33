package demo

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"

	"keytrail/processor/screen"
	"keytrail/processor/telemetry"
	"keytrail/schemas/cloud"
	"keytrail/schemas/printable"
)

// Live shows the live screen until the function that it returns is called, or ctx is done.
// Ctrl-C and q call interrupt, once. Where no terminal is, it does nothing. The keys come
// from in unless that is not a terminal.
func (s *Show) Live(ctx context.Context, in io.Reader, interrupt func()) (end func()) {
	if !s.live {
		return func() {}
	}
	if f, ok := in.(*os.File); !ok || !screen.Terminal(f) {
		in = nil
	}
	ctx, cancel := context.WithCancel(ctx)
	program := tea.NewProgram(&picture{show: s, interrupt: sync.OnceFunc(interrupt)}, tea.WithContext(ctx),
		tea.WithInput(in), tea.WithOutput(s.out.File()), tea.WithoutSignalHandler())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = program.Run() // it ends with ctx; without a screen the verdict still comes
	}()
	return sync.OnceFunc(func() {
		program.Quit()
		<-ended
		cancel()
	})
}

// picture is the model of Bubble Tea.
type picture struct {
	show          *Show
	interrupt     func()
	width, height int
	back          int  // the selected anomaly, counted from the newest
	whole         bool // it is shown in full
	balances      []telemetry.Balance
}

// tick asks for the next picture.
type tick struct{}

const every = 500 * time.Millisecond // between two pictures

func again() tea.Cmd { return tea.Tick(every, func(time.Time) tea.Msg { return tick{} }) }

// Init implements tea.Model.
func (m *picture) Init() tea.Cmd { return again() }

// Update implements tea.Model.
func (m *picture) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.KeyPressMsg:
		switch msg.String() {
		case "q", "ctrl+c":
			m.interrupt()
		case "up", "k":
			m.back--
		case "down", "j":
			m.back++
		case "enter":
			m.whole = !m.whole
		case "esc":
			m.whole = false
		}
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case tick:
		m.show.mu.Lock()
		balance := m.show.balance
		m.show.mu.Unlock()
		if balance != nil {
			if list, err := balance(); err == nil {
				m.balances = list
			}
		}
		return m, again()
	}
	return m, nil
}

// View implements tea.Model.
func (m *picture) View() tea.View {
	v := tea.NewView(strings.Join(m.lines(), "\n"))
	v.AltScreen = true
	return v
}

// lines draws the screen: never more lines than the terminal has, none wider.
func (m *picture) lines() []string {
	width, height := cmp.Or(m.width, 80), cmp.Or(m.height, 24)
	s := m.show
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.list()
	slices.Reverse(all) // the newest first
	m.back = min(max(m.back, 0), max(len(all)-1, 0))
	lines := []string{"Keytrail demo: made-up CloudTrail events through the whole pipeline",
		"The page is at " + s.page, ""}
	lines = append(lines, m.flow(len(all))...)
	for _, note := range s.notes {
		lines = append(lines, screen.Ellipsis(note, width))
	}
	trouble := inTrouble(all)
	below := min(len(trouble), max((height-len(lines))/4, 0))
	room := height - len(lines) - 3 // the headings and the keys
	if below > 0 {
		room -= below + 2
	}
	lines = append(lines, "", fmt.Sprintf("Newest anomalies, of %d", len(all)))
	lines = append(lines, m.anomalies(all, width, room)...)
	if below > 0 {
		lines = append(lines, "", "Entities in trouble")
		lines = append(lines, trouble[:below]...)
	}
	lines = append(lines, "up, down: select   Enter: in full, with ARNs   q: end")
	if len(lines) > height {
		lines = lines[:height]
	}
	for i := range lines {
		lines[i] = m.colored(screen.Ellipsis(lines[i], width))
	}
	return lines
}

// flow is the way of the records through the stages. s.mu is held.
func (m *picture) flow(anomalies int) []string {
	s := m.show
	done := 0
	if s.files > 0 {
		done = 100 * s.file / s.files
	}
	var count, detect telemetry.Balance
	dead, duplicates := s.counts.DeadLettered, int64(0)
	for _, b := range m.balances {
		switch b.Stage {
		case "count":
			count = b
		case "detect":
			detect = b
		}
		dead, duplicates = dead+b.DeadLettered, duplicates+b.Duplicate
	}
	const bar = 20
	return []string{
		fmt.Sprintf("[%s%s] %d%%: %d of %d files", strings.Repeat("#", done*bar/100),
			strings.Repeat(".", bar-done*bar/100), done, s.file, s.files),
		fmt.Sprintf("read %d > published %d > counted %d > judged %d > SIEM %d windows, %d anomalies", s.counts.Received,
			s.counts.Published, count.Delivered, detect.Delivered, len(s.windows), anomalies),
		fmt.Sprintf("filtered %d   duplicates %d   dead letters %d", s.counts.Filtered, duplicates, dead),
	}
}

// anomalies are the lines of the anomalies around the selected one, newest first.
func (m *picture) anomalies(all []*found, width, room int) (lines []string) {
	if len(all) == 0 {
		return []string{"  none yet: detectors learn from the first days"}
	}
	var detail []string
	if m.whole {
		f := all[m.back]
		for _, line := range append(screen.Wrap(f.sentence, width-6), "id "+printable.Text(f.id)) {
			detail = append(detail, screen.WrapRow("    "+line, width)...)
		}
	}
	from := max(0, m.back-max(room-len(detail)-1, 0))
	for i := from; i < len(all) && len(lines) < room; i++ {
		mark := "  "
		if i == m.back {
			mark = "> "
		}
		f := all[i]
		at := f.at.Format("01-02 15:04")
		lines = append(lines, fmt.Sprintf("%s%s  %-8s  %s", mark, at, f.severity, f.brief))
		if i == m.back {
			lines = append(lines, detail...)
		}
	}
	return lines[:min(len(lines), max(room, 0))]
}

// severities in the order of their weight.
var severities = []string{"low", "medium", "high", "critical"}

// inTrouble lists the entities with the most severe anomalies.
func inTrouble(all []*found) (lines []string) {
	type entity struct {
		name         string
		worst, count int
	}
	of, list := map[string]*entity{}, []*entity(nil)
	for _, f := range all {
		e := of[f.entity]
		if e == nil {
			e = &entity{name: f.entity}
			of[f.entity] = e
			list = append(list, e)
		}
		e.count++
		e.worst = max(0, e.worst, slices.Index(severities, f.severity))
	}
	slices.SortStableFunc(list, func(a, b *entity) int { return cmp.Or(b.worst-a.worst, b.count-a.count) })
	for _, e := range list {
		_, account, _ := cloud.Place(e.name)
		lines = append(lines, fmt.Sprintf("  %-8s  %3d  %s %s", severities[e.worst], e.count,
			printable.Text(cloud.Familiar(e.name)), account))
	}
	return lines
}

// The colors of severities: ECMA-48.
var colors = map[string]string{"critical": "\x1b[1;31m", "high": "\x1b[31m", "medium": "\x1b[33m", "low": "\x1b[2m"}

// colored colors the first severity of a line.
func (m *picture) colored(line string) string {
	if !m.show.screen.Color || !strings.HasPrefix(line, "  ") && !strings.HasPrefix(line, "> ") {
		return line
	}
	for _, word := range severities {
		before, after, ok := strings.Cut(line, word+"  ")
		if ok && len(before) < 20 {
			return before + colors[word] + word + "\x1b[0m  " + after
		}
	}
	return line
}
