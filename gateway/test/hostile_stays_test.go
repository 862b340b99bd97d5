package test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// hostile is one thing that somebody may send, and what must come back.
type hostile struct {
	name, raw string
	// answers are the statuses that come back, in order; none: the
	// connection is closed without a word.
	answers []int
	// or is a status that the last answer may have instead; 0: none.
	or int
	// says is in the body of the last answer.
	says string
	end  ending
}

// ending is how a connection ends.
type ending uint8

const (
	// closes: the server closes the connection behind the last answer. To
	// see that, a request follows that must not be answered.
	closes ending = iota
	// stays: the server would answer more; the client closes.
	stays
	// truncated: the client closes its half behind raw; then the server may
	// answer once more, or not (RFC 9112 section 8).
	truncated
	// silent is truncated where there was nothing to answer.
	silent
)

// behindHostile is what follows a request that ends its connection.
const behindHostile = "GET /health?smuggled HTTP/1.1\r\nHost: h\r\n\r\n"

// injected is the name of a header that no answer may have.
const injected = "X-Injected"

const hostilePatience = time.Minute

// TestHostileRequests sends each row on a connection of its own, and looks after
// each whether the server is well.
func TestHostileRequests(t *testing.T) { hostileRequests(t, "", nil) }

// hostileRequests does it at a server with more keys in http_server, sending rows by send;
// nil: each at once.
func hostileRequests(t *testing.T, keys string, send func(c *testkit.Conn, raw string)) {
	testkit.Snapshot(t, libraryGoroutines...)
	text := fmt.Sprintf(baseConfig, "", `, "max_body_size": 131072`, `, "allowed_origins": ["https://good.example"]`, "")
	s := launch(t, strings.Replace(text, `"port": 0`, `"port": 0`+keys, 1))
	t.Cleanup(func() { s.stop(t) })
	rows := hostileRows()
	names, raws := make(map[string]bool), make(map[string]string)
	for i := range rows {
		row := &rows[i]
		if names[row.name] {
			t.Errorf("two rows have the name %q", row.name)
		}
		if same := raws[row.raw]; same != "" {
			t.Errorf("%q sends the same as %q", row.name, same)
		}
		names[row.name], raws[row.raw] = true, row.name
	}
	require.GreaterOrEqual(t, len(rows), 300)

	t.Run("rows", func(t *testing.T) {
		for i := range rows {
			row := &rows[i]
			t.Run(row.name, func(t *testing.T) {
				t.Parallel()
				row.check(t, s.addr, send)
				healthy(t, s.addr)
			})
		}
	})

	testkit.EventuallyWithin(t, hostilePatience, func() bool {
		channels, subs := s.hub.Interest()
		return channels+subs == 0
	}, "streams of the rows to end")
	c := s.subscribe(t, "news")
	c.ExpectConnect(t)
	s.api.Publish(t, "news", `"alive"`)
	c.ExpectPub(t, "news")
}

// healthy asks on a fresh connection whether the server is well.
func healthy(t *testing.T, addr string) {
	t.Helper()
	c := testkit.Dial(t, addr)
	c.ReadTimeout = hostilePatience
	defer c.Close()
	c.Send("GET /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	require.Equal(t, 200, c.ReadHead(t).Status)
	body, err := io.ReadAll(c.Body())
	require.NoError(t, err)
	require.Equal(t, "{}", string(body))
}

func (row *hostile) check(t *testing.T, addr string, send func(c *testkit.Conn, raw string)) {
	t.Helper()
	c := testkit.Dial(t, addr)
	c.ReadTimeout = hostilePatience
	defer c.Close()
	raw := row.raw
	if row.end == closes {
		raw += behindHostile
	}
	if send == nil {
		_ = c.TrySend(raw) // the server may have closed before it has everything
	} else {
		send(c, raw)
	}
	if row.end == truncated || row.end == silent {
		closeHalf(t, c)
	}
	streams := false
	for i, want := range row.answers {
		last := i == len(row.answers)-1
		head, body, ok := row.answer(t, c, last)
		streams = isStream(head)
		if !ok && row.end == truncated && last {
			return
		}
		require.True(t, ok, "%q: answer %d is missing, %d expected", row.raw, i+1, want)
		if last && row.or != 0 && head.Status == row.or {
			want = row.or
		}
		require.Equal(t, want, head.Status, "%q: answer %d: %s", shorter(row.raw), i+1, body)
		if last {
			require.Contains(t, body, row.says)
		}
	}
	if streams {
		return // answer has read it to its end, or as far as the client cares
	}
	if row.end == stays {
		closeHalf(t, c)
	}
	head, err := c.TryReadHead()
	require.Error(t, err, "%q: one answer more than expected: %s", shorter(row.raw), head.Raw)
	require.NotErrorIs(t, err, testkit.ErrFraming, "%q", shorter(row.raw))
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "%q: the connection stays open", shorter(row.raw))
}

// answer reads one answer; of a stream, all there is if the server ends it, and
// else its beginning.
func (row *hostile) answer(t *testing.T, c *testkit.Conn, last bool) (head testkit.Head, body string, ok bool) {
	t.Helper()
	head, err := c.TryReadHead()
	if err == nil && head.Status == 100 {
		head, err = c.TryReadHead()
	}
	if errors.Is(err, testkit.ErrFraming) || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%q: %v", shorter(row.raw), err)
	}
	if err != nil {
		return head, "", false
	}
	require.Empty(t, head.Values(injected), "%q: a header was forged", shorter(row.raw))
	if row.end == stays && isStream(head) {
		return head, readEvent(t, c.Body()), true
	}
	text, err := io.ReadAll(c.Body())
	if !isStream(head) { // whose client went away, or spoke where it should listen
		require.NoError(t, err, "%q", shorter(row.raw))
	}
	require.NotRegexp(t, `HTTP/1\.[01] \d{3} `, string(text), "%q: an answer within the body of another", shorter(row.raw))
	if row.end == closes && last && head.Status >= 400 && len(text) > 0 && row.or == 0 {
		require.Equal(t, "application/json", head.Get("Content-Type"), "%q", shorter(row.raw))
		require.Equal(t, 1, strings.Count(string(text), "\n"), "%q: one line of JSON, got %q", shorter(row.raw), text)
		require.Equal(t, "close", head.Get("Connection"), "%q", shorter(row.raw))
	}
	return head, string(text), true
}

func isStream(head testkit.Head) bool {
	return strings.HasPrefix(head.Get("Content-Type"), "text/event-stream")
}

// readEvent reads a stream up to its first event.
func readEvent(t *testing.T, body io.Reader) string {
	t.Helper()
	var text []byte
	for buf := make([]byte, 4<<10); !bytes.Contains(text, []byte("data: ")); {
		n, err := body.Read(buf)
		text = append(text, buf[:n]...)
		if err != nil {
			break
		}
	}
	return string(text)
}

func closeHalf(t *testing.T, c *testkit.Conn) {
	t.Helper()
	half, ok := c.NetConn().(interface{ CloseWrite() error })
	require.True(t, ok)
	_ = half.CloseWrite() // the server may have closed it already
}

// shorter is for messages about long rows.
func shorter(raw string) string {
	if len(raw) <= 400 {
		return raw
	}
	return raw[:300] + "..." + raw[len(raw)-80:]
}
