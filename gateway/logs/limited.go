package logs

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// burst is how many records of one message and reason pass in a
	// second, burstDebug how many at level debug. Clients can cause records at
	// will: they must not fill disks.
	burst      = 10
	burstDebug = 1000
	// messagesMax bounds the messages and reasons that are told apart; ours
	// are constant, but for the reasons that backends and the configuration
	// put into words of their own.
	messagesMax = 1024
	// reasonKey is the attribute that says why: a flood of one reason must
	// not hide another.
	reasonKey = "reason"
	// remedyKey is the attribute that says what to do. A record that has it says
	// the same each time: one of a message and reason is enough for a second.
	remedyKey = "remedy"
	// whoKey and actionKey are of records of what somebody did who is logged in: one person
	// must not hide another, nor one action another.
	whoKey, actionKey = "who", "action"
)

// Audit is the attribute of a record that is never left out: of what somebody did who is
// known, and who answers for how often.
var Audit = slog.Bool(auditKey, true)

const auditKey = "audit"

// limitedHandler passes on at most so many records of a message and its reason
// in a second, and says how many it left out.
type limitedHandler struct {
	slog.Handler
	*limits
}

// limits are shared by all handlers that come from one by WithAttrs.
type limits struct {
	// Immutable after Limited.
	now func() time.Time
	out slog.Handler // where what was left out is told

	// Guarded by mu.
	mu     sync.Mutex
	counts map[recordKey]*recordCount
	looked time.Time // when counts that nothing followed were last looked for
}

type recordKey struct {
	level   slog.Level
	message string
	reason  string // of the record itself, "" if it has none
	remedy  bool   // the record says one
	who     string // of the record itself, with the action
	audit   bool   // it is never left out
}

// keyOf returns what a record is counted under.
func keyOf(r *slog.Record) recordKey {
	key := recordKey{level: r.Level, message: r.Message}
	r.Attrs(func(a slog.Attr) bool {
		switch {
		case a.Key == remedyKey:
			key.remedy = true
		case a.Key == auditKey:
			key.audit = true
		case a.Key == whoKey || a.Key == actionKey:
			key.who += a.Value.String() + "\n"
		case a.Key == reasonKey && a.Value.Kind() == slog.KindString && key.reason == "":
			key.reason = a.Value.String()
		}
		return true
	})
	return key
}

type recordCount struct {
	since  time.Time // when its second began
	passed int
	left   int // out, in its second
}

// Limited returns a handler that passes on to h at most so many records of one
// message and reason in a second, and says how many it left out. Any goroutine.
func Limited(h slog.Handler, now func() time.Time) slog.Handler {
	return &limitedHandler{h, &limits{now: now, out: h, counts: make(map[recordKey]*recordCount)}}
}

// Handle implements slog.Handler.
func (h *limitedHandler) Handle(ctx context.Context, r slog.Record) error {
	key := keyOf(&r)
	if key.audit {
		return h.Handler.Handle(ctx, r)
	}
	pass, gaps := h.admit(key)
	for _, g := range gaps {
		note := slog.NewRecord(r.Time, g.key.level, "log records were left out", 0)
		note.AddAttrs(slog.String("message", g.key.message))
		if g.key.reason != "" {
			note.AddAttrs(slog.String(reasonKey, g.key.reason))
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
	return &limitedHandler{h.Handler.WithAttrs(attrs), h.limits}
}

// WithGroup implements slog.Handler.
func (h *limitedHandler) WithGroup(name string) slog.Handler {
	return &limitedHandler{h.Handler.WithGroup(name), h.limits}
}

// gap is what was left out of a message in a second that is over.
type gap struct {
	key  recordKey
	left int
}

// admit reports whether a record may pass, and what of the past is to be told.
func (l *limits) admit(key recordKey) (pass bool, gaps []gap) {
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
				gaps = append(gaps, gap{k, c.left})
			}
			delete(l.counts, k)
		}
	}
	c := l.counts[key]
	if c == nil {
		if len(l.counts) >= messagesMax {
			key.message, key.reason, key.remedy = "any other", "", false
			c = l.counts[key]
		}
		if c == nil {
			c = &recordCount{since: now}
			l.counts[key] = c
		}
	}
	most := burst
	switch {
	case key.level < slog.LevelInfo:
		most = burstDebug
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
