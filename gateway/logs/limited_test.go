package logs

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// limitedLog is a logger with a clock of the test's.
func limitedLog(level slog.Level) (log *slog.Logger, out *bytes.Buffer, clock *time.Time) {
	out = new(bytes.Buffer)
	now := time.Unix(1_000_000, 0)
	clock = &now
	h := slog.NewTextHandler(out, &slog.HandlerOptions{Level: level})
	return slog.New(Limited(h, func() time.Time { return now })), out, clock
}

func TestALogThatRepeatsIsLimitedAndSaysSo(t *testing.T) {
	log, out, clock := limitedLog(slog.LevelInfo)
	for i := range 500 {
		log.Warn("a client did it", "n", i)
		log.With("part", "x").Warn("a client did it", "n", i) // the same message
	}
	log.Error("a client did it") // another level
	log.Info("something else")
	text := out.String()
	require.Equal(t, burst, strings.Count(text, "level=WARN"))
	require.Contains(t, text, "n=0")
	require.Equal(t, 1, strings.Count(text, "level=ERROR"))
	require.Contains(t, text, "something else")
	require.NotContains(t, text, "left out", "the second is not over")

	*clock = clock.Add(time.Second)
	out.Reset()
	log.Info("something else") // whatever comes next tells it
	require.Contains(t, out.String(), fmt.Sprintf(`level=WARN msg="log records were left out" message="a client did it" records=%d`, 1000-burst))
	log.Warn("a client did it")
	require.Equal(t, 1, strings.Count(out.String(), `msg="a client did it"`), "a new second, a new budget")
	out.Reset()
	*clock = clock.Add(time.Minute)
	log.Info("something else")
	require.NotContains(t, out.String(), "left out", "it is told once")
}

func TestDebugLogsHaveALargerBudget(t *testing.T) {
	log, out, _ := limitedLog(slog.LevelDebug)
	for range 2 * burstDebug {
		log.Debug("stream opened")
	}
	require.Equal(t, burstDebug, strings.Count(out.String(), "stream opened"))
}

// Each reason has a budget of its own, so that a flood of one does not hide the
// others.
func TestReasonsAreLimitedEachByItself(t *testing.T) {
	log, out, clock := limitedLog(slog.LevelDebug)
	for range 2 * burstDebug {
		log.Debug("stream closed", "client", "1", "reason", "client_gone")
	}
	log.Debug("stream closed", "client", "2", "reason", "slow_bytes")
	log.LogAttrs(t.Context(), slog.LevelDebug, "stream closed", slog.String("reason", "slow_age"))
	log.Info("io_uring is not used", "reason", fmt.Errorf("an error is no name of a reason"))
	text := out.String()
	require.Equal(t, burstDebug, strings.Count(text, "reason=client_gone"))
	require.Contains(t, text, "reason=slow_bytes")
	require.Contains(t, text, "reason=slow_age")
	require.Contains(t, text, "no name of a reason")
	*clock = clock.Add(time.Second)
	out.Reset()
	log.Info("next")
	require.Contains(t, out.String(), fmt.Sprintf(`msg="log records were left out" message="stream closed" reason=client_gone records=%d`, burstDebug))
	require.Equal(t, 2, strings.Count(out.String(), "\n"))
}

// What says a remedy says the same each time: once in a second, for each reason.
func TestRemediesAreSaidOnceASecond(t *testing.T) {
	log, out, clock := limitedLog(slog.LevelInfo)
	for i := range 50 {
		log.Warn("refused", "reason", "a", "n", i, "remedy", "do this")
		log.Warn("refused", "reason", "b", "remedy", "do that")
		log.Warn("refused", "reason", "a") // without one it has the budget of others
	}
	text := out.String()
	require.Equal(t, 1, strings.Count(text, "do this"))
	require.Contains(t, text, "n=0")
	require.Equal(t, 1, strings.Count(text, "do that"))
	require.Equal(t, 2+burst, strings.Count(text, "msg=refused"))
	*clock = clock.Add(time.Second)
	out.Reset()
	log.Warn("refused", "reason", "a", "remedy", "do this")
	require.Contains(t, out.String(), `message=refused reason=b records=49`)
	require.Equal(t, 1, strings.Count(out.String(), "do this"))
}

func TestMessagesWithoutEndTakeNoMemoryWithoutEnd(t *testing.T) {
	log, out, clock := limitedLog(slog.LevelInfo)
	for i := range 3 * messagesMax {
		log.Info(fmt.Sprintf("message %d", i))
	}
	require.Equal(t, messagesMax+burst, strings.Count(out.String(), "msg="))
	*clock = clock.Add(time.Second)
	out.Reset()
	log.Info("next")
	require.Contains(t, out.String(), fmt.Sprintf(`message="any other" records=%d`, 2*messagesMax-burst))

	log, out, _ = limitedLog(slog.LevelInfo)
	for i := range 3 * messagesMax {
		log.Info("refused", "reason", fmt.Sprint("of a backend ", i))
	}
	require.Equal(t, messagesMax+burst, strings.Count(out.String(), "msg="))
}

// What is for the audit is all there, and one person or action hides no other.
func TestAuditIsNotLimited(t *testing.T) {
	log, out, _ := limitedLog(slog.LevelInfo)
	for range 100 {
		log.Info("console", "who", "viewer", "action", "login")
		log.Info("console", "who", "ann", "action", "disconnect", Audit)
	}
	log.Info("console", "who", "ann", "action", "login")
	log.Info("console", "who", "viewer", "action", "logout")
	text := out.String()
	require.Equal(t, 100, strings.Count(text, "action=disconnect"))
	require.Equal(t, burst, strings.Count(text, "who=viewer action=login"))
	require.Contains(t, text, "who=ann action=login")
	require.Contains(t, text, "who=viewer action=logout")
}
