//go:build e2e

package test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// This file runs the client libraries that people have, as these have them, and
// publishes with one: connect, 100 live, cuts, a restart, and a cut at each byte
// of an event. Nothing may be lost, nothing doubled but what the library doubles
// by its own design, known by its offset.

// realClients are the libraries at work on one gateway.
type realClients struct {
	// Immutable after startRealClients.
	config    string // of the gateway
	page      *livePage
	programs  map[host]*clientProgram
	publisher *clientProgram

	// Owned by the test.
	server *server
	top    map[string]uint64 // of each channel

	// Guarded by mu.
	mu      sync.Mutex
	streams []*realStream       // by number
	late    map[string][]string // by library: what it did not do in time
}

const (
	realTimeout = time.Minute
	realKey     = "the-api-key-of-gocent" // it cannot send one with spaces
	sharedID    = "rr:a"                  // one recoverable channel on a stream: its ids are shared
	ownID       = "rr:b"                  // with the other: the stream has its own
)

func startRealClients(t *testing.T) *realClients {
	t.Helper()
	node := testkit.NeedProgram(t, []string{"node"}, "apt-get install nodejs")
	dir := installClients(t)
	home := newSite(t)
	p := allowing(home.origin())
	p.client += `, "ping_interval": "10m"` // nothing but events in what is cut
	config := strings.NewReplacer(testKey, realKey, `"port": 0`, fmt.Sprintf(`"port": %d`, testkit.FreePort(t))).Replace(p.config())
	c := &realClients{config: config, server: launch(t, config), top: make(map[string]uint64), late: make(map[string][]string)}
	t.Cleanup(func() {
		if c.server != nil {
			c.server.stop(t)
		}
	})
	home.serveClients(dir)
	c.page = openLive(t, home.addr())
	c.programs = map[host]*clientProgram{
		inNode: startProgram(t, dir, node, "node.mjs"),
		inGo:   startProgram(t, dir, "./clients", "streams"),
	}
	var reading sync.WaitGroup
	for _, p := range c.programs {
		reading.Go(func() { p.events(c.take) })
	}
	t.Cleanup(func() {
		for _, p := range c.programs {
			_ = p.in.Close()
		}
		reading.Wait()
	})
	c.publisher = startProgram(t, dir, "./clients", "publish", c.server.addr, realKey)
	return c
}

// take gives an event to its stream.
func (c *realClients) take(e clientEvent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.streams[e.Stream]
	switch {
	case e.GaveUp != "" && s.refused:
		s.gaveUp = true
	case e.GaveUp != "":
		s.fault("gave up: %s", e.GaveUp)
	case e.Ended:
		s.ended++
	default:
		s.take(e.Data)
	}
}

// takePage gives what came in the page to its streams.
func (c *realClients) takePage(t *testing.T) {
	t.Helper()
	var events []clientEvent
	require.NoError(t, json.Unmarshal([]byte(evaluate[string](t, c.page, `take()`)), &events))
	for _, e := range events {
		c.take(e)
	}
}

// command tells the programs to open the streams from first on, or to close them.
func (c *realClients) command(t *testing.T, first int, open bool) {
	t.Helper()
	byHost := make(map[host][]clientCommand)
	for i, s := range c.streams[first:] {
		command := clientCommand{Client: s.client.name, Stream: first + i}
		if open {
			command.URL = "http://" + s.line.addr() + subscribeTarget(s.channels)
		}
		byHost[s.client.host] = append(byHost[s.client.host], command)
	}
	for h, p := range c.programs {
		for _, command := range byHost[h] {
			require.NoError(t, p.enc.Encode(command))
		}
	}
	text, err := json.Marshal(byHost[inPage])
	require.NoError(t, err)
	evaluate[bool](t, c.page, fmt.Sprintf(`(run(%s), true)`, text))
}

// wait waits until all streams from first on have done something. Libraries that
// do not in time have failed, and their streams are not looked at any more.
func (c *realClients) wait(t *testing.T, first int, what string, done func(*realStream) bool) {
	t.Helper()
	begin := time.Now()
	var missing []*realStream
	testkit.EventuallyWithin(t, 2*realTimeout, func() bool {
		c.takePage(t)
		c.mu.Lock()
		defer c.mu.Unlock()
		missing = slices.DeleteFunc(slices.Clone(c.streams[first:]), func(s *realStream) bool {
			return c.late[s.client.name] != nil || len(s.faults) > 0 || done(s)
		})
		return len(missing) == 0 || time.Since(begin) > realTimeout
	}, what)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range missing {
		c.late[s.client.name] = append(c.late[s.client.name], fmt.Sprintf("%s: %s", what, s))
	}
}

// publish publishes into channels in turn, n into each.
func (c *realClients) publish(t *testing.T, n, pad int, channels ...string) {
	t.Helper()
	for range n {
		for _, channel := range channels {
			c.top[channel]++
			data := fmt.Sprintf(`{"n": %d, "pad": %q}`, c.top[channel], strings.Repeat("x", pad))
			if pad == 0 {
				data = fmt.Sprintf(`{"n": %d}`, c.top[channel])
			}
			require.Equal(t, c.top[channel], c.publisher.publish(t, channel, data))
		}
	}
}

// upToDate waits until all streams from first on have everything.
func (c *realClients) upToDate(t *testing.T, first int, what string) {
	t.Helper()
	c.wait(t, first, what, func(s *realStream) bool { return s.has(c.top) })
}

func (c *realClients) restart(t *testing.T) {
	t.Helper()
	s := c.server
	c.server = nil
	s.stop(t)
	c.server = launch(t, c.config)
	clear(c.top)
}

func TestLongRealClientsLoseNothing(t *testing.T) {
	browserTest(t)
	c := startRealClients(t)
	c.cutAndRestart(t)
	c.refuse(t)
	c.cutAtEachByte(t)
	for _, text := range c.page.takeProblems() {
		// A 502 without CORS headers, and the polyfill's fetch that is cut.
		require.Regexp(t, `blocked by CORS policy|TypeError: network error`, text)
	}
	for _, client := range realLibraries {
		t.Run(client.name, func(t *testing.T) { c.judge(t, client) })
	}
}

// cutAndRestart has two streams of each library: 100 live, an RST, a FIN, a 502,
// a resume of 200 KB, a restart; and 10 more behind each.
func (c *realClients) cutAndRestart(t *testing.T) {
	t.Helper()
	var streams []*realStream
	for _, client := range realLibraries {
		for _, channels := range [][]string{{sharedID}, {sharedID, ownID}} {
			streams = append(streams, newRealStream(client, newRelay(t, c.server.addr, 1), channels))
		}
	}
	c.open(t, streams)
	c.publish(t, 100, 0, sharedID, ownID)
	c.upToDate(t, 0, "100 live")
	for _, reset := range []bool{true, false} {
		for _, s := range c.streams {
			s.line.cutBehind(0, reset)
		}
		c.publish(t, 10, 0, sharedID, ownID)
		c.upToDate(t, 0, fmt.Sprintf("10 more behind a cut (RST: %v)", reset))
	}
	for _, s := range c.streams {
		s.line.setAway(true)
		s.line.cutBehind(0, true)
	}
	c.publish(t, 200, 1000, sharedID)
	for _, s := range c.streams {
		s.line.setAway(false)
	}
	c.upToDate(t, 0, "a resume of 200 KB")
	c.wait(t, 0, "no gap so far", func(s *realStream) bool { return s.gaps == 0 })

	c.restart(t)
	c.wait(t, 0, "the gap of a restart to be told", func(s *realStream) bool { return s.gaps == len(s.channels) })
	c.publish(t, 10, 0, sharedID, ownID)
	c.upToDate(t, 0, "10 more behind a restart")
	c.close(t, 0)
}

// refuse has a stream of each library that is cut, and whose next connect a front
// answers with 502: who comes back loses nothing, the others give up.
func (c *realClients) refuse(t *testing.T) {
	t.Helper()
	var streams []*realStream
	for _, client := range realLibraries {
		s := newRealStream(client, newRelay(t, c.server.addr, 1), []string{sharedID, ownID})
		s.refused = true
		streams = append(streams, s)
	}
	first := c.open(t, streams)
	c.publish(t, 10, 0, sharedID, ownID)
	c.upToDate(t, first, "10 live")
	for _, s := range streams {
		s.line.cutBehind(0, true)
		s.line.refuseNext()
	}
	c.publish(t, 10, 0, sharedID, ownID)
	c.wait(t, first, "10 more behind a 502, or the end", func(s *realStream) bool { return s.gaveUp || s.has(c.top) })
	c.close(t, first)
}

// open opens streams, waits until they are connected, and returns the number of
// the first.
func (c *realClients) open(t *testing.T, streams []*realStream) (first int) {
	t.Helper()
	c.mu.Lock()
	first = len(c.streams)
	c.streams = append(c.streams, streams...)
	c.mu.Unlock()
	c.command(t, first, true)
	c.wait(t, first, "connect", func(s *realStream) bool { return s.connects > 0 })
	return first
}

// close closes the streams from first on.
func (c *realClients) close(t *testing.T, first int) {
	t.Helper()
	c.command(t, first, false)
	testkit.Eventually(t, func() bool { return c.server.sessions.Counts().Clients == 0 }, "no stream once they are closed")
}

// judge fails unless a library got everything, and is as the table says.
func (c *realClients) judge(t *testing.T, client *realClient) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := realClient{name: client.name, host: client.host, why: client.why}
	var faults []string
	for i, s := range c.streams {
		if s.client != client {
			continue
		}
		for _, text := range s.faults {
			faults = append(faults, fmt.Sprintf("stream %d, %v: %s", i, s.channels, text))
		}
		if s.blank && s.lost == 1 {
			seen.blind = true
		} else if s.lost > 0 {
			faults = append(faults, fmt.Sprintf("stream %d, %v: %s", i, s.channels, s))
		}
		seen.refusable = seen.refusable || s.refused && !s.gaveUp
		seen.endsOnClose = seen.endsOnClose || s.ended > 0
		seen.halves = seen.halves || s.halves > 0
		seen.repeats = seen.repeats || s.repeats > 0
	}
	faults = append(faults, c.late[client.name]...)
	require.Empty(t, strings.Join(faults[:min(20, len(faults))], "\n"), "the first of %d faults", len(faults))
	require.Equal(t, *client, seen, "the table says what is true of the library")
}
