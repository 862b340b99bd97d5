package testkit

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"testing"
	"time"
)

// errWaited is what take returns when nothing came in time.
var errWaited = errors.New("testkit: nothing came in time")

// errEnded is what take returns when every push was taken and the stream is over.
var errEnded = errors.New("testkit: the stream ended")

// Next returns the next push that is no ping. It fails the test when none comes within the client's timeout, when the
// stream ends first, and when the stream broke the protocol.
func (c *Client) Next(t testing.TB) Push {
	t.Helper()
	return c.wait(t, "a push", isNoPing)
}

// NextAny is Next that returns pings too.
func (c *Client) NextAny(t testing.TB) Push {
	t.Helper()
	return c.wait(t, "a push or ping", func(Push) bool { return true })
}

// NextKind drops pushes until one of the kind comes and returns it.
func (c *Client) NextKind(t testing.TB, kind string) Push {
	t.Helper()
	return c.wait(t, "a "+kind+" push", func(p Push) bool { return p.Kind == kind })
}

// Expect fails the test unless the next push is rawJSON byte for byte.
func (c *Client) Expect(t testing.TB, rawJSON string) Push {
	t.Helper()
	p := c.wait(t, rawJSON, isNoPing)
	if string(p.Raw) != rawJSON {
		t.Fatalf("testkit: next push\nexpected %s\ngot      %s", rawJSON, p.Raw)
	}
	return p
}

// ExpectJSON is Expect for pushes with subs or tags, whose keys come in any order: equal as JSON values.
func (c *Client) ExpectJSON(t testing.TB, want string) Push {
	t.Helper()
	p := c.wait(t, want, isNoPing)
	if !reflect.DeepEqual(value(t, p.Raw), value(t, []byte(want))) {
		t.Fatalf("testkit: next push\nexpected the JSON value %s\ngot %s", want, p.Raw)
	}
	return p
}

// ExpectConnect fails the test unless the next push is a connect push.
func (c *Client) ExpectConnect(t testing.TB) ConnectResult {
	t.Helper()
	p := c.expectKind(t, "connect")
	var result ConnectResult
	p.Decode(t, &result)
	if result.Client == "" || result.Session == "" || result.Version == "" {
		t.Fatalf("testkit: connect push without client, session or version: %s", p.Raw)
	}
	result.EventID, result.HasID = p.EventID, p.HasID
	return result
}

// ExpectPub fails the test unless the next push is a publication in channel.
func (c *Client) ExpectPub(t testing.TB, channel string) Publication {
	t.Helper()
	p := c.expectKind(t, "pub")
	if p.Channel != channel {
		t.Fatalf("testkit: expected a publication in %q, got %s", channel, p.Raw)
	}
	return p.publication(t)
}

// publication is that of a pub push, with the id of its event.
func (p Push) publication(t testing.TB) Publication {
	t.Helper()
	var publication Publication
	p.Decode(t, &publication)
	publication.EventID, publication.HasID = p.EventID, p.HasID
	return publication
}

// ExpectMissed takes what a client missed where it follows the connect push, and puts it into the push's result, as if it
// had come there: publications counts says how many of each channel there are in all. Each must have an id.
func (c *Client) ExpectMissed(t testing.TB, r *ConnectResult, publications map[string]int) {
	t.Helper()
	left := 0
	for channel, n := range publications {
		left += n - len(r.Subs[channel].Publications)
	}
	for ; left > 0; left-- {
		p := c.expectKind(t, "pub")
		sub := r.Subs[p.Channel]
		if len(sub.Publications) >= publications[p.Channel] || !p.HasID {
			t.Fatalf("testkit: expected missed publications with ids, got %s with the id %q", p.Raw, p.EventID)
		}
		sub.Publications = append(sub.Publications, p.publication(t))
		r.Subs[p.Channel] = sub
	}
}

// ExpectDisconnect fails the test unless the next push is a disconnect with the code, and the last: see ExpectEnd.
func (c *Client) ExpectDisconnect(t testing.TB, code uint32) Disconnect {
	t.Helper()
	p := c.expectKind(t, "disconnect")
	var disconnect Disconnect
	p.Decode(t, &disconnect)
	if disconnect.Code != code {
		t.Fatalf("testkit: expected disconnect code %d, got %s", code, p.Raw)
	}
	c.ExpectEnd(t)
	return disconnect
}

// ExpectEnd fails the test unless the stream now ends properly: no further push but pings, no incomplete event, the body
// terminated as its framing demands.
func (c *Client) ExpectEnd(t testing.TB) {
	t.Helper()
	p, err := c.until(t, "the end of the stream", isNoPing)
	if err == nil {
		t.Fatalf("testkit: expected the end of the stream, got %s", p.Raw)
	}
	c.mu.Lock()
	end := c.end
	c.mu.Unlock()
	if !errors.Is(end.Err, io.EOF) || !end.Terminated || len(end.Incomplete) > 0 {
		t.Fatalf("testkit: expected a proper end of the stream; it %s; %s", end, c.state())
	}
}

// ExpectClosed fails the test unless, after the end of the stream, the server closes the connection without another byte.
func (c *Client) ExpectClosed(t testing.TB) {
	t.Helper()
	c.WaitEnd(t)
	c.conn.ReadTimeout = c.timeout
	c.conn.ExpectClosed(t)
}

// WaitEnd drops pushes until the stream ends and tells how; for streams that may be cut. It fails the test when the stream
// is still open after the client's timeout.
func (c *Client) WaitEnd(t testing.TB) End {
	t.Helper()
	_, _ = c.until(t, "the end of the stream", func(Push) bool { return false })
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.end
}

// Quiet fails the test when anything but pings arrives within d, the end of the stream included. It always takes d.
func (c *Client) Quiet(t testing.TB, d time.Duration) {
	t.Helper()
	over, stop := after(d)
	defer stop()
	for {
		p, err := c.take(t, over)
		if errors.Is(err, errWaited) {
			return
		}
		if err != nil {
			t.Fatalf("testkit: expected %v without a push; %s", d, c.state())
		}
		if p.Kind != "ping" {
			t.Fatalf("testkit: expected %v without a push, got %s", d, p.Raw)
		}
	}
}

// expectKind returns the next push that is no ping and fails the test when it is of another kind.
func (c *Client) expectKind(t testing.TB, kind string) Push {
	t.Helper()
	p := c.wait(t, "a "+kind+" push", isNoPing)
	if p.Kind != kind {
		t.Fatalf("testkit: expected a %s push, got %s", kind, p.Raw)
	}
	return p
}

// wait drops pushes until one is wanted and fails the test when that takes longer than the timeout, and when the stream
// ends first.
func (c *Client) wait(t testing.TB, what string, wanted func(Push) bool) Push {
	t.Helper()
	p, err := c.until(t, what, wanted)
	if err != nil {
		t.Fatalf("testkit: expected %s; %s", what, c.state())
	}
	return p
}

// until drops pushes until one is wanted or the stream ends, which is errEnded, and fails the test when that takes longer
// than the timeout.
func (c *Client) until(t testing.TB, what string, wanted func(Push) bool) (Push, error) {
	t.Helper()
	over, stop := after(c.timeout)
	defer stop()
	for {
		p, err := c.takeInTime(t, over)
		if errors.Is(err, errWaited) {
			t.Fatalf("testkit: waited %v for %s; %s", c.timeout, what, c.state())
		}
		if err != nil || wanted(p) {
			return p, err
		}
	}
}

func isNoPing(p Push) bool { return p.Kind != "ping" }

// after returns a channel that is closed once d has passed, or never after stop.
func after(d time.Duration) (over <-chan struct{}, stop func() bool) {
	passed := make(chan struct{})
	return passed, time.AfterFunc(d, func() { close(passed) }).Stop
}

// take returns the oldest push, errEnded or errWaited, and fails the test on violations received by then.
func (c *Client) take(t testing.TB, over <-chan struct{}) (Push, error) {
	t.Helper()
	for {
		p, err := c.takeNow(t)
		if !errors.Is(err, errWaited) {
			return p, err
		}
		select {
		case <-c.wake:
		case <-over:
			return Push{}, errWaited
		}
	}
}

// takeInTime is take with a last look: what came just before a process that stood still saw its timer counts as in time.
func (c *Client) takeInTime(t testing.TB, over <-chan struct{}) (Push, error) {
	t.Helper()
	p, err := c.take(t, over)
	if errors.Is(err, errWaited) {
		return c.takeNow(t)
	}
	return p, err
}

// takeNow is take that does not wait.
func (c *Client) takeNow(t testing.TB) (Push, error) {
	t.Helper()
	if text := c.unreported(); text != "" {
		t.Fatalf("testkit: %s", text)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case len(c.queue) > 0:
		p := c.queue[0]
		c.queue = c.queue[1:]
		return p, nil
	case c.ended:
		return Push{}, errEnded
	}
	return Push{}, errWaited
}

// value decodes JSON with numbers kept as text.
func value(t testing.TB, text []byte) any {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("testkit: JSON expected: %v in %s", err, text)
	}
	return v
}
