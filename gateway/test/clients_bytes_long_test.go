//go:build e2e

package test

import (
	"slices"
	"testing"

	"sluice/gateway/testkit"
)

// realFraming is how events come: with whose ids, and in which kind of body.
type realFraming struct {
	channels []string
	http10   bool // the end of the connection is the end of the body, in order
}

var realFramings = []realFraming{
	{channels: []string{sharedID}},
	{channels: []string{sharedID, ownID}},
	{channels: []string{sharedID}, http10: true},
	{channels: []string{sharedID, ownID}, http10: true},
}

// byteCut is where a stream is cut: behind so many bytes of an event.
type byteCut struct {
	realFraming
	behind int
	reset  bool
	blank  bool // between the two line ends that end it
}

// byteCuts are the cuts at each byte of an event, with FIN and with RST, in each
// framing. It measures the event.
func (c *realClients) byteCuts(t *testing.T) []byteCut {
	t.Helper()
	var cuts []byteCut
	for _, framing := range realFramings {
		line := newRelay(t, c.server.addr, 1)
		line.setHTTP10(framing.http10)
		probe := testkit.Connect(t, line.addr(), testkit.ConnectOptions{Path: subscribeTarget(framing.channels)})
		probe.ExpectConnect(t)
		before := line.streamed()
		c.publish(t, 1, 0, sharedID)
		probe.ExpectPub(t, sharedID)
		size := line.streamed() - before
		probe.Close()
		tail := len("\n\r\n") // the end of the chunk is behind it
		if framing.http10 {
			tail = len("\n")
		}
		for behind := range size + 1 {
			for _, reset := range []bool{false, true} {
				cuts = append(cuts, byteCut{framing, behind, reset, behind == size-tail})
			}
		}
	}
	return cuts
}

// cutAtEachByte cuts one event at each of its bytes, many streams of each library
// at once, and publishes more behind it.
func (c *realClients) cutAtEachByte(t *testing.T) {
	t.Helper()
	const atOnce = 36              // of each library: browsers have 256 sockets
	c.publish(t, 100, 0, sharedID) // events of one size from here on
	cuts := c.byteCuts(t)
	t.Logf("%d cuts for each library", len(cuts))
	lines := make([]*relay, atOnce*len(realLibraries))
	for i := range lines {
		lines[i] = newRelay(t, c.server.addr, 1)
	}
	for batch := range slices.Chunk(cuts, atOnce) {
		var streams []*realStream
		for i, client := range realLibraries {
			for k, cut := range batch {
				s := newRealStream(client, lines[i*atOnce+k], cut.channels)
				s.line.setHTTP10(cut.http10)
				s.blank = cut.blank
				streams = append(streams, s)
			}
		}
		first := c.open(t, streams)
		c.publish(t, 1, 0, sharedID, ownID)
		c.upToDate(t, first, "one live")
		for i, s := range streams {
			cut := batch[i%len(batch)]
			s.line.cutBehind(cut.behind, cut.reset)
		}
		c.publish(t, 4, 0, sharedID)
		c.upToDate(t, first, "all of it behind a cut in an event")
		c.mu.Lock()
		for i, s := range streams {
			cut := batch[i%len(batch)]
			if s.connects != 2 || s.gaps > 0 {
				s.fault("%+v: expected one more connect and no gap: %s", cut, s)
			}
		}
		c.mu.Unlock()
		c.close(t, first)
	}
}
