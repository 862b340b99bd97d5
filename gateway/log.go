package gateway

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"sluice/gateway/config"
	"sluice/gateway/logs"
)

// logOutput is where the log goes. Nobody who logs ever waits for it: it is a
// queue of lines.
type logOutput struct {
	*logs.Writer
	file *logs.File // nil for standard output or error
}

// flushWithin is how long the end of the process waits for the last lines.
const flushWithin = time.Second

// close writes what is queued; a reader that hangs is not waited for long.
func (o *logOutput) close() {
	if o.Close(flushWithin) && o.file != nil {
		_ = o.file.Close()
	}
}

// newLogger logs as the section log says: JSON lines or text, to the file or to
// standard output; in development text for people. What repeats is limited.
func newLogger(cfg *config.Config, dev bool, stdout, stderr io.Writer) (*slog.Logger, *logOutput, error) {
	out, to := &logOutput{}, stdout
	text := cfg.Log.Format == "text"
	switch {
	case cfg.Log.File != "":
		f, err := logs.OpenFile(cfg.Log.File)
		if err != nil {
			return nil, nil, fmt.Errorf("log.file cannot be opened: %w", adviseFile(err, "log.file"))
		}
		out.file, to = f, f
	case dev:
		to, text = stderr, true
	}
	opt := &slog.HandlerOptions{Level: LogLevel(cfg.Log.Level)}
	handler := func(w io.Writer) slog.Handler {
		if text {
			return slog.NewTextHandler(w, opt)
		}
		return slog.NewJSONHandler(w, opt)
	}
	out.Writer = logs.NewWriter(to, logs.Options{Note: func(message string, attrs ...any) []byte {
		var line bytes.Buffer
		slog.New(handler(&line)).Warn(message, attrs...)
		return line.Bytes()
	}})
	return slog.New(newLimitedHandler(handler(out), time.Now)), out, nil
}

// logLevels are the names of log.level; none is above every level.
var logLevels = map[string]slog.Level{
	"trace": slog.LevelDebug, "debug": slog.LevelDebug, "info": slog.LevelInfo,
	"warn": slog.LevelWarn, "error": slog.LevelError, "fatal": slog.LevelError + 4, "none": slog.LevelError + 100,
}

// LogLevel returns the level that a name of log.level stands for.
func LogLevel(name string) slog.Level { return logLevels[strings.ToLower(name)] }

const (
	// logBurst is how many records of one message and reason pass in a
	// second, logDebug how many at level debug. Clients can cause records at
	// will: they must not fill disks.
	logBurst = 10
	logDebug = 1000
	// logMessages bounds the messages and reasons that are told apart; ours
	// are constant, but for the reasons that backends and the configuration
	// put into words of their own.
	logMessages = 1024
	// logReason is the attribute that says why: a flood of one reason must
	// not hide another.
	logReason = "reason"
	// logRemedy is the attribute that says what to do. A record that has it says
	// the same each time: one of a message and reason is enough for a second.
	logRemedy = "remedy"
)

// limitedHandler passes on at most so many records of a message and its reason
// in a second, and says how many it left out.
type limitedHandler struct {
	slog.Handler
	*logLimits
}

// logLimits are shared by all handlers that come from one by WithAttrs.
type logLimits struct {
	// Immutable after newLimitedHandler.
	now func() time.Time
	out slog.Handler // where what was left out is told

	// Guarded by mu.
	mu     sync.Mutex
	counts map[logKey]*logCount
	looked time.Time // when counts that nothing followed were last looked for
}

type logKey struct {
	level   slog.Level
	message string
	reason  string // of the record itself, "" if it has none
	remedy  bool   // the record says one
}

// keyOf returns what a record is counted under.
func keyOf(r *slog.Record) logKey {
	key := logKey{level: r.Level, message: r.Message}
	r.Attrs(func(a slog.Attr) bool {
		switch {
		case a.Key == logRemedy:
			key.remedy = true
		case a.Key == logReason && a.Value.Kind() == slog.KindString && key.reason == "":
			key.reason = a.Value.String()
		}
		return true
	})
	return key
}

type logCount struct {
	since  time.Time // when its second began
	passed int
	left   int // out, in its second
}

func newLimitedHandler(h slog.Handler, now func() time.Time) slog.Handler {
	return &limitedHandler{h, &logLimits{now: now, out: h, counts: make(map[logKey]*logCount)}}
}

// Handle implements slog.Handler.
func (h *limitedHandler) Handle(ctx context.Context, r slog.Record) error {
	pass, gaps := h.admit(keyOf(&r))
	for _, g := range gaps {
		note := slog.NewRecord(r.Time, g.key.level, "log records were left out", 0)
		note.AddAttrs(slog.String("message", g.key.message))
		if g.key.reason != "" {
			note.AddAttrs(slog.String(logReason, g.key.reason))
		}
		note.AddAttrs(slog.Int("records", g.left))
		if err := h.out.Handle(ctx, note); err != nil {
			return err
		}
	}
	if !pass {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h *limitedHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &limitedHandler{h.Handler.WithAttrs(attrs), h.logLimits}
}

// WithGroup implements slog.Handler.
func (h *limitedHandler) WithGroup(name string) slog.Handler {
	return &limitedHandler{h.Handler.WithGroup(name), h.logLimits}
}

// logGap is what was left out of a message in a second that is over.
type logGap struct {
	key  logKey
	left int
}

// admit reports whether a record may pass, and what of the past is to be told.
func (l *logLimits) admit(key logKey) (pass bool, gaps []logGap) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if now.Sub(l.looked) >= time.Second {
		l.looked = now
		for k, c := range l.counts {
			if now.Sub(c.since) < time.Second {
				continue
			}
			if c.left > 0 {
				gaps = append(gaps, logGap{k, c.left})
			}
			delete(l.counts, k)
		}
	}
	c := l.counts[key]
	if c == nil {
		if len(l.counts) >= logMessages {
			key.message, key.reason, key.remedy = "any other", "", false
			c = l.counts[key]
		}
		if c == nil {
			c = &logCount{since: now}
			l.counts[key] = c
		}
	}
	most := logBurst
	switch {
	case key.level < slog.LevelInfo:
		most = logDebug
	case key.remedy:
		most = 1
	}
	if c.passed >= most {
		c.left++
		return false, gaps
	}
	c.passed++
	return true, gaps
}
