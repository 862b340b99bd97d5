package testkit

import (
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

// pipeConn is a Conn whose peer sends text in one write, or byte by byte, and closes.
func pipeConn(t testing.TB, text string, single bool) *Conn {
	near, far := net.Pipe()
	go func() {
		defer far.Close()
		if !single {
			_, _ = io.WriteString(far, text)
			return
		}
		for i := range len(text) {
			if _, err := far.Write([]byte{text[i]}); err != nil {
				return
			}
		}
	}()
	return NewConn(t, near)
}

func TestConnReadsHeadsExactly(t *testing.T) {
	const text = "HTTP/1.1 200 All right\r\nX-a:1\r\nx-A: two words \r\nExpire:\t0\r\nEmpty:\r\nContent-Length: 0\r\n\r\n"
	for _, single := range []bool{false, true} {
		head := pipeConn(t, text, single).ReadHead(t)
		want := Head{
			Proto: "HTTP/1.1", Status: 200, Reason: "All right", Raw: text,
			Headers: []Header{{"X-a", "1"}, {"x-A", "two words"}, {"Expire", "0"}, {"Empty", ""}, {"Content-Length", "0"}},
		}
		if !reflect.DeepEqual(head, want) {
			t.Fatalf("expected %+v\ngot %+v", want, head)
		}
		if got := head.Values("X-A"); !reflect.DeepEqual(got, []string{"1", "two words"}) || head.Get("x-a") != "1" {
			t.Fatalf("Values: %q, Get: %q", got, head.Get("x-a"))
		}
		if head.Values("absent") != nil || head.Values("empty") == nil {
			t.Fatal("Values does not tell absent from empty")
		}
	}
}

func TestConnRefusesMalformedHeads(t *testing.T) {
	f := func(text string) {
		t.Helper()
		if _, err := pipeConn(t, text, false).TryReadHead(); !errors.Is(err, ErrFraming) {
			t.Errorf("%q: expected ErrFraming, got %v", text, err)
		}
	}
	f("\r\nHTTP/1.1 200 OK\r\n\r\n")
	f("HTTP/1.1 200 OK\n\n")
	f("HTTP/1.1 200 OK\r\nA: b\n\r\n")
	f("HTTP/1.1 200 OK\r\nA: b\rC: d\r\n\r\n")
	f("HTTP/1.1  200 OK\r\n\r\n")
	f("HTTP/1.1 200\r\n\r\n")
	f("HTTP/1.1 99 OK\r\n\r\n")
	f("HTTP/2.0 200 OK\r\n\r\n")
	f("HTTP/1.1 200 OK\r\nA : b\r\n\r\n")
	f("HTTP/1.1 200 OK\r\n: b\r\n\r\n")
	f("HTTP/1.1 200 OK\r\nA\r\n\r\n")
	f("HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n")
	f("HTTP/1.1 200 OK\r\nA: b\x00\r\n\r\n")
	f("HTTP/1.1 200 OK\r\nA: b\r\n")
	f("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n")
	f("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n")
	f("HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n")
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n")
	f("HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", maxHeadBytes) + "\r\n\r\n")
	if _, err := pipeConn(t, "", false).TryReadHead(); !errors.Is(err, io.EOF) || errors.Is(err, ErrFraming) {
		t.Errorf("closed before a byte: expected io.EOF, got %v", err)
	}
}

func TestConnReadsBodiesByTheirFraming(t *testing.T) {
	f := func(text, want string, sizes ...int) {
		t.Helper()
		for _, single := range []bool{false, true} {
			c := pipeConn(t, text, single)
			c.ReadHead(t)
			got, err := io.ReadAll(c.Body())
			if err != nil || string(got) != want || !c.Terminated() || !reflect.DeepEqual(c.ChunkSizes(), sizes) {
				t.Errorf("%q (byte by byte: %v): got %q, %v, terminated %v, chunks %v", text, single, got, err, c.Terminated(), c.ChunkSizes())
			}
			c.ExpectClosed(t)
		}
	}
	const chunkedHead = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	f(chunkedHead+"0\r\n\r\n", "")
	f(chunkedHead+"3\r\nabc\r\n0\r\n\r\n", "abc", 3)
	f(chunkedHead+"2\r\n\r\n\r\nA\r\n0123456789\r\n0001\r\nx\r\n0\r\n\r\n", "\r\n0123456789x", 2, 10, 1)
	f("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "abc")
	f("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "")
	f("HTTP/1.0 200 OK\r\n\r\nabc", "abc")
	f("HTTP/1.1 204 No Content\r\n\r\n", "")
}

func TestConnRefusesMalformedBodies(t *testing.T) {
	f := func(framing, text, prefix string, want error) {
		t.Helper()
		for _, single := range []bool{false, true} {
			c := pipeConn(t, "HTTP/1.1 200 OK\r\n"+framing+"\r\n\r\n"+text, single)
			c.ReadHead(t)
			got, err := io.ReadAll(c.Body())
			if !errors.Is(err, want) || string(got) != prefix || c.Terminated() {
				t.Errorf("%q (byte by byte: %v): expected %q and %v, got %q and %v, terminated %v", text, single, prefix, want, got, err, c.Terminated())
			}
			if _, again := c.Body().Read(make([]byte, 1)); !errors.Is(again, want) {
				t.Errorf("%q: the error did not stay: %v", text, again)
			}
		}
	}
	const chunked = "Transfer-Encoding: chunked"
	f(chunked, "x\r\n", "", ErrFraming)
	f(chunked, "\r\n", "", ErrFraming)
	f(chunked, "-1\r\n", "", ErrFraming)
	f(chunked, "+1\r\na\r\n", "", ErrFraming)
	f(chunked, "0x1\r\na\r\n", "", ErrFraming)
	f(chunked, "1_0\r\n", "", ErrFraming)
	f(chunked, " 1\r\na\r\n", "", ErrFraming)
	f(chunked, "1 \r\na\r\n", "", ErrFraming)
	f(chunked, "1;ext=1\r\na\r\n0\r\n\r\n", "", ErrFraming)
	f(chunked, "1\na\r\n0\r\n\r\n", "", ErrFraming)
	f(chunked, "80000000\r\n", "", ErrFraming)
	f(chunked, "11111111111111111111\r\n", "", ErrFraming)
	f(chunked, "1\r\nab\r\n0\r\n\r\n", "a", ErrFraming)
	f(chunked, "1\r\na\n0\r\n\r\n", "a", ErrFraming)
	f(chunked, "1\r\na\r0\r\n\r\n", "a", ErrFraming)
	f(chunked, "1\r\na\r\n00\r\n\r\n", "a", ErrFraming)
	f(chunked, "1\r\na\r\n0\r\nTrailer: x\r\n\r\n", "a", ErrFraming)
	f(chunked, "1\r\na\r\n0\r\n\n", "a", ErrFraming)
	f(chunked, "1\r\na\r\n0\r\nx", "a", ErrFraming)
	f(chunked, "", "", io.ErrUnexpectedEOF)
	f(chunked, "1", "", io.ErrUnexpectedEOF)
	f(chunked, "3\r\nab", "ab", io.ErrUnexpectedEOF)
	f(chunked, "3\r\nabc", "abc", io.ErrUnexpectedEOF)
	f(chunked, "3\r\nabc\r", "abc", io.ErrUnexpectedEOF)
	f(chunked, "3\r\nabc\r\n", "abc", io.ErrUnexpectedEOF)
	f(chunked, "3\r\nabc\r\n0\r\n", "abc", io.ErrUnexpectedEOF)
	f(chunked, "3\r\nabc\r\n0\r\n\r", "abc", io.ErrUnexpectedEOF)
	f("Content-Length: 4", "abc", "abc", io.ErrUnexpectedEOF)
}

func TestConnReturnsBytesOfAChunkThatIsNotComplete(t *testing.T) {
	near, far := net.Pipe()
	go func() { _, _ = io.WriteString(far, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab") }()
	defer far.Close()
	c := NewConn(t, near)
	c.ReadHead(t)
	buf := make([]byte, 10)
	if n, err := io.ReadAtLeast(c.Body(), buf, 2); err != nil || string(buf[:n]) != "ab" {
		t.Fatalf("expected the two bytes that came, got %q, %v", buf[:n], err)
	}
}

func TestConnReadsSeveralResponses(t *testing.T) {
	addr := serve(t, func(nc net.Conn, request string) {
		fmt.Fprint(nc, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"+
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nc\r\n0\r\n\r\n")
	})
	c := Dial(t, addr)
	c.Send(Request{}.String())
	if head := c.ReadHead(t); head.Status != 100 {
		t.Fatalf("expected 100, got %d", head.Status)
	}
	c.ReadHead(t)
	mustFail(t, func(t testing.TB) { c.ReadHead(t) }, "was not read to its end")
	for _, want := range []string{"ab", "c"} {
		if text, err := io.ReadAll(c.Body()); err != nil || string(text) != want {
			t.Fatalf("expected %q, got %q, %v", want, text, err)
		}
		if want == "ab" {
			c.ReadHead(t)
		}
	}
	c.ExpectClosed(t)
}

func TestConnExpectsNoBodyAfterHEAD(t *testing.T) {
	addr := answer(t, "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 10\r\n\r\n")
	if head, text := RoundTrip(t, addr, Request{Method: "HEAD"}); head.Status != 405 || len(text) > 0 {
		t.Fatalf("got %d with %q", head.Status, text)
	}
}

func TestConnExpectClosedFailsOnMoreBytes(t *testing.T) {
	mustFail(t, func(t testing.TB) {
		c := pipeConn(t, "HTTP/1.1 204 No Content\r\n\r\nmore", false)
		c.ReadHead(t)
		c.ExpectClosed(t)
	}, `it sent "more"`)
}

func TestConnReadFailsWhenThePeerIsSilent(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	mustFail(t, func(t testing.TB) {
		c := NewConn(t, near)
		c.ReadTimeout = 1
		c.ReadHead(t)
	}, "timeout")
}

func TestRequestText(t *testing.T) {
	f := func(r Request, want string) {
		t.Helper()
		if got := r.String(); got != want {
			t.Errorf("expected %q, got %q", want, got)
		}
	}
	f(Request{}, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
	f(Request{Target: "/x?y", Proto: "HTTP/1.0"}, "GET /x?y HTTP/1.0\r\n\r\n")
	f(Request{Method: "POST", Headers: [][2]string{{"host", "a"}, {"X", ""}}}, "POST / HTTP/1.1\r\nhost: a\r\nX: \r\nContent-Length: 0\r\n\r\n")
	f(Request{Method: "PUT", Body: "abc"}, "PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc")
	f(Request{Method: "POST", Headers: [][2]string{{"Transfer-Encoding", "chunked"}}, Body: "0\r\n\r\n"},
		"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	f(Request{Method: "POST", Headers: [][2]string{{"Content-Length", "9"}}, Body: "abc"},
		"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nabc")
}

func TestReaderOverAChunkedBodySeesNoChunkBorders(t *testing.T) {
	const stream = "\r\nid: 1\ndata: {\"a\":1}\n\ndata: {}\n\n"
	var parts []string
	for i := range len(stream) {
		parts = append(parts, stream[i:i+1])
	}
	c := pipeConn(t, streamHead+chunks(parts...)+finalChunk, true)
	c.ReadHead(t)
	got := parseAll(t, iotest.OneByteReader(c.Body()))
	if want := parseAll(t, strings.NewReader(stream)); !reflect.DeepEqual(got, want) || len(c.ChunkSizes()) != len(stream) {
		t.Fatalf("expected %+v\ngot %+v in %d chunks", want, got, len(c.ChunkSizes()))
	}
}
