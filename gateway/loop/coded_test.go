package loop

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http/httputil"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/testkit"
)

// codedClient is the far end of a coded stream.
type codedClient struct {
	*client
	coding codec.Coding
	text   strings.Builder // what it was sent, or will be
	raw    bytes.Buffer    // what it has read
	live   io.Reader       // of the text as it comes, or nil
	read   int             // so much of the text was read as it came
}

func (h *harness) openCoded(pair pairOf, framing codec.Framing, coding codec.Coding, tiny bool) *codedClient {
	h.t.Helper()
	c := &codedClient{client: &client{t: h.t, l: h.l, rec: h.rec, framing: framing}, coding: coding}
	var sock Socket
	sock, c.conn = pair(h.t, tiny)
	h.t.Cleanup(func() { _ = c.conn.Close() })
	var err error
	h.do(func(l *Loop) {
		if c.ref, err = l.Adopt(sock, framing, coding); err == nil {
			l.SendExempt(c.ref.Slot, codec.OpeningFrame(nil, coding, framing, []byte("data: {\"connect\":{}}\n\n")), NoID)
		}
	})
	require.NoError(h.t, err)
	h.do(func(l *Loop) { require.Equal(h.t, coding, l.Coding(c.ref.Slot)) })
	c.text.WriteString("data: {\"connect\":{}}\n\n")
	return c
}

// body returns the coded body as far as it was read, and whether that is all of it.
func (c *codedClient) body() (body []byte, whole bool) {
	if c.framing == codec.FramingClose {
		return c.raw.Bytes(), true
	}
	for rest := c.raw.Bytes(); ; {
		size, more, ok := bytes.Cut(rest, []byte("\r\n"))
		n, err := strconv.ParseUint(string(size), 16, 32)
		if !ok || len(more) < int(n)+2 {
			return body, false
		}
		require.NoError(c.t, err)
		require.Equal(c.t, "\r\n", string(more[n:n+2]))
		if rest = more[n+2:]; n == 0 {
			require.Empty(c.t, rest, "bytes behind the end of the body")
			return body, true
		}
		body = append(body, more[:n]...)
	}
}

// inflated returns the text that the client has by now.
func (c *codedClient) inflated() (text string, whole bool) {
	c.t.Helper()
	body, ended := c.body()
	got, whole := testkit.Inflated(c.t, c.coding.String(), body)
	return string(got), whole && ended
}

// catchUp reads until the client has all that it was sent, as the bytes come.
func (c *codedClient) catchUp() {
	c.t.Helper()
	require.NoError(c.t, c.conn.SetReadDeadline(time.Now().Add(patience)))
	if c.live == nil {
		var body io.Reader = io.TeeReader(c.conn, &c.raw)
		if c.framing == codec.FramingChunked {
			body = httputil.NewChunkedReader(body)
		}
		c.live = testkit.Inflate(c.coding.String(), body)
	}
	got := make([]byte, c.text.Len()-c.read)
	_, err := io.ReadFull(c.live, got)
	require.NoError(c.t, err)
	require.True(c.t, c.text.String()[c.read:] == string(got), "other text than was sent")
	c.read = c.text.Len()
}

// end reads all, which is a whole body.
func (c *codedClient) end() (text string) {
	c.t.Helper()
	rest, err := c.rest()
	require.NoError(c.t, err)
	c.raw.WriteString(rest)
	text, whole := c.inflated()
	require.True(c.t, whole, "the body of %d bytes is not whole, text %q", c.raw.Len(), text[max(0, len(text)-200):])
	return text
}

func (c *codedClient) sent(f *codec.Frame, withID bool) {
	lines, end := f.Event(codec.FramingClose, withID)
	c.text.Write(lines)
	c.text.Write(end)
}

// codedSource makes events as lanes do.
type codedSource struct {
	groups []*codec.Group
	n      int
}

func newCodedSource() *codedSource {
	s := &codedSource{}
	for _, c := range []codec.Coding{codec.CodingGzip, codec.CodingZstd} {
		s.groups = append(s.groups, codec.NewGroup(c, true), codec.NewGroup(c, false))
	}
	return s
}

func (s *codedSource) frame(size int, grouped bool) *codec.Frame {
	s.n++
	var text strings.Builder
	for i := 0; text.Len() < size; i++ {
		fmt.Fprintf(&text, `{"n":%d,"at":%d,"price":%d}`, s.n, i, (s.n+i)*7919%1009)
	}
	f := frameOf(fmt.Sprint("id", s.n), text.String())
	for _, g := range s.groups {
		if grouped {
			g.Add(f)
		} else if size%2 == 0 { // the others go uncompressed
			f.Code(codec.CodingGzip)
			f.Code(codec.CodingZstd)
		}
	}
	return f
}

// codedStep sends clients the same, in one turn.
func codedStep(l *Loop, r *rand.Rand, src *codedSource, clients []*codedClient) {
	size, grouped := []int{40, 600, 2000, 2001, 30000}[r.IntN(5)], r.IntN(4) > 0
	op, f := r.IntN(12), src.frame(size, grouped)
	for _, c := range clients {
		slot := c.ref.Slot
		switch op {
		default:
			l.Send(slot, f, SharedID)
			c.sent(f, true)
		case 0:
			l.Send(slot, f, NoID)
			c.sent(f, false)
		case 1:
			l.SendOwnID(slot, f, codec.AppendCodedEnd(nil, c.coding, c.framing, []byte("own")))
			c.text.Write(f.Lines(codec.FramingClose))
			c.text.WriteString("id: own\n\n")
		case 2:
			l.Push(slot, codec.PingFrame)
			c.sent(codec.PingFrame, false)
		case 3, 4:
			l.Push(slot, codec.NewPing(codec.PingComment, 0))
		case 5:
			block := codec.EndText(append(codec.StartText(5), "block"...))
			own := func(text string) *codec.Frame { return codec.OwnFrame(c.coding, c.framing, []byte(text)) }
			l.SendPieces(slot, []*codec.Frame{own("data: "), block, own(" end\n\n")})
			c.text.WriteString("data: block end\n\n")
		case 6:
			if l.at(slot).queue == 0 { // one run at most
				l.SendRun(slot, c.run(f), codec.RawFrame(nil))
			}
		case 7:
			l.SendLossy(slot, f, Lossy{Class: &source{}})
			c.sent(f, false)
		}
	}
}

// run is a run of the same event many times, with the shared id and without.
func (c *codedClient) run(f *codec.Frame) (events []Event) {
	for i := range runPart + 40 {
		e := Event{Frame: f, Mode: SharedID}
		if i%3 == 0 {
			e.Mode = NoID
		}
		c.sent(f, i%3 > 0)
		events = append(events, e)
	}
	return events
}

func eachCoding(t *testing.T, f func(t *testing.T, pair pairOf, framing codec.Framing, coding codec.Coding)) {
	for _, coding := range []codec.Coding{codec.CodingGzip, codec.CodingZstd} {
		for _, kind := range []string{"unix", "tls"} { // what is written in other ways
			for name, framing := range framings {
				t.Run(fmt.Sprint(coding, "/", kind, "/", name), func(t *testing.T) { f(t, pairs[kind], framing, coding) })
			}
		}
	}
}

// Whatever is sent, and however little the socket takes at a time: each event can be read
// once its bytes are there, and all of them are the text of the stream without a coding.
func TestCodedStreamsReadAsWhatTheyWereSent(t *testing.T) {
	eachCoding(t, func(t *testing.T, pair pairOf, framing codec.Framing, coding codec.Coding) {
		h := newHarness(t, Options{QueueMaxSize: 1 << 30})
		r := rand.New(rand.NewPCG(15, uint64(framing)))
		src := newCodedSource()
		clients := []*codedClient{h.openCoded(pair, framing, coding, false), h.openCoded(pair, framing, coding, true)}
		for step := range 40 {
			h.do(func(l *Loop) {
				for range 1 + r.IntN(4) {
					codedStep(l, r, src, clients)
				}
			})
			switch {
			case step == 10 || step == 25: // in the midst of a group
				clients = append(clients, h.openCoded(pair, framing, coding, step == 10))
			case step%6 == 0:
				clients[step/6%len(clients)].catchUp()
			}
		}
		for i, c := range clients {
			last := frameOf("", fmt.Sprint("the last of ", i))
			h.do(func(l *Loop) { l.Close(c.ref, ReasonShutdown, last, patience) })
			c.sent(last, true)
			c.same(c.text.String(), c.end())
		}
	})
}

// A stream that was too slow has whole events of what it was sent first, and is told.
func TestASlowCodedStreamIsToldInItsCoding(t *testing.T) {
	eachCoding(t, func(t *testing.T, pair pairOf, framing codec.Framing, coding codec.Coding) {
		h := newHarness(t, Options{QueueMaxSize: 64 << 10, SlowFrame: frameOf("", slowText)})
		h.giveTime()
		c := h.openCoded(pair, framing, coding, true)
		src := newCodedSource()
		h.do(func(l *Loop) {
			for n := 0; l.Live(c.ref); n++ {
				f := src.frame(700+n%7*300, true)
				l.Send(c.ref.Slot, f, SharedID)
				c.sent(f, true)
				if s := l.at(c.ref.Slot); s.queue != 0 && !s.blocked && n%3 == 0 {
					l.flushStream(c.ref.Slot)
				}
			}
		})
		h.awaitClosed(c.client, ReasonSlowBytes)
		got, told := strings.CutSuffix(c.end(), "data: "+slowText+"\n\n")
		require.True(t, told)
		require.True(t, strings.HasPrefix(c.text.String(), got))
		require.True(t, strings.HasSuffix(got, "\n\n"))
		require.Less(t, len(got), c.text.Len())
	})
}

// What is left out of a queue leaves a body that can be read, with a notice in its place.
func TestDropsOnCodedStreams(t *testing.T) {
	eachCoding(t, func(t *testing.T, pair pairOf, framing codec.Framing, coding codec.Coding) {
		h := newHarness(t, Options{QueueMaxSize: 32 << 10})
		c := h.openCoded(pair, framing, coding, true)
		src, class := newCodedSource(), &source{"ticks"}
		h.do(func(l *Loop) {
			s := l.at(c.ref.Slot)
			for n, blocked := 0, 0; blocked < 200; n++ {
				l.SendLossy(c.ref.Slot, src.frame(700, true), Lossy{Class: class, Drops: true, Key: uint64(n % 4 / 3), Offset: uint64(n + 1)})
				if s.queue != 0 && !s.blocked {
					l.flushStream(c.ref.Slot)
				}
				if s.blocked {
					blocked++
				}
			}
			l.Close(c.ref, ReasonShutdown, nil, patience)
		})
		text := c.end()
		require.True(t, strings.Contains(text, "ticks gap "), "%d bytes", len(text))
		for _, event := range strings.SplitAfter(strings.TrimPrefix(text, "data: {\"connect\":{}}\n\n"), "\n\n") {
			require.Regexp(t, "^(|data: (ticks gap|{\"n\":).*\n\n)$", event)
		}
	})
}

// What only coded streams have stands in a table of its own.
func TestAStreamHasNothingOfACodingButAName(t *testing.T) {
	require.LessOrEqual(t, unsafe.Sizeof(stream{}), uintptr(88))
	require.LessOrEqual(t, unsafe.Sizeof(item{}), uintptr(24))
	require.LessOrEqual(t, unsafe.Sizeof(codec.Frame{}), uintptr(64))
}

// The answer that refuses a stream is no part of a body.
func TestARefusalOnACodedStreamIsAsItIs(t *testing.T) {
	h := newHarness(t, Options{})
	sock, far := unixPair(t, false)
	h.do(func(l *Loop) {
		ref, err := l.Adopt(sock, codec.FramingChunked, codec.CodingGzip)
		require.NoError(t, err)
		l.SendExempt(ref.Slot, codec.RawFrame([]byte("HTTP/1.1 403 Forbidden\r\n\r\n")), NoID)
		l.CloseBare(ref, ReasonRefused, patience)
	})
	got, err := io.ReadAll(far)
	require.NoError(t, err)
	require.Equal(t, "HTTP/1.1 403 Forbidden\r\n\r\n", string(got))
	require.NoError(t, far.Close())
}

// The forms of frames must not change while they are queued, either.
func TestACodedFormThatChangesWhileQueuedEndsItsStream(t *testing.T) {
	h := newHarness(t, Options{QueueMaxSize: 1 << 30})
	c := h.openCoded(unixPair, codec.FramingChunked, codec.CodingGzip, true)
	h.do(func(l *Loop) {
		for f := frameOf("", strings.Repeat("x", 400)); !l.at(c.ref.Slot).blocked; {
			l.Send(c.ref.Slot, f, SharedID)
			l.flushStream(c.ref.Slot)
		}
		f := frameOf("", "immutable")
		l.Send(c.ref.Slot, f, SharedID)
		s := l.at(c.ref.Slot)
		l.gather(s, &l.queues[s.queue-1], 1<<20) // it is used
		l.iov.reset()
		body := codec.NewBody(codec.CodingGzip, codec.FramingChunked)
		form := body.Form(&codec.Part{Frame: f})
		form.Lines[len(form.Lines)-5] ^= 1
	})
	_, _ = c.rest()
	h.awaitClosed(c.client, ReasonPanic)
	h.wantPanics(1, "the form of a frame for gzip changed while it was queued")
}
