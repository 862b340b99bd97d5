package test

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/loop"
	"sluice/gateway/testkit"
)

// lazy is a client with a small receive buffer that reads only when the test
// takes an event: whatever it does not take stays in the kernel and, behind that,
// in the server's out-queue.
type lazy struct {
	conn   *testkit.Conn
	events *testkit.Reader
}

// lazyPush is what these tests want to know of a push.
type lazyPush struct {
	Channel string
	HasID   bool `json:"-"`
	Connect *testkit.ConnectResult
	Pub     *struct {
		Data   numbered
		Offset uint64
		Tags   map[string]string
	}
	Gap        *gapBody
	Disconnect *testkit.Disconnect
}

// numbered is the data of publications here.
type numbered struct {
	N int    `json:"n"`
	K string `json:"k"`
}

// gapBody is the body of a gap push.
type gapBody struct {
	Dropped int    `json:"dropped"`
	From    uint64 `json:"from"`
	To      uint64 `json:"to"`
}

// lazyBuffer is the receive buffer of a lazy client.
const lazyBuffer = 16 << 10

// lazy opens a stream and takes its connect push.
func (s *server) lazy(t *testing.T, target string) *lazy {
	t.Helper()
	nc, err := dialSmall(s.addr, lazyBuffer)
	require.NoError(t, err)
	return lazyOn(t, testkit.NewConn(t, nc), target)
}

// lazyOn is lazy on an open connection.
func lazyOn(t *testing.T, conn *testkit.Conn, target string, headers ...[2]string) *lazy {
	t.Helper()
	conn.Send(testkit.Request{Target: target, Headers: headers}.String())
	head := conn.ReadHead(t)
	require.Equal(t, 200, head.Status)
	c := &lazy{conn, testkit.NewReader(testkit.Inflate(head.Get("Content-Encoding"), conn.Body()))}
	p, err := c.next(t)
	require.NoError(t, err)
	require.NotNil(t, p.Connect)
	return c
}

// next takes an event that is no ping; the error says that the stream has ended.
func (c *lazy) next(t *testing.T) (p lazyPush, err error) {
	t.Helper()
	ev, err := c.events.Next()
	for err == nil && ev.Data == "{}" {
		ev, err = c.events.Next()
	}
	require.Empty(t, c.events.Violations())
	if err != nil {
		require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "the stream is open and silent")
		return p, err
	}
	require.NoError(t, json.Unmarshal([]byte(ev.Data), &p), ev.Data)
	p.HasID = ev.HasID
	return p, nil
}

// stats returns the counters of all loops.
func (s *server) stats() loop.Stats { return s.group.Stats() }

// filler makes a publication large enough to fill sockets soon, compressed ones too.
var filler = string(fillers[:8<<10])

// reader is a client that keeps up, and its one channel.
type reader struct {
	*testkit.Client
	channel string
}

func (s *server) reader(t *testing.T, channel string) reader {
	t.Helper()
	c := s.subscribe(t, channel)
	c.ExpectConnect(t)
	return reader{c, channel}
}

// publishUntil publishes {"n":from+1…} with a filler into each channel until done
// says so, and returns the last number. The readers get each once and in order,
// a few at a time, less than a queue takes: a strict parser under the race
// detector is slow.
func (s *server) publishUntil(t *testing.T, channels []string, from int, readers []reader, done func(loop.Stats) bool) (n int) {
	t.Helper()
	n = from
	const few = 10
	for deadline := time.Now().Add(3 * time.Minute); ; {
		for range few {
			n++
			for _, ch := range channels {
				s.api.Publish(t, ch, fmt.Sprintf(`{"n":%d,"x":%q}`, n, filler))
			}
		}
		for _, c := range readers {
			for i := n - few + 1; i <= n; i++ {
				_, data := numberOf(t, c.Next(t), c.channel)
				require.Equal(t, i, data.N)
			}
		}
		if done(s.stats()) {
			return n
		}
		require.True(t, time.Now().Before(deadline), "after %d publications: %+v", n, s.stats())
	}
}

// numberOf is the publication that a push must be.
func numberOf(t *testing.T, p testkit.Push, channel string) (pub testkit.Publication, data numbered) {
	t.Helper()
	require.Equal(t, "pub", p.Kind)
	require.Equal(t, channel, p.Channel)
	p.Decode(t, &pub)
	require.NoError(t, json.Unmarshal(pub.Data, &data))
	return pub, data
}

const anybody = `"allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true`

// account takes an event: the publication that is due in its channel, or the
// notice that some from that one on were dropped, and how many.
func (c *lazy) account(t *testing.T, next map[string]int, withHistory string) (dropped int) {
	t.Helper()
	p, err := c.next(t)
	require.NoError(t, err)
	due := next[p.Channel]
	if p.Gap != nil {
		n := p.Gap.Dropped
		require.Positive(t, n)
		want := gapBody{Dropped: n}
		if p.Channel == withHistory {
			want.From, want.To = uint64(due), uint64(due+n-1)
		}
		require.Equal(t, want, *p.Gap, "in %s, where %d is due", p.Channel, due)
		next[p.Channel] += n
		return n
	}
	require.NotNil(t, p.Pub)
	require.Equal(t, due, p.Pub.Data.N, p.Channel)
	if p.Channel == withHistory {
		require.EqualValues(t, due, p.Pub.Offset)
	}
	next[p.Channel]++
	return 0
}

// untilEnd takes publications 1 … got and then the end of the stream, which is
// cut or told with 3008.
func (c *lazy) untilEnd(t *testing.T) (got int) {
	t.Helper()
	for {
		p, err := c.next(t)
		if err != nil {
			return got
		}
		if p.Disconnect != nil {
			require.EqualValues(t, 3008, p.Disconnect.Code)
			_, err := c.next(t)
			require.ErrorIs(t, err, io.EOF)
			require.True(t, c.conn.Terminated())
			return got
		}
		got++
		require.Equal(t, got, p.Pub.Data.N)
		require.True(t, p.HasID)
	}
}
