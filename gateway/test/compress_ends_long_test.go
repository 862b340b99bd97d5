//go:build e2e

package test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// However a compressed stream ends, its decoder finds an end with the right checksum, and
// what the stream says last is said.
func TestLongCompressedStreamsEndInOrder(t *testing.T) {
	s := startServer(t, parts{
		sse:     `, "max_lifetime": "1s", "retry": "100ms-200ms", "bounded_streams": true`,
		channel: `, "namespaces": [{"name": "rr", ` + compressing + `, ` + recoverable + `}]`,
	})
	eachCoding(t, func(t *testing.T, coding string) {
		for _, proto := range []string{"HTTP/1.1", "HTTP/1.0"} {
			for _, channels := range [][]string{{"rr:a"}, {"rr:a", "rr:b"}} {
				c := s.compressed(t, coding, testkit.ConnectOptions{Subs: subsOf("", channels...), Proto: proto})
				at := c.ExpectConnect(t).EventID
				for n := range 60 {
					s.api.Publish(t, channels[n%len(channels)], quotes(n, 700))
				}
				end := c.WaitEnd(t) // of its life
				require.Equal(t, "ended properly", end.String())
				c.ExpectClosed(t)
				require.NotEqual(t, at, c.LastEventID())

				target := subscribeTarget(channels) + "&max_events=3"
				conn := testkit.Dial(t, s.addr)
				conn.Send(testkit.Request{Target: target, Headers: accepting(coding), Proto: proto}.String())
				head := conn.ReadHead(t)
				events := testkit.NewReader(testkit.Inflate(head.Get("Content-Encoding"), conn.Body()))
				_, err := events.Next()
				require.NoError(t, err)
				for n := range 2 {
					s.api.Publish(t, channels[0], quotes(n, 2000))
					_, err = events.Next()
					require.NoError(t, err)
				}
				_, err = events.Next()
				require.EqualError(t, err, "EOF")
				require.True(t, conn.Terminated())
			}
		}
	})
}

// Pings can be read as soon as they are there, and what follows them too.
func TestLongPingsOfCompressedStreams(t *testing.T) {
	s := startServer(t, parts{
		client:  `, "ping_interval": "100ms"`,
		channel: `, "namespaces": [{"name": "rr", ` + compressing + `, ` + recoverable + `}, {"name": "pp", ` + compressing + `, ` + anybody + `}]`,
	})
	eachCoding(t, func(t *testing.T, coding string) {
		for _, channel := range []string{"rr:a", "pp:a"} {
			streams := []*testkit.Client{
				s.compressed(t, "identity", testkit.ConnectOptions{Subs: subsOf("", channel)}),
				s.compressed(t, coding, testkit.ConnectOptions{Subs: subsOf("", channel)}),
			}
			for _, c := range streams {
				c.ExpectConnect(t)
			}
			for n := range 5 {
				for _, c := range streams {
					for pings := 0; pings < 2; pings++ {
						require.Equal(t, "data: {}\n\n", string(c.NextKind(t, "ping").Frame))
					}
				}
				for k := range 7 { // a group goes on between two of them
					s.api.Publish(t, channel, quotes(10*n+k, 900))
				}
				for range 7 {
					expectSame(t, streams, true)
				}
			}
		}
	})
}
