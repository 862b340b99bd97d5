package nats

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
	"sluice/gateway/testkit/natsrig"
	"sluice/gateway/testkit/tcpproxy"
)

func open(t *testing.T, opt Options) *NATS {
	t.Helper()
	n, err := Open(opt)
	require.NoError(t, err)
	t.Cleanup(n.Close)
	return n
}

// taker takes what a feed brings, and stands still while held.
type taker struct {
	mu      sync.Mutex
	got     []string
	dropped int
	held    chan struct{} // nil: it goes on
}

func (k *taker) Message(m *Msg) {
	k.mu.Lock()
	held := k.held
	k.mu.Unlock()
	if held != nil {
		<-held
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.got = append(k.got, string(m.Data[:min(len(m.Data), 20)]))
}

func (k *taker) Dropped(string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.dropped++
}
func (k *taker) Refused(string, error) {}
func (k *taker) Lost(error)            {}
func (k *taker) Up()                   {}

func (k *taker) counts() (got, dropped int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.got), k.dropped
}

// What comes while nobody takes it waits within its bound, and what finds no room is told; a marker comes
// behind all that was before it.
func TestAFeedIsBoundedAndTellsWhatItDrops(t *testing.T) {
	server := natsrig.Single(t, natsrig.Core())
	n := open(t, Options{URL: server.URL, Queue: 1 << 20})
	k := &taker{held: make(chan struct{})}
	n.Feed().Start(k)
	require.NoError(t, n.Feed().Subscribe("x"))
	require.NoError(t, n.Feed().Marker(t.Context(), Request{}))
	for range 50 { // 5 MB
		require.NoError(t, n.Calls().Send(t.Context(), Request{Subject: "x", Data: []byte(strings.Repeat("y", 100_000))}))
	}
	testkit.Eventually(t, func() bool { _, dropped := k.counts(); return dropped > 30 }, "some to find no room")
	_, size := n.feed.queue.depth()
	require.LessOrEqual(t, size, 1<<20)
	k.mu.Lock()
	held := k.held
	k.held = nil
	k.mu.Unlock()
	close(held)
	require.NoError(t, n.Feed().Marker(t.Context(), Request{}))
	got, dropped := k.counts()
	require.Equal(t, 50, got+dropped)
	require.EqualValues(t, dropped, n.Stats().Feed.Dropped)
	n.Feed().Unsubscribe("x")
	require.NoError(t, n.Feed().Marker(t.Context(), Request{}))
	require.NoError(t, n.Calls().Send(t.Context(), Request{Subject: "x", Data: []byte("late")}))
	require.NoError(t, n.Feed().Marker(t.Context(), Request{}))
	again, _ := k.counts()
	require.Equal(t, got, again)
}

// Calls end: with an answer, without anybody who answers, with their context, and with the connection.
func TestCallsEnd(t *testing.T) {
	server := natsrig.Single(t, natsrig.Core())
	proxy := tcpproxy.New(t, server.Addr)
	n := open(t, Options{URL: proxy.Addr})
	nc := server.Dial(t)
	_, err := nc.Subscribe("echo", func(m *Msg) { _ = m.Respond(m.Data) })
	require.NoError(t, err)
	_, err = nc.Subscribe("silent", func(*Msg) {})
	require.NoError(t, err)
	require.NoError(t, nc.Flush())
	m, err := n.Calls().Do(t.Context(), Request{Subject: "echo", Data: []byte("1")})
	require.NoError(t, err)
	require.Equal(t, "1", string(m.Data))
	reqs := make([]Request, 1000)
	for i := range reqs {
		reqs[i] = Request{Subject: "echo", Data: []byte(fmt.Sprint(i))}
	}
	for i, a := range n.Calls().DoMulti(t.Context(), reqs) {
		require.NoError(t, a.Err)
		require.Equal(t, fmt.Sprint(i), string(a.Msg.Data))
	}
	_, err = n.Calls().Do(t.Context(), Request{Subject: "nobody"})
	require.ErrorIs(t, err, ErrUnavailable)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err = n.Calls().Do(ctx, Request{Subject: "silent"})
	require.ErrorIs(t, err, ErrUnknown)
	_, err = n.Calls().Do(ctx, Request{Subject: "silent"})
	require.ErrorIs(t, err, ErrUnavailable, "it was not sent")
	done := make(chan error)
	go func() {
		_, err := n.Calls().Do(context.Background(), Request{Subject: "silent"})
		done <- err
	}()
	testkit.Eventually(t, func() bool { return n.Stats().Calls.UnderWay == 1 }, "the call to be under way")
	proxy.Refuse(t, true)
	proxy.Cut()
	require.ErrorIs(t, <-done, ErrUnknown)
	testkit.Eventually(t, func() bool { return n.Calls().Ready() != nil }, "the loss to be noticed")
	_, err = n.Calls().Do(context.Background(), Request{Subject: "echo"})
	require.ErrorIs(t, err, ErrUnavailable)
	require.ErrorIs(t, n.Calls().Send(context.Background(), Request{Subject: "echo"}), ErrUnavailable)
	require.ErrorIs(t, n.Feed().Marker(context.Background(), Request{}), ErrUnavailable)
	proxy.Refuse(t, false)
	testkit.Eventually(t, func() bool { _, err := n.Calls().Do(t.Context(), Request{Subject: "echo"}); return err == nil }, "the connection to be back")
	require.Zero(t, n.Stats().Calls.UnderWay)
	var of *Error
	_, err = n.Calls().Do(t.Context(), Request{Subject: "echo", Data: make([]byte, 9<<20)})
	require.True(t, errors.As(err, &of))
	require.Equal(t, ReasonPayload, of.Reason)
	require.NotEmpty(t, of.Remedy())
}

// A password is in no error and in no line of the log.
func TestPasswordsAreNotShown(t *testing.T) {
	const secret = "hunter2"
	_, err := Open(Options{URL: "nats://u:" + secret + "@h:x"})
	require.Error(t, err)
	require.NotContains(t, err.Error(), secret)
	server := natsrig.Single(t, natsrig.Core(), natsrig.Lines("authorization { user: u, password: other }"))
	n := open(t, Options{URL: "nats://u:" + secret + "@" + server.Addr})
	var of *Error
	testkit.Eventually(t, func() bool { return errors.As(n.Calls().Ready(), &of) && of.Reason == ReasonAuth }, "the refusal")
	require.NotContains(t, of.Error(), secret)
}

func TestCheck(t *testing.T) {
	for _, bad := range []Options{{Prefix: "a b"}, {Prefix: "a."}, {Prefix: "*"}, {Domain: "a.b"}, {CredentialsFile: "a", NKeySeedFile: "b"}} {
		require.NotEmpty(t, bad.Check(), "%+v", bad)
	}
	good := Options{Prefix: "a.b", Domain: "hub"}
	require.Empty(t, good.Check())
	_, err := Open(Options{CredentialsFile: "/nowhere"})
	require.ErrorContains(t, err, "/nowhere")
}

// Each connection is counted once, that of the start too.
func TestConnectionsAreCountedOnce(t *testing.T) {
	server := natsrig.Single(t, natsrig.Core())
	n := open(t, Options{URL: server.URL})
	n.Feed().Start(&taker{})
	dials := func() [2]uint64 { st := n.Stats(); return [2]uint64{st.Calls.Dials, st.Feed.Dials} }
	testkit.Eventually(t, func() bool { return dials() == [2]uint64{1, 1} }, "both connections of the start")
	server.Stop(t)
	server.Start(t)
	testkit.Eventually(t, func() bool { return dials() == [2]uint64{2, 2} }, "both connections after a restart")
	st := n.Stats()
	require.Equal(t, [2]uint64{1, 1}, [2]uint64{st.Calls.Losses, st.Feed.Losses})
}
