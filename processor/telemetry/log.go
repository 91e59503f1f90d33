package telemetry

import (
	"io"
	"log/slog"
)

// NewLog returns a log that writes to w as c says. It sets level, which may change later.
func NewLog(w io.Writer, c Log, level *slog.LevelVar) *slog.Logger {
	level.Set(c.Level.Slog())
	options := &slog.HandlerOptions{Level: level}
	if c.Format == FormatJSON {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
