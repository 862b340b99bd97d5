package test

import (
	"bufio"
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// stage is how far an answer had come when it was cut.
type stage int

const (
	stageHead    stage = iota // of the response
	stageConnect              // the connect push, recovered publications included
	stageLive
	stageCount
)

// relay is a TCP proxy in front of a gateway that cuts what it carries.
type relay struct {
	// Immutable after newRelay.
	ln      net.Listener
	backend string
	running sync.WaitGroup

	// Guarded by mu.
	mu      sync.Mutex
	rnd     *rand.Rand
	cutting bool
	closed  bool
	conns   map[net.Conn]struct{}
	asked   bytes.Buffer // what the clients sent
	cuts    [stageCount]int
	resets  int // of the cuts
	opened  int // connections so far
	passed  int // bytes of streams so far
	exact   *exactCut
	refuse  int  // connections to come that get 502
	away    bool // connections are closed at once
	http10  bool // requests are of HTTP/1.0: their answers end with the connection
}

// exactCut is the next cut of a relay that was told where: of the stream that
// is open, behind so many more bytes.
type exactCut struct {
	behind int
	reset  bool
}

// newRelay starts a relay that does not cut yet, and ends it with the test.
func newRelay(t *testing.T, backend string, seed uint64) *relay {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := &relay{ln: ln, backend: backend, rnd: rand.New(rand.NewPCG(seed, 1)), conns: make(map[net.Conn]struct{})}
	r.running.Go(r.accept)
	t.Cleanup(r.close)
	return r
}

func (r *relay) addr() string { return r.ln.Addr().String() }

func (r *relay) close() {
	_ = r.ln.Close()
	r.mu.Lock()
	r.closed = true
	for c := range r.conns {
		_ = c.Close()
	}
	r.mu.Unlock()
	r.running.Wait()
}

func (r *relay) accept() {
	for {
		client, err := r.ln.Accept()
		if err != nil {
			return
		}
		refuses, away := r.absent()
		if refuses {
			r.running.Go(func() { badGateway(client) })
			continue
		}
		if away {
			_ = client.Close()
			continue
		}
		backend, err := net.Dial("tcp", r.backend)
		if err != nil {
			_ = client.Close()
			continue
		}
		r.carry(client.(*net.TCPConn), backend.(*net.TCPConn))
	}
}

// absent reports whether the next connection gets 502, and whether it gets nothing.
func (r *relay) absent() (refuses, away bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuse > 0 {
		r.refuse--
		return true, r.away
	}
	return false, r.away
}

// badGateway answers one request as a front does whose backend is away.
func badGateway(client net.Conn) {
	defer client.Close()
	if _, err := http.ReadRequest(bufio.NewReader(client)); err == nil {
		_, _ = io.WriteString(client, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	}
}

// relayBuffer is the size of the kernel's buffers of a relay: small, so that a
// page that stops reading is felt by the gateway soon.
const relayBuffer = 64 << 10

func (r *relay) carry(client, backend *net.TCPConn) {
	_ = client.SetWriteBuffer(relayBuffer)
	_ = backend.SetReadBuffer(relayBuffer)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		_, _ = client.Close(), backend.Close()
		return
	}
	r.opened++
	noted := &requestNotes{relay: r}
	r.conns[client], r.conns[backend] = struct{}{}, struct{}{}
	var asks io.Writer = backend
	if r.http10 {
		asks = asHTTP10{backend}
	}
	r.running.Go(func() {
		_, _ = io.Copy(io.MultiWriter(noted, asks), client)
		_ = backend.Close()
	})
	r.running.Go(func() {
		r.answer(client, backend, noted)
		_, _ = client.Close(), backend.Close()
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.conns, client)
		delete(r.conns, backend)
	})
}

// asHTTP10 makes each request that comes in one piece one of HTTP/1.0.
type asHTTP10 struct{ to io.Writer }

// Write implements io.Writer.
func (w asHTTP10) Write(p []byte) (int, error) {
	if _, err := w.to.Write(bytes.Replace(p, []byte(" HTTP/1.1\r\n"), []byte(" HTTP/1.0\r\n"), 1)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// requestNotes notes what a client sends over one connection until its answer is
// a stream. Behind one there is no answer: a browser that does not know yet that
// the connection ends may ask in vain there, and does so again over another.
type requestNotes struct {
	relay  *relay
	stream atomic.Bool
}

// Write implements io.Writer; any goroutine may call it.
func (n *requestNotes) Write(p []byte) (int, error) {
	if n.stream.Load() {
		return len(p), nil
	}
	n.relay.mu.Lock()
	defer n.relay.mu.Unlock()
	return n.relay.asked.Write(p)
}

// requests returns what clients have sent so far.
func (r *relay) requests() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked.String()
}

// cutBehind makes a relay cut its stream once so many more bytes have passed.
func (r *relay) cutBehind(bytes int, reset bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.exact = &exactCut{behind: bytes, reset: reset}
}

// refuseNext makes a relay answer the next connection with 502.
func (r *relay) refuseNext() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuse++
}

// setAway makes a relay close new connections at once, or no more.
func (r *relay) setAway(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.away = on
}

// setCutting begins or ends the cutting, of connections that are open as well.
func (r *relay) setCutting(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cutting = on
}

// allowance returns how many bytes may pass before the cut: left if that is
// known by now, what the next cut was told or a random number otherwise, -1 while
// nothing is cut.
func (r *relay) allowance(left int, stream bool) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.exact != nil && stream && left < 0:
		return r.exact.behind
	case r.exact == nil && !r.cutting:
		return -1
	case left < 0 && r.exact == nil:
		return r.rnd.IntN(1024 << r.rnd.IntN(7)) // up to 64 KiB, and often in the first
	default:
		return left
	}
}

// answer carries the gateway's bytes until it or the cut ends them.
func (r *relay) answer(client, backend *net.TCPConn, noted *requestNotes) {
	buf := make([]byte, 32<<10)
	var begin []byte // of the answer, until it is live
	at := stageHead
	for left := -1; ; {
		n, err := backend.Read(buf)
		left = r.allowance(left, noted.stream.Load())
		cut := left >= 0 && n >= left
		if cut {
			n = left
		}
		if bytes.Contains(buf[:n], []byte("\r\nContent-Type: text/event-stream")) {
			noted.stream.Store(true)
		}
		if noted.stream.Load() {
			r.count(n)
		}
		if _, werr := client.Write(buf[:n]); werr != nil {
			return
		}
		if at != stageLive {
			begin = append(begin, buf[:n]...)
			at = stageOf(begin)
		}
		switch {
		case cut:
			r.cut(client, at)
			return
		case err != nil:
			return
		case left >= 0:
			left -= n
		}
	}
}

// stageOf tells how far an answer is that begins with some bytes.
func stageOf(begin []byte) stage {
	_, body, found := bytes.Cut(begin, []byte("\r\n\r\n"))
	if !found {
		return stageHead
	}
	if _, events, _ := bytes.Cut(body, []byte("data: ")); bytes.Contains(events, []byte("\n\n")) {
		return stageLive
	}
	return stageConnect
}

// cut ends a connection by FIN or RST. In the head it is always RST: over plain
// HTTP Chromium takes a head that FIN cut short as a whole one, and an
// EventSource gives up for good on one without its CORS lines or Content-Type.
func (r *relay) cut(client *net.TCPConn, at stage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cuts[at]++
	reset := at == stageHead || r.rnd.IntN(2) == 0
	if r.exact != nil {
		reset, r.exact = r.exact.reset, nil
	}
	if reset {
		r.resets++
		_ = client.SetLinger(0)
	}
	_ = client.Close()
}

// count adds bytes of a stream.
func (r *relay) count(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.passed += n
}

// cutCounts returns the cuts per stage and how many of them were resets.
func (r *relay) cutCounts() (cuts [stageCount]int, resets, all int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range r.cuts {
		all += n
	}
	return r.cuts, r.resets, all
}
