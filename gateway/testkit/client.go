package testkit

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// DefaultPath is where the subscribe endpoint is unless configured otherwise.
const DefaultPath = "/connection/uni_sse"

// SubscribeRequest is one entry of ConnectOptions.Subs (PROTOCOL 2.1).
type SubscribeRequest struct {
	Recover bool   `json:"recover,omitempty"`
	Offset  uint64 `json:"offset,omitempty"`
	Epoch   string `json:"epoch,omitempty"`
	Delta   string `json:"delta,omitempty"`
}

// ConnectOptions says how to connect. The zero value is a GET without a connect request.
type ConnectOptions struct {
	// The connect request (PROTOCOL 2.1). Zero fields are left out; with all of them zero a GET has no cf_connect and a
	// POST has the body {}.
	Token   string
	Data    json.RawMessage
	Name    string
	Version string
	Subs    map[string]SubscribeRequest
	Headers map[string]string // emulated headers, inside the connect request
	// Request is the text of the connect request instead of the fields above.
	Request string

	// The HTTP request.
	Method      string      // "" = GET; POST puts the connect request into the body
	Path        string      // "" = DefaultPath
	RawQuery    string      // the query as it is, instead of cf_connect
	HTTPHeaders [][2]string // Origin, Last-Event-ID, Authorization, ...
	Proto       string      // "" = HTTP/1.1
	// Dictionary is one that the client says that it has, and reads a body in dcz with. HTTPHeaders says what it accepts.
	Dictionary []byte

	// Conn is the connection to use (TLS, a unix socket) instead of dialing addr; the client closes it.
	Conn net.Conn
	// Timeout is what each waiting method waits; 0 = a minute.
	Timeout time.Duration
	// AllowViolations keeps violations of the stream's format from failing the test; see Client.Violations.
	AllowViolations bool
}

// End is how a stream ended.
type End struct {
	// Err is io.EOF for a proper end (final chunk, Content-Length, or an orderly close of a body without framing).
	Err error
	// Terminated says the same of the HTTP framing: see Conn.Terminated.
	Terminated bool
	// Incomplete is the bytes of a last event that was cut before its blank line.
	Incomplete []byte
}

// Client is one stream, read by a goroutine of its own without bound, so that it is never the slow one. Waiting methods are
// for one goroutine at a time; Close, Conn, Head, LastEventID, IDOnly, ChunkSizes and Violations for any.
type Client struct {
	// Immutable after Connect.
	conn    *Conn
	head    Head
	events  *Reader
	timeout time.Duration
	allow   bool
	done    chan struct{} // closed by the reader goroutine as its last act
	wake    chan struct{} // one token: there is news under mu; never closed

	// Guarded by mu.
	mu       sync.Mutex
	queue    []Push
	seen     int
	recent   []string // the newest pushes, for failure messages
	problems []string // what is wrong with pushes, as events.Violations is with the stream
	reported bool     // violations failed the test already
	ended    bool
	end      End
}

// Connect opens a stream and fails the test unless it is answered with 200 and text/event-stream (refusals by status are for
// RoundTrip). It reads from then on until Close, or the end of the test, which also fails on violations.
func Connect(t testing.TB, addr string, opts ConnectOptions) *Client {
	t.Helper()
	request := opts.request(t)
	var conn *Conn
	if opts.Conn != nil {
		conn = NewConn(t, opts.Conn)
	} else {
		conn = Dial(t, addr)
	}
	conn.Send(request.String())
	head := conn.ReadHead(t)
	if mime, _, _ := strings.Cut(head.Get("Content-Type"), ";"); head.Status != 200 || mime != "text/event-stream" {
		text, err := io.ReadAll(io.LimitReader(conn.Body(), 1024))
		t.Fatalf("testkit: connect: expected 200 text/event-stream, got\n%s%s (%v)", head.Raw, text, err)
	}
	if request.Proto == "HTTP/1.0" && conn.body.mode == chunked {
		t.Fatalf("testkit: connect: a chunked answer to an HTTP/1.0 request:\n%s", head.Raw)
	}
	conn.ReadTimeout = 0
	text := Inflate(head.Get("Content-Encoding"), conn.Body())
	if head.Get("Content-Encoding") == "dcz" && opts.Dictionary != nil {
		text = InflateWith(opts.Dictionary, conn.Body())
	}
	c := &Client{
		conn: conn, head: head, events: NewReader(text), timeout: opts.Timeout, allow: opts.AllowViolations,
		done: make(chan struct{}), wake: make(chan struct{}, 1),
	}
	if c.timeout == 0 {
		c.timeout = defaultTimeout
	}
	go c.read()
	t.Cleanup(func() {
		c.Close()
		if text := c.unreported(); text != "" {
			t.Errorf("testkit: %s", text)
		}
	})
	return c
}

// request builds the HTTP request.
func (o ConnectOptions) request(t testing.TB) Request {
	t.Helper()
	fields, err := json.Marshal(struct {
		Token   string                      `json:"token,omitempty"`
		Data    json.RawMessage             `json:"data,omitempty"`
		Name    string                      `json:"name,omitempty"`
		Version string                      `json:"version,omitempty"`
		Subs    map[string]SubscribeRequest `json:"subs,omitempty"`
		Headers map[string]string           `json:"headers,omitempty"`
	}{o.Token, o.Data, o.Name, o.Version, o.Subs, o.Headers})
	if err != nil {
		t.Fatalf("testkit: connect request: %v", err)
	}
	r := Request{Method: o.Method, Target: orDefault(o.Path, DefaultPath), Proto: o.Proto, Headers: o.HTTPHeaders}
	if o.Dictionary != nil {
		hash := sha256.Sum256(o.Dictionary)
		r.Headers = append(slices.Clip(r.Headers), [2]string{"Available-Dictionary", ":" + base64.StdEncoding.EncodeToString(hash[:]) + ":"})
	}
	connect := orDefault(o.Request, string(fields))
	query := o.RawQuery
	if o.Method == "POST" {
		r.Body = connect
	} else if query == "" && connect != "{}" {
		query = "cf_connect=" + url.QueryEscape(connect)
	}
	if query != "" {
		r.Target += "?" + query
	}
	return r
}

// read is the reader goroutine.
func (c *Client) read() {
	defer close(c.done)
	for {
		ev, err := c.events.Next()
		if err != nil {
			c.mu.Lock()
			c.ended = true
			c.end = End{Err: err, Terminated: c.conn.Terminated(), Incomplete: c.events.Incomplete()}
			c.mu.Unlock()
			c.signal()
			return
		}
		push, err := decodePush(ev)
		c.mu.Lock()
		if err != nil && len(c.problems) < maxViolations {
			c.problems = append(c.problems, fmt.Sprintf("event %d: %v", c.seen+1, err))
		}
		c.seen++
		if c.recent = append(c.recent, fmt.Sprintf("%.300s", ev.Data)); len(c.recent) > 5 {
			c.recent = c.recent[1:]
		}
		c.queue = append(c.queue, push)
		c.mu.Unlock()
		c.signal()
	}
}

func (c *Client) signal() {
	select {
	case c.wake <- struct{}{}:
	default: // A token is there already; its taker looks at everything.
	}
}

// Close closes the connection and waits for the reader. Pushes that came before can still be taken.
func (c *Client) Close() {
	_ = c.conn.Close() // Closed twice is fine.
	<-c.done
}

// Conn is the connection below; only the client may read it.
func (c *Client) Conn() net.Conn { return c.conn.NetConn() }

// Head is the response head.
func (c *Client) Head() Head { return c.head }

// LastEventID is what an EventSource would send if it reconnected now: the newest id received, taken by a waiting method or not.
func (c *Client) LastEventID() string { return c.events.LastEventID() }

// IDOnly is the number of received blocks that had an id and no data.
func (c *Client) IDOnly() int { return c.events.IDOnly() }

// ChunkSizes lists the sizes of the chunks received so far.
func (c *Client) ChunkSizes() []int { return c.conn.ChunkSizes() }

// Violations lists what was wrong so far: with the stream as Reader.Violations does, and with pushes by PROTOCOL 1.5 and 2.2.
func (c *Client) Violations() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append(c.events.Violations(), c.problems...)
}

// unreported returns the violations as one text the first time it finds any, unless they are allowed.
func (c *Client) unreported() string {
	violations := c.Violations()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.allow || c.reported || len(violations) == 0 {
		return ""
	}
	c.reported = true
	return fmt.Sprintf("the stream breaks the protocol:\n  %s", strings.Join(violations, "\n  "))
}

// state describes the stream for a failure message.
func (c *Client) state() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	how := "the stream is open"
	if c.ended {
		how = "the stream " + c.end.String()
	}
	return fmt.Sprintf("%s, %d events so far, the newest:\n  %s", how, c.seen, strings.Join(c.recent, "\n  "))
}

// String says how the stream ended.
func (e End) String() string {
	if errors.Is(e.Err, io.EOF) && e.Terminated && len(e.Incomplete) == 0 {
		return "ended properly"
	}
	return fmt.Sprintf("was cut (%v, terminated: %v, incomplete event: %q)", e.Err, e.Terminated, e.Incomplete)
}
