package testkit

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// ErrFraming is wrapped by every error about a response that breaks RFC 9112.
var ErrFraming = errors.New("testkit: malformed HTTP response")

const (
	defaultTimeout = time.Minute // costs nothing where all is well: a busy machine may stand still for many seconds
	maxHeadBytes   = 64 << 10
)

// Header is one field line of a response, with its name in the case it came in and its value without the white space around.
type Header struct{ Name, Value string }

// Head is the status line and the field lines of a response, in order.
type Head struct {
	Proto   string // "HTTP/1.1" or "HTTP/1.0"
	Status  int
	Reason  string
	Headers []Header
	Raw     string // every byte, with the blank line
}

// Get returns the first value of a header, "" when it is absent (see Values to tell absent from empty). Case is ignored.
func (h Head) Get(name string) string {
	if values := h.Values(name); len(values) > 0 {
		return values[0]
	}
	return ""
}

// Values returns every value of a header in order, nil when it is absent. Case is ignored.
func (h Head) Values(name string) []string {
	var values []string
	for _, field := range h.Headers {
		if strings.EqualFold(field.Name, name) {
			values = append(values, field.Value)
		}
	}
	return values
}

// Request builds the text of a request. A test of a request that String cannot express sends its own text.
type Request struct {
	Method  string // "" = GET
	Target  string // "" = /
	Proto   string // "" = HTTP/1.1
	Headers [][2]string
	Body    string
}

// String is the request as sent. It adds to Headers what a correct request needs and Headers lack: Host on HTTP/1.1, and
// Content-Length with a body or with the methods POST and PUT.
func (r Request) String() string {
	method, target, proto := orDefault(r.Method, "GET"), orDefault(r.Target, "/"), orDefault(r.Proto, "HTTP/1.1")
	var out strings.Builder
	fmt.Fprintf(&out, "%s %s %s\r\n", method, target, proto)
	if proto == "HTTP/1.1" && !r.has("Host") {
		out.WriteString("Host: localhost\r\n")
	}
	for _, field := range r.Headers {
		fmt.Fprintf(&out, "%s: %s\r\n", field[0], field[1])
	}
	wantsLength := r.Body != "" || method == "POST" || method == "PUT"
	if wantsLength && !r.has("Content-Length") && !r.has("Transfer-Encoding") {
		fmt.Fprintf(&out, "Content-Length: %d\r\n", len(r.Body))
	}
	out.WriteString("\r\n")
	out.WriteString(r.Body)
	return out.String()
}

func (r Request) has(name string) bool {
	for _, field := range r.Headers {
		if strings.EqualFold(field[0], name) {
			return true
		}
	}
	return false
}

func orDefault(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

// Conn is one HTTP/1.x connection. ChunkSizes and Terminated may be called from any goroutine, the rest from one at a time.
type Conn struct {
	// ReadTimeout bounds every single read of the socket; a minute when made, 0 = unbounded. Set it before a read starts.
	ReadTimeout time.Duration

	t      testing.TB
	nc     net.Conn
	br     *bufio.Reader
	noBody bool // the request sent last was a HEAD
	body   *body
}

// Dial connects to addr ("host:port", "unix:/path") and closes the connection when the test ends.
func Dial(t testing.TB, addr string) *Conn {
	t.Helper()
	network, at := networkOf(addr)
	nc, err := net.DialTimeout(network, at, defaultTimeout)
	if err != nil {
		t.Fatalf("testkit: connect to %s: %v", addr, err)
	}
	return NewConn(t, nc)
}

// networkOf splits what Dial is given into the arguments of net.Dial.
func networkOf(addr string) (network, at string) {
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		return "unix", path
	}
	return "tcp", addr
}

// NewConn speaks HTTP over an open connection (TLS, a unix socket, one with small buffers) and closes it when the test ends.
func NewConn(t testing.TB, nc net.Conn) *Conn {
	c := &Conn{ReadTimeout: defaultTimeout, t: t, nc: nc}
	c.br = bufio.NewReader(timedReader{c})
	t.Cleanup(func() { _ = nc.Close() }) // Closed twice is no error of the test.
	return c
}

// RoundTrip sends one request over a connection of its own and reads the whole response.
func RoundTrip(t testing.TB, addr string, request Request) (Head, []byte) {
	t.Helper()
	c := Dial(t, addr)
	defer func() { _ = c.Close() }()
	c.Send(request.String())
	head := c.ReadHead(t)
	text, err := io.ReadAll(c.Body())
	if err != nil {
		t.Fatalf("testkit: body of %s %s after %d bytes: %v", request.Method, request.Target, len(text), err)
	}
	return head, text
}

// NetConn is the connection below. Bytes that were already buffered are not seen by reading it.
func (c *Conn) NetConn() net.Conn { return c.nc }

// Close closes the connection. Any goroutine.
func (c *Conn) Close() error { return c.nc.Close() }

// Send writes raw as it is; it may be part of a request. A HEAD request is recognised (its response has no body) when its
// first bytes begin one call of Send.
func (c *Conn) Send(raw string) {
	c.t.Helper()
	if err := c.TrySend(raw); err != nil {
		c.t.Fatalf("testkit: send %d bytes: %v", len(raw), err)
	}
}

// TrySend is Send for a peer that may have closed already.
func (c *Conn) TrySend(raw string) error {
	c.noBody = c.noBody || strings.HasPrefix(raw, "HEAD ")
	if err := c.nc.SetWriteDeadline(time.Now().Add(defaultTimeout)); err != nil {
		return fmt.Errorf("testkit: write deadline: %w", err)
	}
	if _, err := io.WriteString(c.nc, raw); err != nil {
		return fmt.Errorf("testkit: write: %w", err)
	}
	return nil
}

// ReadHead reads the next response head, a 1xx one included, and fails the test when there is none or it is malformed.
func (c *Conn) ReadHead(t testing.TB) Head {
	t.Helper()
	head, err := c.TryReadHead()
	if err != nil {
		t.Fatalf("testkit: response head: %v", err)
	}
	return head
}

// TryReadHead is ReadHead with the failure as an error: io.EOF when the peer closed before the first byte, ErrFraming for a
// malformed head. It must not be called before the body of the previous response was read to its end.
func (c *Conn) TryReadHead() (Head, error) {
	if c.body != nil && !c.Terminated() {
		return Head{}, errors.New("testkit: the body of the previous response was not read to its end")
	}
	var head Head
	var raw bytes.Buffer
	for {
		line, err := readLine(c.br, maxHeadBytes-raw.Len())
		if errors.Is(err, io.EOF) && (raw.Len() > 0 || line != "") {
			err = fmt.Errorf("%w: the head stops after %q: %w", ErrFraming, raw.String()+line, io.ErrUnexpectedEOF)
		}
		if err != nil {
			return Head{}, err
		}
		first := raw.Len() == 0
		raw.WriteString(line + "\r\n")
		if line == "" && !first {
			break
		}
		if first {
			err = head.parseStatus(line)
		} else {
			err = head.parseField(line)
		}
		if err != nil {
			return Head{}, err
		}
	}
	head.Raw = raw.String()
	next, err := newBody(c.br, head, c.noBody)
	if err != nil {
		return Head{}, err
	}
	if head.Status >= 200 {
		c.noBody = false
	}
	c.body = next
	return head, nil
}

// Body reads the body of the last head: chunked, by Content-Length, or until the peer closes. It returns bytes as they come,
// io.EOF at the proper end, and an error (ErrFraming, io.ErrUnexpectedEOF or that of the socket) at any other.
func (c *Conn) Body() io.Reader {
	if c.body == nil {
		panic("BUG: testkit: Body before ReadHead")
	}
	return c.body
}

// ChunkSizes lists the sizes of the chunks whose head was read, without the final 0; nil when the body is not chunked.
func (c *Conn) ChunkSizes() []int { return c.body.chunkSizes() }

// Terminated says that the body was read to its proper end: the final chunk, all of Content-Length, or the peer's orderly
// close of a body without either.
func (c *Conn) Terminated() bool { return c.body.isTerminated() }

// ExpectClosed fails the test unless the peer closes the connection in order, without another byte, within ReadTimeout.
func (c *Conn) ExpectClosed(t testing.TB) {
	t.Helper()
	b, err := c.br.ReadByte()
	if err == nil {
		more, _ := c.br.Peek(c.br.Buffered()) // Cannot fail: these bytes are there.
		t.Fatalf("testkit: expected the peer to close the connection, it sent %q", append([]byte{b}, more...))
	}
	if !errors.Is(err, io.EOF) {
		t.Fatalf("testkit: expected the peer to close the connection in order: %v", err)
	}
}

// timedReader renews the deadline before each read.
type timedReader struct{ c *Conn }

func (r timedReader) Read(p []byte) (int, error) {
	var deadline time.Time
	if r.c.ReadTimeout > 0 {
		deadline = time.Now().Add(r.c.ReadTimeout)
	}
	// Why: on a closed connection the read tells more (io.EOF of a net.Pipe) than the refused deadline.
	_ = r.c.nc.SetReadDeadline(deadline)
	return r.c.nc.Read(p)
}

// readLine reads a line of at most limit bytes that must end with CR LF and hold no other CR or LF; it returns it without.
// With an error it returns what was read.
func readLine(br *bufio.Reader, limit int) (string, error) {
	var line []byte
	for len(line) <= limit {
		b, err := br.ReadByte()
		if err != nil {
			return string(line), err
		}
		if b != '\n' {
			line = append(line, b)
			continue
		}
		text, ok := strings.CutSuffix(string(line), "\r")
		if !ok || strings.Contains(text, "\r") {
			return text, fmt.Errorf("%w: expected a line that ends with CR LF, got %q", ErrFraming, string(line)+"\n")
		}
		return text, nil
	}
	return string(line), fmt.Errorf("%w: line or head longer than %d bytes: %.80q", ErrFraming, limit, line)
}

var (
	statusLine = regexp.MustCompile(`^(HTTP/1\.[01]) ([1-5][0-9][0-9]) ([^\x00-\x08\x0a-\x1f\x7f]*)$`)
	fieldLine  = regexp.MustCompile("^([!#$%&'*+.^_`|~0-9A-Za-z-]+):([^\\x00-\\x08\\x0a-\\x1f\\x7f]*)$")
)

func (h *Head) parseStatus(line string) error {
	m := statusLine.FindStringSubmatch(line)
	if m == nil {
		return fmt.Errorf("%w: expected a status line, got %q", ErrFraming, line)
	}
	status, err := strconv.Atoi(m[2])
	if err != nil {
		return fmt.Errorf("%w: status %q: %w", ErrFraming, m[2], err)
	}
	h.Proto, h.Status, h.Reason = m[1], status, m[3]
	return nil
}

func (h *Head) parseField(line string) error {
	m := fieldLine.FindStringSubmatch(line)
	if m == nil {
		return fmt.Errorf("%w: expected a header `name: value`, got %q", ErrFraming, line)
	}
	h.Headers = append(h.Headers, Header{Name: m[1], Value: strings.Trim(m[2], " \t")})
	return nil
}
