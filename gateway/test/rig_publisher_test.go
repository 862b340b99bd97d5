package test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/loop"
	"sluice/gateway/testkit"
)

var errTimeout = os.ErrDeadlineExceeded

func reasonName(i int) loop.Reason { return loop.Reason(i) }

// ticks order what happens in different goroutines of a test: of two events one
// of which was over before the other began, the first has the lower tick.
var ticks atomic.Int64

func tick() int64 { return ticks.Add(1) }

// acked is one publication and how it was answered.
type acked struct {
	channel string
	note    note
	offset  uint64
	epoch   string
	code    int // of the error, 0 for none
	detail  string
	// sent is a tick from before the request, answered one from behind the
	// answer.
	sent, answered int64
	plain          bool // skip_history
}

// publisher sends publications over one connection.
type publisher struct {
	addr string
	p    int
	from int // the number before its first
	conn net.Conn
	buf  []byte
}

// put is what a publisher is to publish.
type put struct {
	channel string
	size    int    // of the filler
	more    string // members of the request, each with a comma behind
}

// send writes the request for number n.
func (b *publisher) send(n int, what put) (acked, error) {
	a := acked{channel: what.channel, note: note{b.p, n, what.size}, plain: strings.Contains(what.more, "skip_history")}
	body := fmt.Appendf(b.buf[:0], `{"channel":%q,%s"data":`, what.channel, what.more)
	body = append(a.note.appendTo(body), '}')
	b.buf = body
	head := fmt.Appendf(nil, "POST /api/publish HTTP/1.1\r\nHost: h\r\nX-API-Key: %s\r\nContent-Length: %d\r\n\r\n", testKey, len(body))
	a.sent = tick()
	buffers := net.Buffers{head, body}
	_, err := buffers.WriteTo(b.conn)
	return a, err
}

// answer reads the answer to a request.
func (b *publisher) answer(r *bufio.Reader, a *acked) error {
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil {
		return err
	}
	a.answered = tick()
	var reply struct {
		Result *testkit.Position
		Error  *struct{ Code int }
	}
	if err := json.Unmarshal(text, &reply); err != nil || res.StatusCode != 200 {
		return fmt.Errorf("answer %d %q (%v)", res.StatusCode, text, err)
	}
	a.detail = res.Header.Get("X-Sluice-Detail")
	if reply.Error != nil {
		a.code = reply.Error.Code
		return nil
	}
	a.offset, a.epoch = reply.Result.Offset, reply.Result.Epoch
	return nil
}

// publish publishes the next count numbers. An open loop waits for no answer before
// the next request; a closed one does.
func (b *publisher) publish(count int, open bool, what func(n int) put) (all []acked, err error) {
	if b.conn, err = net.DialTimeout("tcp", b.addr, time.Minute); err != nil {
		return nil, err
	}
	defer b.conn.Close()
	if err := b.conn.SetDeadline(time.Now().Add(loadPatience)); err != nil {
		return nil, err
	}
	r := bufio.NewReader(b.conn)
	all = make([]acked, count)
	if !open {
		for n := 1; n <= count; n++ {
			if all[n-1], err = b.send(b.from+n, what(n)); err != nil {
				return all[:n-1], err
			}
			if err := b.answer(r, &all[n-1]); err != nil {
				return all[:n-1], err
			}
		}
		return all, nil
	}
	sent := make(chan acked, count)
	failed := make(chan error, 1)
	go func() {
		defer close(sent)
		for n := 1; n <= count; n++ {
			a, err := b.send(b.from+n, what(n))
			if err != nil {
				failed <- err
				return
			}
			sent <- a
		}
	}()
	n := 0
	for a := range sent {
		if err := b.answer(r, &a); err != nil {
			_ = b.conn.Close()
			for range sent {
			}
			return all[:n], err
		}
		all[n] = a
		n++
	}
	select {
	case err := <-failed:
		return all[:n], err
	default:
		return all, nil
	}
}

// burst is a load: so many publishers with so many publications each.
type burst struct {
	publishers, each int
	open             bool
	what             func(p, n int) put
}

// burst publishes and returns how all were answered.
func (s *server) burst(t *testing.T, b burst) (all []acked) {
	t.Helper()
	acks := make([][]acked, b.publishers)
	errs := make([]error, b.publishers)
	var wg sync.WaitGroup
	for p := range b.publishers {
		wg.Go(func() {
			pub := &publisher{addr: s.addr, p: p + 1}
			acks[p], errs[p] = pub.publish(b.each, b.open, func(n int) put { return b.what(p+1, n) })
		})
	}
	wg.Wait()
	for p := range acks {
		require.NoError(t, errs[p], "publisher %d", p+1)
		all = append(all, acks[p]...)
	}
	return all
}

// expectTaken fails the test unless every publication was taken.
func expectTaken(t *testing.T, all []acked) {
	t.Helper()
	for _, a := range all {
		require.Zero(t, a.code, "%v was refused (%s)", a.note, a.detail)
	}
}

// expectSettled waits until nothing of a load is left in the server.
func (s *server) expectSettled(t *testing.T, more ...string) {
	t.Helper()
	for _, name := range append(more, "publish_credit_used_bytes", "lane_backlog", "loop_backlog") {
		testkit.Eventually(t, func() bool { return s.gauge(t, name) == 0 }, name+" to come back to 0")
	}
}

// loopModes runs a test with publishers that wait for no answer, and with some
// that do.
func loopModes(t *testing.T, f func(t *testing.T, open bool)) {
	t.Run("open loop", func(t *testing.T) { f(t, true) })
	t.Run("closed loop", func(t *testing.T) { f(t, false) })
}

// publishAs publishes count times as publisher p, each acknowledged.
func (s *server) publishAs(t *testing.T, p, count int, what put) []acked {
	t.Helper()
	b := &publisher{addr: s.addr, p: p}
	acks, err := b.publish(count, false, func(int) put { return what })
	require.NoError(t, err)
	expectTaken(t, acks)
	return acks
}
