package relay

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/broker"
	"sluice/gateway/broker/brokertest"
	"sluice/gateway/testkit"
)

const (
	channel = "news/1"
	epoch   = "abcdefgh"
	// patience is how long a test waits for what must happen.
	patience = time.Minute
)

// origin is a server that answers each request by a script: bytes that it is told to
// send, whatever they are.
type origin struct {
	t      *testing.T
	ln     net.Listener
	script func(c *call)

	// Guarded by mu.
	mu    sync.Mutex
	calls []*call
	conns []net.Conn
}

// call is one request for a stream; probes are answered by the origin itself.
type call struct {
	*http.Request
	conn net.Conn
	n    int // of streams asked for before it
	gone chan struct{}
}

func newOrigin(t *testing.T, script func(c *call)) *origin {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	o := &origin{t: t, ln: ln, script: script}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			o.mu.Lock()
			o.conns = append(o.conns, conn)
			o.mu.Unlock()
			serving.Go(func() { o.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		o.cut()
		serving.Wait()
	})
	return o
}

// cut breaks all connections off.
func (o *origin) cut() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range o.conns {
		_ = c.Close()
	}
}

func (o *origin) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	in := bufio.NewReader(conn)
	for {
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		if req.Method == http.MethodHead {
			_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
			continue
		}
		c := &call{Request: req, conn: conn, gone: make(chan struct{})}
		o.mu.Lock()
		c.n = len(o.calls)
		o.calls = append(o.calls, c)
		o.mu.Unlock()
		go func() {
			_, _ = in.ReadByte()
			close(c.gone)
		}()
		o.script(c)
		return
	}
}

// asked returns the requests for streams so far.
func (o *origin) asked() []*call {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]*call(nil), o.calls...)
}

func (o *origin) url() *url.URL {
	u, err := url.Parse("http://" + o.ln.Addr().String() + "/broadcast")
	require.NoError(o.t, err)
	return u
}

// nobody is an address where there is no origin.
func nobody(t *testing.T) *url.URL {
	u, err := url.Parse("http://127.0.0.1:1/broadcast")
	require.NoError(t, err)
	return u
}

// send writes bytes as they are; a relay that went away is no error.
func (c *call) send(parts ...string) { _, _ = c.conn.Write([]byte(strings.Join(parts, ""))) }

// hold keeps the stream open until the relay goes away.
func (c *call) hold() { <-c.gone }

const (
	plainHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: public, max-age=1, no-transform\r\nSluice-Epoch: "
	closeHead = plainHead + epoch + "\r\n\r\n"
)

// told is a head that says what the stream begins with.
func told(from, top uint64) string {
	return fmt.Sprintf("%s%s\r\nSluice-Backlog: %d-%d\r\n\r\n", plainHead, epoch, from, top)
}

// event is a publication as the origin sends it.
func event(offset uint64) string {
	p := &codec.Publication{Data: codec.QuoteJSON(fmt.Sprint(offset)), Offset: offset, Epoch: epoch}
	return "data: " + string(codec.AppendPub(nil, channel, p)) + "\n\n"
}

func eventsOf(from, to uint64) string {
	var b strings.Builder
	for i := from; i <= to; i++ {
		b.WriteString(event(i))
	}
	return b.String()
}

// cursor is the id of a place.
func cursor(offset uint64) string {
	return string(codec.AppendCursorEntry(nil, codec.CursorEntry{Channel: codec.Tag32(channel), Epoch: codec.Tag32(epoch), Offset: offset}))
}

func checkpoint(offset uint64) string { return "id: " + cursor(offset) + "\n\n" }

// rig is an engine over an origin.
type rig struct {
	*Engine
	t    *testing.T
	sink *brokertest.Sink
}

// quick are options of tests: failures are soon over.
func quick(o *origin) Options {
	return Options{
		Origin: o.url(), Node: "me", RetryMin: time.Millisecond, RetryMax: 20 * time.Millisecond, Wait: patience,
		Keep: func(string) broker.HistoryOptions { return broker.HistoryOptions{Size: 100, TTL: time.Hour} },
	}
}

func newRig(t *testing.T, opt Options) *rig {
	r := &rig{Engine: New(opt), t: t, sink: brokertest.NewSink()}
	require.NoError(t, r.Start(r.sink))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(t, r.Close(ctx))
		require.Zero(t, r.Stats().Kept)
		require.Zero(t, r.Stats().Streams)
	})
	return r
}

func (r *rig) subscribe() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	require.NoError(r.t, r.Subscribe(ctx, []string{channel}))
}

// refused subscribes in vain.
func (r *rig) refused(within time.Duration) error {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), within)
	defer cancel()
	err := r.Subscribe(ctx, []string{channel})
	require.Error(r.t, err)
	require.Zero(r.t, r.Stats().Channels, "what failed is not held")
	return err
}

// read returns the offsets that are kept, and where the channel stands.
func (r *rig) read() ([]uint64, broker.Position) {
	r.t.Helper()
	list, top, err := broker.Read(r.t.Context(), r.Engine, broker.HistoryQuery{Channel: channel, Limit: -1})
	require.NoError(r.t, err)
	return offsets(list), top
}

func offsets(list []*codec.Publication) (all []uint64) {
	for _, p := range list {
		all = append(all, p.Offset)
	}
	return all
}

// until waits for a state of the counters.
func (r *rig) until(what string, f func(st Stats) bool) {
	r.t.Helper()
	testkit.Eventually(r.t, func() bool { return f(r.Stats()) }, what)
}

// got is what came for the channel, in words: offsets, and "lost".
func (r *rig) got() (all []string) {
	for _, e := range r.sink.Events(channel) {
		if e.Kind == brokertest.Lost {
			all = append(all, "lost")
		} else {
			all = append(all, fmt.Sprint(e.Pub.Offset))
		}
	}
	return all
}

// await waits until that is what came.
func (r *rig) await(want ...string) {
	r.t.Helper()
	testkit.Eventually(r.t, func() bool { return len(r.got()) >= len(want) }, fmt.Sprintf("%v", want))
	require.Equal(r.t, want, r.got())
}
