package logs

import (
	"bytes"
	"io"
	"log/slog"
	"strings"
	"time"
)

// Logger says what a logger writes, and where to.
type Logger struct {
	Level string // a name of log.level
	Text  bool   // lines for people instead of JSON
	File  *File  // nil: To
	To    io.Writer
}

// Output is where the log goes. Nobody who logs ever waits for it: it is a
// queue of lines.
type Output struct {
	*Writer
	file *File // nil for standard output or error
}

// FlushWithin is how long the end of the process waits for the last lines.
const FlushWithin = time.Second

// Close writes what is queued, and closes the file; a reader that hangs is not
// waited for long.
func (o *Output) Close() {
	if o.Writer.Close(FlushWithin) && o.file != nil {
		_ = o.file.Close()
	}
}

// New makes a logger. What repeats is limited, as [Limited] says. The caller
// closes the output in the end.
func New(l Logger) (*slog.Logger, *Output) {
	out, to := &Output{file: l.File}, l.To
	if l.File != nil {
		to = l.File
	}
	opt := &slog.HandlerOptions{Level: Level(l.Level)}
	handler := func(w io.Writer) slog.Handler {
		if l.Text {
			return slog.NewTextHandler(w, opt)
		}
		return slog.NewJSONHandler(w, opt)
	}
	out.Writer = NewWriter(to, Options{Note: func(message string, attrs ...any) []byte {
		var line bytes.Buffer
		slog.New(handler(&line)).Warn(message, attrs...)
		return line.Bytes()
	}})
	return slog.New(Limited(handler(out), time.Now)), out
}

// levels are the names of log.level; none is above every level.
var levels = map[string]slog.Level{
	"trace": slog.LevelDebug, "debug": slog.LevelDebug, "info": slog.LevelInfo,
	"warn": slog.LevelWarn, "error": slog.LevelError, "fatal": slog.LevelError + 4, "none": slog.LevelError + 100,
}

// Level returns the level that a name of log.level stands for.
func Level(name string) slog.Level { return levels[strings.ToLower(name)] }
