package setting

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"
)

// Part is one piece of a secret: exactly one of its fields is set.
type Part struct {
	Text    string   // a text that stays as it is
	File    string   // a file, read each time that the secret is
	Command []string // a program and its arguments; its standard output is the piece
}

// The bounds of a file or a command: what it may give, and for how long a command may run.
const (
	maxSourced   = 64 << 10
	commandLimit = 10 * time.Second
)

// source is what a secret with a file or a command is read from. It is shared by the copies
// of the Secret and safe for concurrent use.
type source struct {
	parts []Part
	seen  *Scrubber // learns what is read

	mu  sync.Mutex
	ran map[int]string // the outputs of commands, by the place of their part; guarded by mu
}

// SecretOf returns a secret that is put together from parts whenever Read is called. origin
// is what may be printed of it, "" for nothing. Everything that is read is added to seen,
// which may be nil.
func SecretOf(parts []Part, origin string, seen *Scrubber) Secret {
	return Secret{origin: origin, source: &source{parts: parts, seen: seen}}
}

// Read returns the text of the secret as it is now. Files are read each time, so that they
// can be replaced while the program runs. A command runs once, and again after Forget. An
// error names the file or the program, never what it gave. Read is safe for concurrent use.
func (s Secret) Read(ctx context.Context) (string, error) {
	if s.source == nil {
		return s.Reveal(), nil
	}
	var text strings.Builder
	for i, p := range s.source.parts {
		piece, err := s.source.piece(ctx, i, p)
		if err != nil {
			return "", err
		}
		text.WriteString(piece)
	}
	return text.String(), nil
}

// Forget has the next Read run the secret's commands again: a receiver that refuses the
// credentials may take new ones.
func (s Secret) Forget() {
	if s.source == nil {
		return
	}
	s.source.mu.Lock()
	defer s.source.mu.Unlock()
	s.source.ran = nil
}

// Same reports whether s and other are the same text, or are read from the same places.
func (s Secret) Same(other Secret) bool {
	if s.source == nil || other.source == nil {
		return s.source == other.source && s.Reveal() == other.Reveal()
	}
	return slices.EqualFunc(s.source.parts, other.source.parts, func(a, b Part) bool {
		return a.Text == b.Text && a.File == b.File && slices.Equal(a.Command, b.Command)
	})
}

// Sourced reports whether the secret is read from a file or a command.
func (s Secret) Sourced() bool { return s.source != nil }

func (s *source) piece(ctx context.Context, i int, p Part) (text string, err error) {
	switch {
	case p.File != "":
		text, err = readSecret(p.File)
		s.seen.AddFile(p.File, text)
	case len(p.Command) > 0:
		// Others wait for the one that runs the command: it runs once for all of them.
		s.mu.Lock()
		defer s.mu.Unlock()
		var ran bool
		if text, ran = s.ran[i]; ran {
			return text, nil
		}
		if text, err = runSecret(ctx, p.Command); err != nil {
			return "", err
		}
		if s.ran == nil {
			s.ran = map[int]string{}
		}
		s.ran[i] = text
		s.seen.AddFile(p.Command[0], text)
	default:
		text = p.Text
	}
	return text, err
}

func readSecret(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("cannot read a secret: %w", err)
	}
	content, err := io.ReadAll(io.LimitReader(f, maxSourced+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("cannot read a secret from %q: %w", path, err)
	}
	return sourced(content, fmt.Sprintf("file %q", path))
}

func runSecret(ctx context.Context, words []string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, commandLimit, fmt.Errorf("it ran for more than %v", commandLimit))
	defer cancel()
	var out bounded
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Stdout, cmd.WaitDelay = &out, time.Second
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return "", fmt.Errorf("cannot get a secret from command %q: %w", words[0], err)
	}
	return sourced(out.Bytes(), fmt.Sprintf("command %q", words[0]))
}

// bounded keeps little more than may be used of what is written to it.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	_, _ = b.Buffer.Write(p[:min(len(p), max(0, maxSourced+2-b.Len()))])
	return len(p), nil
}

// sourced returns content without the end of its last line.
func sourced(content []byte, where string) (string, error) {
	text := strings.TrimRight(string(content), "\r\n")
	switch {
	case text == "":
		return "", fmt.Errorf("the secret from %s is empty", where)
	case len(content) > maxSourced:
		return "", fmt.Errorf("the secret from %s has more than %d bytes", where, maxSourced)
	case strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
		return "", fmt.Errorf("the secret from %s has a control character, such as the end of a line within it", where)
	}
	return text, nil
}
