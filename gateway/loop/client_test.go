package loop

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
)

// client is the far end of a stream.
type client struct {
	t       testing.TB
	conn    net.Conn
	fd      int // ours, for socket options; only while the stream is open
	l       *Loop
	rec     *recorder
	ref     Ref
	framing codec.Framing
	seq     int
}

// open makes a stream of a new connection.
func (h *harness) open(pair pairOf, framing codec.Framing) *client {
	h.t.Helper()
	return h.openOn(h.l, pair, framing, false)
}

func (h *harness) openTiny(pair pairOf, framing codec.Framing) *client {
	h.t.Helper()
	return h.openOn(h.l, pair, framing, true)
}

func (h *harness) openOn(l *Loop, pair pairOf, framing codec.Framing, tiny bool) *client {
	h.t.Helper()
	c := &client{t: h.t, l: l, rec: h.told[l.ID()], framing: framing}
	var sock Socket
	sock, c.conn = pair(h.t, tiny)
	c.fd = sock.fd
	h.t.Cleanup(func() { _ = c.conn.Close() })
	var err error
	h.on(l, func(l *Loop) { c.ref, err = l.Adopt(sock, framing, codec.CodingIdentity) })
	require.NoError(h.t, err)
	return c
}

// send queues frames in one turn.
func (h *harness) send(c *client, frames ...*codec.Frame) {
	h.t.Helper()
	h.on(c.l, func(l *Loop) {
		for _, f := range frames {
			l.Send(c.ref.Slot, f, SharedID)
		}
	})
}

// block fills the socket of a client that does not read, until frames wait, and
// returns what was sent. Each frame is one of size bytes.
func (h *harness) block(c *client, size int) (sent string) {
	h.t.Helper()
	live := false
	h.on(c.l, func(l *Loop) { sent, live = c.fill(l, size), l.Live(c.ref) })
	require.True(h.t, live, "the stream ended: is Options.QueueMaxSize too small for this?")
	return sent
}

// fill is block within one turn, in which no deadline of the stream can pass.
func (c *client) fill(l *Loop, size int) (sent string) {
	var all strings.Builder
	s := l.at(c.ref.Slot)
	for n := 0; n == 0 || l.Live(c.ref) && !s.blocked; n++ {
		text := strings.Repeat(string(rune('a'+n%26)), size)
		l.Send(c.ref.Slot, frameOf("", text), SharedID)
		all.WriteString(wire(c.framing, "", text))
		for s.queue != 0 && !s.blocked {
			l.flushStream(c.ref.Slot)
		}
	}
	return all.String()
}

// giveTime gives the client of each stream that ends an hour for the rest, where
// the loop gives it a second (slowTime, lingerTime): on a busy machine that may be
// over between any two steps of a test. Call it before the first stream.
func (h *harness) giveTime() {
	h.rec.onClosed = func(ref Ref, _ Reason) {
		// In the next pass, which comes before the wheel moves on.
		h.l.Post(funcTask(func(l *Loop) {
			if s := l.at(ref.Slot); s.gen == ref.Gen && (s.state == stateClosing || s.state == stateLinger) {
				s.acts = tickAfter(l.now + int64(time.Hour))
				l.arm(ref.Slot)
			}
		}))
	}
}

// expect reads exactly the bytes wanted.
func (c *client) expect(want string) {
	c.t.Helper()
	require.NoError(c.t, c.conn.SetReadDeadline(time.Now().Add(patience)))
	got := make([]byte, len(want))
	n, err := io.ReadFull(c.conn, got)
	c.same(want, string(got[:n]))
	require.NoError(c.t, err)
}

// expectEnd reads the bytes wanted and the end of the stream behind them.
func (c *client) expectEnd(want string) {
	c.t.Helper()
	got, err := c.rest()
	c.same(want, got)
	require.NoError(c.t, err)
}

// rest reads to the end of the stream.
func (c *client) rest() (string, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	got, err := io.ReadAll(c.conn)
	return string(got), err
}

// same compares without printing megabytes.
func (c *client) same(want, got string) {
	c.t.Helper()
	if want == got {
		return
	}
	at := 0
	for at < len(want) && at < len(got) && want[at] == got[at] {
		at++
	}
	around := func(s string) string { return s[min(max(at-40, 0), len(s)):min(at+80, len(s))] }
	c.t.Fatalf("expected %d bytes, got %d; they differ at %d:\nwant %q\ngot  %q", len(want), len(got), at, around(want), around(got))
}

func (c *client) close() { require.NoError(c.t, c.conn.Close()) }

// frameOf makes a frame of a text, with an id line unless id is empty.
func frameOf(id, text string) *codec.Frame {
	return codec.EndFrame(append(codec.StartFrame(len(text)), text...), id)
}

// openFrameOf makes a frame of a text that can be sent with any id.
func openFrameOf(text string) *codec.Frame {
	return codec.EndOpenFrame(append(codec.StartFrame(len(text)), text...))
}

// wholeOf is a frame as it goes out in chunks.
func wholeOf(f *codec.Frame, mode IDMode) []byte {
	lines, end := f.Event(codec.FramingChunked, mode == SharedID)
	return append(bytes.Clone(lines), end...)
}

// wire is what a frame must look like on the connection.
func wire(f codec.Framing, id, text string) string {
	if id == "" {
		return piece(f, "data: "+text+"\n\n")
	}
	return piece(f, "data: "+text+"\n") + ending(f, id)
}

// wireWithout is what a frame that has an id, or a place for one, must look like
// without it.
func wireWithout(f codec.Framing, text string) string {
	return piece(f, "data: "+text+"\n") + piece(f, "\n")
}

// ending is an id chunk.
func ending(f codec.Framing, id string) string { return piece(f, "id: "+id+"\n\n") }

func piece(f codec.Framing, s string) string {
	if f == codec.FramingClose {
		return s
	}
	return fmt.Sprintf("%x\r\n%s\r\n", len(s), s)
}

func terminator(f codec.Framing) string {
	if f == codec.FramingClose {
		return ""
	}
	return "0\r\n\r\n"
}

var framings = map[string]codec.Framing{"chunked": codec.FramingChunked, "close": codec.FramingClose}

// eachWay runs a test over every kind of connection and framing.
func eachWay(t *testing.T, f func(t *testing.T, pair pairOf, framing codec.Framing)) {
	for kind, pair := range pairs {
		for name, framing := range framings {
			t.Run(kind+"/"+name, func(t *testing.T) { f(t, pair, framing) })
		}
	}
}

// read fills p.
func (c *client) read(p []byte) {
	c.t.Helper()
	require.NoError(c.t, c.conn.SetReadDeadline(time.Now().Add(patience)))
	_, err := io.ReadFull(c.conn, p)
	require.NoError(c.t, err)
}
