//go:build e2e

package test

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// Heads that come slowly by the thousand hold a small buffer each, no goroutine, and nobody
// up; each is answered in the end.
func TestLongSlowHeadsByTheThousand(t *testing.T) {
	raiseSoftLimit()
	s := startFront(t, `, "half_open_limit": 0, "header_timeout": "1h", "read_timeout": "1h"`)
	const many = 3000
	before := runtime.NumGoroutine()
	var all []plain
	send := func(text string) {
		for _, c := range all {
			_, err := io.WriteString(c, text)
			require.NoError(t, err)
		}
	}
	for range many {
		all = append(all, s.plainly(t, "127.0.0.2"))
	}
	send("GET /health HTTP/1.1\r\n")
	s.atGate(t, many, 0)
	send("Host: h\r\nX: y")
	noGoroutineEach(t, before)
	s.atGate(t, many, 0)
	require.LessOrEqual(t, s.Parts().Counters.Node().GateBytes, int64(many<<11))
	c := s.subscribe(t, "news")
	c.ExpectConnect(t)
	s.api.Publish(t, "news", `1`)
	c.ExpectPub(t, "news")
	send("\r\n\r\n")
	for _, c := range all {
		require.NoError(t, c.answered())
		require.NoError(t, c.Close())
	}
}

// Of the idle connections of one address those make room that have been so for longest, once
// that is a second, and newer ones go with their answers else; they cost no goroutine, and those
// of others are let be.
func TestLongIdleConnectionsOfOneAddress(t *testing.T) {
	raiseSoftLimit()
	const many, limit = 10_000, 1000
	s := startFront(t, fmt.Sprintf(`, "half_open_limit": 8, "idle_limit": %d`, limit))
	other := s.plainly(t, "127.0.0.3")
	other.ask(t, getHealth)
	before := runtime.NumGoroutine()
	var all []plain
	for range limit {
		c := s.plainly(t, "127.0.0.2")
		c.ask(t, getHealth)
		all = append(all, c)
	}
	full := time.Now()
	testkit.EventuallyWithin(t, time.Minute, func() bool { return time.Since(full) > time.Second }, "all to be idle for a second")
	for range many - limit {
		c := s.plainly(t, "127.0.0.2")
		_, err := io.WriteString(c, getHealth)
		require.NoError(t, err)
		_, err = c.answer()
		require.NoError(t, err)
	}
	s.atGate(t, 0, limit+1)
	st := s.waiting.Stats()
	require.EqualValues(t, many-limit, st.Older+st.Lasts)
	require.GreaterOrEqual(t, st.Older, uint64(limit))
	require.Zero(t, st.Evicted)
	require.Equal(t, limit+1, st.Idle)
	noGoroutineEach(t, before)
	for _, c := range all[:limit] {
		_, err := c.r.ReadByte()
		require.ErrorIs(t, err, io.EOF)
	}
	other.ask(t, getHealth)
}

// eachAnswered reads n answers of each connection, and returns when it has.
func eachAnswered(t *testing.T, all []plain, n int) (wait func()) {
	var readers sync.WaitGroup
	for _, c := range all {
		readers.Go(func() {
			for i := range n {
				if err := c.answered(); err != nil {
					t.Errorf("answer %d of %d: %v", i+1, n, err)
					return
				}
			}
		})
	}
	return readers.Wait
}

// atRate calls f n times, so many a second, whatever the others do meanwhile.
func atRate(n, rate int, f func(i int)) {
	begun := time.Now()
	for i := range n {
		time.Sleep(time.Until(begun.Add(time.Duration(i) * time.Second / time.Duration(rate))))
		f(i)
	}
}

// Requests on connections that stay, each behind the answer before and at a rate: each is
// answered, and nothing but idle connections is left.
func TestLongKeepAliveStorm(t *testing.T) {
	const conns, each = 200, 50
	for _, gate := range []string{"auto", "off"} {
		t.Run(gate, func(t *testing.T) {
			s := startFront(t, fmt.Sprintf(`, "gate": %q, "half_open_limit": 0, "idle_limit": 0`, gate))
			before := runtime.NumGoroutine()
			var all []plain
			for i := range conns {
				all = append(all, s.plainly(t, fmt.Sprintf("127.0.0.%d", 2+i%8)))
			}
			var askers sync.WaitGroup
			for _, c := range all {
				askers.Go(func() {
					for range each {
						if _, err := io.WriteString(c, getHealth); err != nil || c.answered() != nil {
							t.Errorf("a request was not answered: %v", err)
							return
						}
					}
				})
			}
			askers.Wait()
			wait := eachAnswered(t, all, each)
			atRate(conns*each, 5000, func(i int) { _, _ = io.WriteString(all[i%conns], getHealth) })
			wait()
			testkit.EventuallyWithin(t, patience, func() bool { return s.waiting.Stats().Idle == conns }, "all to be idle")
			require.EqualValues(t, conns, s.listeners[0].Stats().Accepted)
			if gate == "auto" {
				s.atGate(t, 0, conns)
				noGoroutineEach(t, before)
			}
		})
	}
}

// Connects at a rate, none waiting for another: all get their streams, and nothing is left
// at the gate nor counts as waiting.
func TestLongConnectsAtARate(t *testing.T) {
	raiseSoftLimit()
	const many = 3000
	s := startFront(t, `, "half_open_limit": 0`)
	before := runtime.NumGoroutine()
	target := subscribeTarget([]string{"news"})
	streams := make([]net.Conn, many)
	var all sync.WaitGroup
	atRate(many, 1500, func(i int) {
		all.Go(func() {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i%8))}, Timeout: patience}
			c, err := d.Dial("tcp", s.addr)
			if err == nil {
				streams[i] = c
				_, err = io.WriteString(c, get(target))
			}
			if err != nil {
				t.Error(err)
			}
		})
	})
	all.Wait()
	defer func() {
		for _, c := range streams {
			if c != nil {
				_ = c.Close()
			}
		}
	}()
	testkit.EventuallyWithin(t, patience, func() bool { return s.sessions.Counts().Clients == many }, "all streams to be open")
	s.atGate(t, 0, 0)
	noGoroutineEach(t, before)
	st := s.waiting.Stats()
	require.Zero(t, st.Half+st.Idle+int(st.Held)+int(st.Evicted))
}

// Publications at a rate, each to the one stream of its channel, none waiting for another:
// each comes, in order, once.
func TestLongOwnChannelsAtARate(t *testing.T) {
	const streams, conns, each = 300, 30, 12
	s := startServer(t, parts{})
	var clients []*testkit.Client
	for i := range streams {
		c := s.subscribe(t, fmt.Sprint("own", i))
		c.ExpectConnect(t)
		clients = append(clients, c)
	}
	var publishers []plain
	for range conns {
		publishers = append(publishers, s.plainly(t, "127.0.0.2"))
	}
	wait := eachAnswered(t, publishers, streams*each/conns)
	atRate(streams*each, 2000, func(i int) { // those of a channel by one connection
		_, _ = io.WriteString(publishers[i%streams%conns], call("/api/publish", fmt.Sprintf(`{"channel":"own%d","data":%d}`, i%streams, i/streams)))
	})
	wait()
	s.api.Publish(t, "own0", `"last"`)
	for i, c := range clients {
		for n := range each {
			c.Expect(t, fmt.Sprintf(`{"channel":"own%d","pub":{"data":%d}}`, i, n))
		}
	}
	clients[0].Expect(t, `{"channel":"own0","pub":{"data":"last"}}`)
	s.atGate(t, 0, conns+1)
}
