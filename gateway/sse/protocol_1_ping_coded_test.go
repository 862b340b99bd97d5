package sse_test

import (
	"encoding/base64"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/testkit"
)

// eachPing runs a test for pings of each style on streams of each coding.
func eachPing(t *testing.T, f func(t *testing.T, p *pinged)) {
	for name, style := range map[string]codec.PingStyle{"data": codec.PingData, "comment": codec.PingComment, "id": codec.PingID} {
		for _, coding := range []codec.Coding{codec.CodingGzip, codec.CodingZstd} {
			t.Run(name+" "+coding.String(), func(t *testing.T) {
				t.Parallel()
				f(t, newPinged(t, style, coding))
			})
		}
	}
}

// pinged is a compressed stream with frequent pings.
type pinged struct {
	*testkit.Client
	node  *node
	style codec.PingStyle
	every time.Duration
	data  string // of all publications: long, and smaller only where it refers to another one
}

func newPinged(t *testing.T, style codec.PingStyle, coding codec.Coding) *pinged {
	const every = time.Second / 2
	n := newNode(t, func(s *settings) {
		pinging(style)(s)
		s.session.PingInterval = every
		for i := range s.channels.Namespaces {
			s.channels.Namespaces[i].Options.Compression = []codec.Coding{coding}
		}
	})
	c := testkit.Connect(t, n.addr, testkit.ConnectOptions{Subs: subs("rec:a"), HTTPHeaders: [][2]string{{"Accept-Encoding", coding.String()}}})
	c.ExpectConnect(t)
	require.Equal(t, coding.String(), c.Head().Get("Content-Encoding"))
	random := make([]byte, 1500)
	for i := range random {
		random[i] = byte(rand.Uint32())
	}
	return &pinged{c, n, style, every, strconv.Quote(base64.StdEncoding.EncodeToString(random))}
}

// publish returns how many chunks came until the publication was there, and the size of the
// largest one.
func (p *pinged) publish(t *testing.T) (chunks, size int) {
	t.Helper()
	before := len(p.ChunkSizes())
	p.node.publish(t, "rec:a", p.data)
	require.Equal(t, p.data, string(p.ExpectPub(t, "rec:a").Data))
	sizes := p.ChunkSizes()[before:]
	return len(sizes), slices.Max(sizes)
}

// awaitPing waits for the next ping.
func (p *pinged) awaitPing(t *testing.T) {
	t.Helper()
	before := len(p.ChunkSizes())
	testkit.Eventually(t, func() bool { return len(p.ChunkSizes()) > before }, "a ping")
}

// A ping that is an empty block leaves the stream in its group, and one that clients see
// takes it out until the next one begins.
func TestPingsOfCompressedStreamsAndGroups(t *testing.T) {
	eachPing(t, func(t *testing.T, p *pinged) {
		if _, size := p.publish(t); size < 1500 {
			t.Fatal("the first event refers to nothing, and has", size, "bytes")
		}
		for range 3 {
			p.awaitPing(t)
			_, size := p.publish(t)
			require.Equal(t, p.style == codec.PingComment, size < 200, "an event of %d bytes behind a ping", size)
		}
	})
}

// Whoever was sent an event within the interval needs no ping that takes it out of its
// group, and gets one an interval behind its last event.
func TestBusyCompressedStreamsHaveNoPingsThatClientsSee(t *testing.T) {
	eachPing(t, func(t *testing.T, p *pinged) {
		if p.style == codec.PingComment {
			t.Skip("they cost nothing: they come when they are due")
		}
		p.publish(t)
		for began, last := time.Now(), time.Now(); time.Since(began) < 3*p.every; {
			chunks, _ := p.publish(t)
			if time.Since(last) > p.every/2 {
				began = time.Now() // the machine has other work
			} else {
				require.Equal(t, 1, chunks)
			}
			last = time.Now()
		}
		p.awaitPing(t)
	})
}
