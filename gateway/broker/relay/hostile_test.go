package relay

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/broker"
	"sluice/gateway/testkit"
)

// TestWhateverAnOriginDoesHasAReason: what follows a good beginning is counted, the
// stream is asked for again, and what comes then is complete.
func TestWhateverAnOriginDoesHasAReason(t *testing.T) {
	t.Parallel()
	json := func(text string) string { return "data: " + text + "\n\n" }
	for name, c := range map[string]struct {
		text   string
		hold   bool
		reason string
	}{
		"no_json":            {text: json("<html>"), reason: "garbage"},
		"no_object":          {text: json("[]"), reason: "garbage"},
		"bytes":              {text: json("\x00\xff\xfe"), reason: "garbage"},
		"deep":               {text: json(strings.Repeat("[", 10_000)), reason: "garbage"},
		"other_channel":      {text: strings.Replace(event(3), channel, "news/2", 1), reason: "garbage"},
		"no_channel":         {text: json(`{"pub":{"data":1,"offset":3}}`), reason: "garbage"},
		"no_data":            {text: json(`{"channel":"news/1","pub":{"offset":3}}`), reason: "garbage"},
		"delta":              {text: json(`{"channel":"news/1","pub":{"data":"x","offset":3,"delta":true}}`), reason: "garbage"},
		"forged_line":        {text: "data: {\"channel\":\"news/1\",\"pub\":{\"data\":\"a\ndata: b\"}}\n\n", reason: "garbage"},
		"no_offset":          {text: event(0), reason: "offsets"},
		"goes_back":          {text: event(1), reason: "offsets"},
		"twice":              {text: event(2), reason: "offsets"},
		"hole":               {text: event(4), reason: "offsets"},
		"huge":               {text: event(1<<64 - 1), reason: "offsets"},
		"checkpoint_ahead":   {text: checkpoint(3), reason: "offsets"},
		"no_number":          {text: json(`{"channel":"news/1","pub":{"data":1,"offset":3.5}}`), reason: "garbage"},
		"below_zero":         {text: json(`{"channel":"news/1","pub":{"data":1,"offset":-3}}`), reason: "garbage"},
		"cut":                {text: event(3)[:20], reason: "cut"},
		"cut_between_blanks": {text: strings.TrimSuffix(event(3), "\n"), reason: "cut"},
		"end_without_a_word": {text: "", reason: "early"},
		"silence":            {text: "", hold: true, reason: "stalled"},
		"silence_in_a_line":  {text: event(3)[:20], hold: true, reason: "stalled"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOrigin(t, func(call *call) {
				if call.n == 0 {
					call.send(told(0, 2), eventsOf(1, 2), checkpoint(2), c.text)
					if c.hold {
						call.hold()
					}
					return
				}
				call.send(told(2, 2), event(3))
				call.hold()
			})
			opt := quick(o)
			if c.hold {
				opt.Idle = 50 * time.Millisecond
			}
			r := newRig(t, opt)
			r.subscribe()
			r.await("1", "2", "3")
			st := r.Stats()
			require.EqualValues(t, 1, st.Ends[c.reason], "%v", st.Ends)
			require.Zero(t, st.Gaps)
			require.Equal(t, cursor(2), o.asked()[1].Header.Get("Last-Event-ID"))
		})
	}
}

func TestAnEpochThatIsNotTheStreamsEndsIt(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, func(c *call) {
		if c.n == 0 {
			c.send(told(0, 1), strings.Replace(event(1), epoch, "ijklmnop", 1))
			return
		}
		c.send(told(0, 1), event(1))
		c.hold()
	})
	r := newRig(t, quick(o))
	r.subscribe()
	r.await("1")
	require.EqualValues(t, 1, r.Stats().Ends["epoch"])
}

func TestAnswersThatAreNoStreams(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, reason string }{
		"html":        {"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nSluice-Epoch: e\r\n\r\n<html>", "head"},
		"no_type":     {"HTTP/1.1 200 OK\r\nSluice-Epoch: e\r\n\r\n", "head"},
		"no_epoch":    {"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", "head"},
		"odd_epoch":   {"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nSluice-Epoch: a b\r\n\r\n", "head"},
		"long_epoch":  {"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nSluice-Epoch: " + strings.Repeat("e", 100) + "\r\n\r\n", "head"},
		"compressed":  {"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nSluice-Epoch: e\r\nContent-Encoding: gzip\r\n\r\n", "head"},
		"huge_head":   {"HTTP/1.1 200 OK\r\n" + strings.Repeat("X: "+strings.Repeat("x", 1000)+"\r\n", 1000), "head"},
		"no_http":     {"SSH-2.0-x\r\n\r\n", "head"},
		"odd_header":  {"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "head"},
		"nothing":     {"", "cut"},
		"half_a_head": {"HTTP/1.1 200 OK\r\nContent-Type: text", "cut"},
		"come_back":   {"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 10\r\n\r\nretry: 1\n\n", "away"},
		"and_more":    {"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 19\r\n\r\nretry: 1\n\ndata: {}\n", "head"},
		"cut_short":   {"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 20\r\n\r\nretry: 1\n\n", "head"},
		"unavailable": {"HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n", "status"},
		"forbidden":   {"HTTP/1.1 403 x\r\nContent-Length: 0\r\n\r\n", "status"},
		"no_content":  {"HTTP/1.1 204 x\r\n\r\n", "status"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOrigin(t, func(call *call) {
				if call.n < 2 {
					call.send(c.text)
					return
				}
				call.send(told(0, 1), event(1))
				call.hold()
			})
			r := newRig(t, quick(o))
			r.subscribe()
			r.await("1")
			// The first one may come on a connection that probes had, and be sent again.
			require.NotZero(t, r.Stats().Ends[c.reason], "%v", r.Stats().Ends)
		})
	}
}

func TestAnOriginThatDoesNotAnswerIsNotWaitedForLong(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, func(c *call) {
		if c.n > 0 {
			c.send(told(0, 1), event(1))
		}
		c.hold()
	})
	opt := quick(o)
	opt.Wait = 100 * time.Millisecond
	r := newRig(t, opt)
	require.ErrorIs(t, r.refused(patience), broker.ErrUnavailable)
	opt.Wait = patience
	r.subscribe()

	opt.Origin = nobody(t)
	r = newRig(t, opt)
	require.ErrorIs(t, r.refused(50*time.Millisecond), broker.ErrUnavailable)
	require.NotZero(t, r.Stats().Ends["dial"])
}

// TestEventsThatAreTooLongAreAGap: one is passed over, whatever its length, and told as
// what it is: asked for again it would come again.
func TestEventsThatAreTooLongAreAGap(t *testing.T) {
	t.Parallel()
	long := strings.Replace(event(2), `"2"`, `"`+strings.Repeat("x", 1<<20)+`"`, 1)
	o := newOrigin(t, func(c *call) {
		c.send(told(0, 1), event(1), long, event(3), checkpoint(3))
		c.hold()
	})
	opt := quick(o)
	opt.MessageMax = 1000
	r := newRig(t, opt)
	r.subscribe()
	r.await("1", "lost", "3")
	require.EqualValues(t, 1, r.Stats().TooLong)
	require.Len(t, o.asked(), 1)
}

func TestALineWithoutEndIsGivenUp(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, func(c *call) {
		if c.n > 0 {
			c.send(told(1, 2), event(2))
			c.hold()
			return
		}
		c.send(told(0, 1), event(1), "data: ")
		for {
			if _, err := io.WriteString(c.conn, strings.Repeat("x", 1000)); err != nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
	opt := quick(o)
	opt.MessageMax, opt.Idle = 1000, 20*time.Millisecond
	r := newRig(t, opt)
	r.subscribe()
	r.await("1", "2")
	require.NotZero(t, r.Stats().Ends["stalled"])
}

// TestBytesThatSayNothingAreNoLife: a stream of comments, or of names that no event stream
// has, is given up, and what follows is complete; so that nobody keeps a relay busy for
// ever with nothing.
func TestBytesThatSayNothingAreNoLife(t *testing.T) {
	t.Parallel()
	for _, text := range []string{":\n\n", "{{{\x00\xff\r\r\n\n"} {
		o := newOrigin(t, func(c *call) {
			if c.n > 0 {
				c.send(told(1, 2), event(2))
				c.hold()
				return
			}
			c.send(told(0, 1), event(1))
			for {
				if _, err := io.WriteString(c.conn, text); err != nil {
					return
				}
				time.Sleep(time.Millisecond)
			}
		})
		opt := quick(o)
		opt.Idle = 20 * time.Millisecond
		r := newRig(t, opt)
		r.subscribe()
		r.await("1", "2")
		require.NotZero(t, r.Stats().Ends["stalled"])
	}
}

// TestTroubleIsSaidAndAskedForEverLess: an origin whose streams end in order at once is
// asked for ever less, and the log says what to look at, once.
func TestTroubleIsSaidAndAskedForEverLess(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, func(c *call) { c.send(told(0, 0), checkpoint(0)+"retry: 1\n\n") })
	var log testkit.LogBuffer
	opt := quick(o)
	opt.RetryMin, opt.RetryMax = 100*time.Millisecond, time.Hour
	opt.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	r := newRig(t, opt)
	began := time.Now()
	r.subscribe()
	require.Eventually(t, func() bool { return len(o.asked()) > troubleAfter }, patience, time.Millisecond)
	require.Greater(t, time.Since(began), 15*opt.RetryMin/2, "pauses of 1, 2, 4 and 8, each at least half as long")
	require.Equal(t, 1, strings.Count(log.String(), "a stream of the origin ended"), log.String())
	require.Contains(t, log.String(), "remedy=")
}

func TestALieIsSaidAtOnce(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, func(c *call) {
		if c.n == 0 {
			c.send(told(0, 2), event(1), event(3))
			return
		}
		c.send(told(1, 2), event(2))
		c.hold()
	})
	var log testkit.LogBuffer
	opt := quick(o)
	opt.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	r := newRig(t, opt)
	r.subscribe()
	r.await("1", "2")
	require.Contains(t, log.String(), "reason=offsets")
}

// TestCutAtEveryByte: wherever streams break off, what arrives is complete and in order.
func TestCutAtEveryByte(t *testing.T) {
	t.Parallel()
	// The origin tells positions as it has to: a stream begins behind the id that is
	// brought, or with everything.
	body := func(from uint64) string {
		text := told(from, from) + "retry: 0\n\n"
		for i := from + 1; i <= 4; i++ {
			text += event(i) + checkpoint(i)
		}
		return text
	}
	full := len(body(0))
	for at := 0; at < full; at += 3 {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			t.Parallel()
			o := newOrigin(t, func(c *call) {
				from := uint64(0)
				for i := uint64(1); i <= 4; i++ {
					if c.Header.Get("Last-Event-ID") == cursor(i) {
						from = i
					}
				}
				text := body(from)
				if c.n == 0 {
					text = text[:at]
				}
				c.send(text)
				if c.n > 0 {
					c.hold()
				}
			})
			r := newRig(t, quick(o))
			r.subscribe()
			r.await("1", "2", "3", "4")
			require.Zero(t, r.Stats().Gaps)
			require.Zero(t, r.Stats().Ends["offsets"])
		})
	}
}

// TestAnOriginThatFailsForEverIsLeftAlone: the pause grows.
func TestAnOriginThatFailsForEverIsLeftAlone(t *testing.T) {
	l := &link{e: New(Options{RetryMin: time.Second, RetryMax: 8 * time.Second})}
	cut := func(after time.Duration) *failure { return &failure{reason: endCut, after: after} }
	between := func(d, lo, hi time.Duration) {
		t.Helper()
		require.GreaterOrEqual(t, d, lo)
		require.LessOrEqual(t, d, hi)
	}
	for range 50 {
		l.pause = 0
		for _, pause := range []time.Duration{1, 2, 4, 8, 8, 8} {
			pause *= time.Second
			between(l.next(cut(0), 0), pause/2, pause)
		}
		between(l.next(cut(0), steadyAfter), time.Second/2, time.Second)
		l.pause = 0
		between(l.next(cut(5*time.Second), 0), 5*time.Second, 10*time.Second)
		between(l.next(&failure{reason: endPlanned, after: 5 * time.Second}, time.Minute), 0, followSpread)
		between(l.next(&failure{reason: endEarly, after: 5 * time.Second}, 5*time.Second), 0, followSpread)
		between(l.next(&failure{reason: endEarly, after: 5 * time.Second}, followAfter/2), 5*time.Second, 10*time.Second)
	}
}
