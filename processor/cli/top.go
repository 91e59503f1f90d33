package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/spf13/cobra"

	"keytrail/processor/cli/flags"
	"keytrail/processor/screen"
	"keytrail/processor/status"
	"keytrail/processor/stream"
	"keytrail/schemas/printable"
)

// top is "keytrail top -c FILE".
func (a *app) top() *cobra.Command {
	t := &watching{app: a}
	cmd := &cobra.Command{
		Use: "top -c FILE [FLAGS]", GroupID: groupRun,
		Short: "Show stages, sinks, processes and entities in trouble",
		Long: "Shows the state of all processes, stages and sinks of an installation, and the KMS keys\n" +
			"and principals with open anomalies of the last day. It renews that every second until q\n" +
			"or Ctrl-C. It reads the topics kms.status and kms.anomalies, without a consumer group, and\n" +
			"needs no access to the processes. With --once, or when standard output is not a terminal,\n" +
			"it prints one table and ends.",
		Example: "keytrail top -c keytrail.yaml\nkeytrail top -c keytrail.yaml --once",
		Args:    noArguments,
		RunE:    func(*cobra.Command, []string) error { return t.run() },
	}
	flags.Config(cmd, &t.file, "configuration `FILE`")
	cmd.Flags().BoolVar(&t.once, "once", false, "print one table and end")
	return cmd
}

// watching is one run of "keytrail top".
type watching struct {
	*app
	file string
	once bool
}

const (
	topEvery    = time.Second      // between two pictures
	topLook     = 15 * time.Second // between two looks at anomalies
	topWithin   = 15 * time.Second // for one look
	topEntities = 10
	topSince    = 24 * time.Hour // how old an open anomaly may be
)

func (t *watching) run() error {
	if t.file == "" {
		return usagef("top needs -c FILE; see keytrail top --help")
	}
	cfg, err := t.load(t.file)
	if err == nil && cfg.Kafka.Embedded {
		err = errors.New("top needs a Kafka that stays: kafka.embedded is true")
	}
	if err != nil {
		return usageError{err}
	}
	p := newPipeline(cfg, cfg.Kafka.Brokers, nil, slog.New(slog.DiscardHandler))
	if t.once || !screen.Terminal(t.stdout) {
		return t.print(p)
	}
	return t.live(p)
}

// print prints one picture.
func (t *watching) print(p *stream.Pipeline) error {
	ctx, cancel := context.WithTimeout(t.ctx, topWithin)
	defer cancel()
	in, err := p.Installation(ctx)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return err
	}
	list, err := p.Troubled(ctx, time.Now().Add(-topSince), topEntities)
	picture(t.table(), in, list, err)
	return nil
}

// picture writes the tables.
func picture(w io.Writer, in status.Installation, list []stream.InTrouble, err error) {
	in.Write(w)
	if err != nil {
		fmt.Fprintf(w, "\nanomalies cannot be read: %s\n", printable.Text(err.Error()))
	}
	if len(list) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%-20s  %-8s  %4s  %-18s  %s\n", "LAST", "SEVERITY", "OPEN", "DETECTOR", "ENTITY")
	for _, one := range list {
		fmt.Fprintf(w, "%-20s  %-8s  %4d  %-18s  %s\n", one.Last.Format(time.RFC3339), printable.Text(one.Severity), one.Open,
			printable.Text(one.Detector), printable.Text(one.Entity))
	}
}

// live shows a picture that is renewed until the user ends it.
func (t *watching) live(p *stream.Pipeline) error {
	ctx, cancel := context.WithCancel(t.ctx)
	p.Status = status.NewTable(time.Now())
	m := &livePicture{table: p.Status, troubled: &troubled{}}
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	all.Go(func() { p.FollowStatus(ctx) })
	all.Go(func() { m.troubled.follow(ctx, p) })
	_, err := tea.NewProgram(m, tea.WithContext(ctx), tea.WithInput(t.stdin), tea.WithOutput(os.Stdout),
		tea.WithoutSignalHandler()).Run()
	if t.ctx.Err() != nil || errors.Is(err, tea.ErrInterrupted) {
		return nil // the user ends it
	}
	return err
}

// troubled are the entities with open anomalies. It is safe for concurrent use.
type troubled struct {
	mu   sync.Mutex // guards what follows
	list []stream.InTrouble
	err  error
}

func (l *troubled) follow(ctx context.Context, p *stream.Pipeline) {
	for {
		within, cancel := context.WithTimeout(ctx, topWithin)
		list, err := p.Troubled(within, time.Now().Add(-topSince), topEntities)
		cancel()
		l.mu.Lock()
		l.list, l.err = list, err
		l.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-time.After(topLook):
		}
	}
}

// livePicture is the model of Bubble Tea.
type livePicture struct {
	table    *status.Table
	troubled *troubled
	width    int
	height   int
}

// tick asks for the next picture.
type tick struct{}

func again() tea.Cmd { return tea.Tick(topEvery, func(time.Time) tea.Msg { return tick{} }) }

// Init implements tea.Model.
func (m *livePicture) Init() tea.Cmd { return again() }

// Update implements tea.Model.
func (m *livePicture) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.KeyPressMsg:
		switch msg.String() {
		case "q", "ctrl+c", "esc":
			return m, tea.Quit
		}
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case tick:
		return m, again()
	}
	return m, nil
}

// View implements tea.Model.
func (m *livePicture) View() tea.View {
	var b strings.Builder
	m.troubled.mu.Lock()
	list, err := m.troubled.list, m.troubled.err
	m.troubled.mu.Unlock()
	picture(&b, m.table.Installation(time.Now()), list, err)
	b.WriteString("\nq ends\n")
	v := tea.NewView(fitted(b.String(), m.width, m.height))
	v.AltScreen = true
	return v
}

// fitted cuts a text to the size of the terminal; 0 is unknown.
func fitted(text string, width, height int) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if height > 0 && len(lines) > height {
		lines = append(lines[:height-1], "...")
	}
	for i, line := range lines {
		if runes := []rune(line); width > 0 && len(runes) > width {
			lines[i] = string(runes[:width-1]) + ">"
		}
	}
	return strings.Join(lines, "\n")
}
