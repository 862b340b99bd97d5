package test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/loop"
	"sluice/gateway/testkit"
)

// closing says how a stream comes to end for a reason.
type closing struct {
	// parts are what the config needs for it.
	parts parts
	// do opens one stream, and ends it for the reason.
	do func(t *testing.T, s *server)
	// stops says that the gateway itself ends, in do.
	stops bool
	// not says why no client, backend or operator can bring it about at
	// will, and what shows that it is counted.
	not string
}

// told waits until a client was told a code, and ends its half: otherwise the
// stream lingers for it.
func told(t *testing.T, c *testkit.Client, code uint32) {
	t.Helper()
	c.ExpectDisconnect(t, code)
	c.Close()
}

func openStream(t *testing.T, s *server, channels ...string) *testkit.Client {
	t.Helper()
	c := s.subscribe(t, channels...)
	c.ExpectConnect(t)
	return c
}

func asUser(t *testing.T, s *server) *testkit.Client {
	t.Helper()
	c := testkit.Connect(t, s.addr, testkit.ConnectOptions{
		Token: testkit.HS256(t, testSecret, map[string]any{"sub": "u"}), Subs: asking("news"),
	})
	c.ExpectConnect(t)
	return c
}

// overrun publishes to a client that reads nothing until its stream ends.
func overrun(t *testing.T, s *server) {
	c := s.lazy(t, subscribeTarget([]string{"news"}))
	s.publishUntil(t, []string{"news"}, 0, nil, func(st loop.Stats) bool { return ended(&st) > 0 })
	_ = c.conn.Close()
}

// closings has a row for each of loop.Reasons.
var closings = map[loop.Reason]closing{
	loop.ReasonClientGone: {do: func(t *testing.T, s *server) { openStream(t, s, "news").Close() }},
	loop.ReasonInput: {do: func(t *testing.T, s *server) {
		c := testkit.Dial(t, s.addr)
		c.Send("GET " + testkit.DefaultPath + " HTTP/1.1\r\nHost: h\r\n\r\n")
		require.Equal(t, 200, c.ReadHead(t).Status)
		require.NoError(t, s.streamsOpen(1))
		_ = c.TrySend(strings.Repeat("x", 100<<10)) // it may be cut while we write
	}},
	loop.ReasonSlowBytes: {
		parts: parts{client: `, "queue_max_size": 131072, "queue_max_age": "10m"`}, do: overrun,
	},
	loop.ReasonSlowAge: {
		parts: parts{client: `, "queue_max_size": 1000000000, "queue_max_age": "100ms"`}, do: overrun,
	},
	loop.ReasonSlowTotal: {
		parts: parts{client: `, "queue_max_size": 1000000000, "queue_max_age": "10m", "queues_max_total": 1048576`}, do: overrun,
	},
	loop.ReasonPanic: {do: func(t *testing.T, s *server) {
		openStream(t, s, "news")
		for _, l := range s.group.Loops {
			l.Post(explosion{s})
		}
	}},
	loop.ReasonShutdown: {stops: true, do: func(t *testing.T, s *server) { openStream(t, s, "news") }},
	loop.ReasonDisconnect: {do: func(t *testing.T, s *server) {
		c := asUser(t, s)
		s.api.MustResult(t, "disconnect", `{"user": "u"}`)
		told(t, c, 3503)
	}},
	loop.ReasonExpired: {do: func(t *testing.T, s *server) {
		c := asUser(t, s)
		s.api.MustResult(t, "refresh", `{"user": "u", "expired": true}`)
		told(t, c, 3005)
	}},
	loop.ReasonInsufficient: {
		parts: parts{channel: `, "namespaces": [{"name": "pos", "force_positioning": true, "history_size": 9, "history_ttl": "60s", ` + anybody + `}]`},
		do: func(t *testing.T, s *server) {
			c := openStream(t, s, "pos:a")
			// What an engine says that has lost publications.
			s.hub.Publication("pos:a", &codec.Publication{Data: codec.QuoteJSON("x"), Offset: 7, Epoch: "e"}, nil, nil)
			told(t, c, 3010)
		},
	},
	loop.ReasonInappropriate: {
		parts: parts{channel: `, "namespaces": [{"name": "bin", "publication_data_format": "binary", ` + anybody + `}]`},
		do: func(t *testing.T, s *server) {
			c := openStream(t, s, "bin:a")
			s.api.MustResult(t, "publish", fmt.Sprintf(`{"channel": "bin:a", "b64data": %q}`, base64.StdEncoding.EncodeToString([]byte{0xff, 0})))
			told(t, c, 3506)
		},
	},
	loop.ReasonLimit: {parts: parts{client: `, "channel_limit": 1`}, do: func(t *testing.T, s *server) {
		c := asUser(t, s)
		s.api.MustResult(t, "subscribe", `{"user": "u", "channel": "more"}`)
		told(t, c, 3505)
	}},
	loop.ReasonRefused: {do: func(t *testing.T, s *server) {
		told(t, testkit.Connect(t, s.addr, testkit.ConnectOptions{Token: "a.b.c"}), 3500)
	}},
	loop.ReasonLifetime: {parts: parts{sse: `, "max_lifetime": "300ms"`}, do: func(t *testing.T, s *server) {
		c := openStream(t, s, "news")
		c.WaitEnd(t)
		c.Close()
	}},
	loop.ReasonBounded: {parts: parts{sse: `, "bounded_streams": true`}, do: func(t *testing.T, s *server) {
		c := testkit.Connect(t, s.addr, testkit.ConnectOptions{Path: testkit.DefaultPath + "?max_events=1"})
		c.ExpectConnect(t)
		c.ExpectEnd(t)
		c.Close()
	}},
	loop.ReasonPeerTimeout: {not: "it takes a network that loses packets for longer than TCP_USER_TIMEOUT; " +
		"TestAClientThatVanishedIsNoticed of package loop has one"},
	loop.ReasonWriteError: {not: "it takes an error of write(2) that is neither the client's end nor a full socket; TestWriteErrorsHaveReasons of package loop has some"},
	loop.ReasonStale:      {not: "it takes an engine that does not answer: 3502_stale of package sse, where it is this reason or refused, whichever looks at its clock first"},
	loop.ReasonSlowResume: {not: "it takes another client that waits for the memory; TestAStormOfResumesStaysWithinTheBudget has many"},
	loop.ReasonTLS:        {not: "it takes a client that breaks TLS; package loop has one"},
}

// ended is how many streams have ended.
func ended(s *loop.Stats) (n uint64) {
	for _, c := range s.Closes {
		n += c
	}
	return n
}

// streamsOpen waits until so many streams are open.
func (s *server) streamsOpen(n int) error {
	for deadline := time.Now().Add(patience); s.stats().Open != n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("expected %d open streams, got %+v", n, s.stats())
		}
	}
	return nil
}

// explosion is a task with a bug, for the first stream of a loop.
type explosion struct{ s *server }

// Run implements loop.Task.
func (e explosion) Run(l *loop.Loop) {
	if l.Stats().Open == 0 {
		return
	}
	l.Hand(0)
	panic("a bug")
}

// Every stream that ends counts once, for the reason it ended for and no other.
func TestEveryCloseCountsOneReason(t *testing.T) {
	for _, reason := range loop.Reasons() {
		row, ok := closings[reason]
		if !ok {
			t.Errorf("no row for %s: say how it comes about, or why it cannot be brought about here", reason)
			continue
		}
		t.Run(reason.String(), func(t *testing.T) {
			if row.not != "" {
				t.Skip(row.not)
			}
			row.check(t, reason)
		})
	}
}

func (c *closing) check(t *testing.T, reason loop.Reason) {
	testkit.Snapshot(t, libraryGoroutines...)
	p := c.parts
	p.sse += withMetrics
	s := launch(t, fmt.Sprintf(baseConfig, p.sse, p.api, p.client, p.channel))
	c.do(t, s)
	if c.stops {
		s.stop(t)
		// Nobody answers scrapes any more, and no turn runs.
		var sum loop.Stats
		for _, l := range s.group.Loops {
			sum.Add(l.Stats())
		}
		expectOneClose(t, reason, &sum)
		return
	}
	defer s.stop(t)
	var got loop.Stats
	testkit.EventuallyWithin(t, patience, func() bool { got = s.stats(); return got.Closes[reason] == 1 }, "a close for "+reason.String())
	expectOneClose(t, reason, &got)
	shown := s.scrape(t)
	for _, r := range loop.Reasons() {
		want := 0.0
		if r == reason {
			want = 1
		}
		require.Equal(t, want, shown[`stream_closes_total{reason="`+r.String()+`"}`], "closes for %s", r)
	}
	require.EqualValues(t, 1, shown[`streams_opened_total`])
}

func expectOneClose(t *testing.T, reason loop.Reason, s *loop.Stats) {
	t.Helper()
	require.EqualValues(t, 1, s.Closes[reason], "%+v", s.Closes)
	require.EqualValues(t, 1, ended(s), "%+v", s.Closes)
	require.EqualValues(t, 1, s.Adopted, "as many streams ended as were opened")
}
