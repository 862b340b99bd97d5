package test

import (
	"context"
	"crypto/tls"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// However a compressed stream ends, its decoder finds an end with the right checksum, and
// what the stream says last is said.
func TestCompressedStreamsEndInOrder(t *testing.T) {
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
func TestPingsOfCompressedStreams(t *testing.T) {
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

// A shutdown tells compressed streams what it tells others, and ends them in order.
func TestShutdownEndsCompressedStreams(t *testing.T) {
	s := launchStopping(t, `"timeout": "1m"`, parts{
		sse:     `, "retry": "100ms-200ms"`,
		channel: `, "namespaces": [{"name": "rr", ` + compressing + `, ` + recoverable + `}, {"name": "pp", ` + compressing + `, ` + anybody + `}]`,
	})
	var streams []*testkit.Client
	for _, coding := range []string{"gzip", "zstd"} {
		for _, channels := range [][]string{{"rr:a"}, {"pp:a"}, {"rr:a", "rr:b", "pp:a"}} {
			c := s.compressed(t, coding, testkit.ConnectOptions{Subs: subsOf("", channels...)})
			c.ExpectConnect(t)
			streams = append(streams, c)
		}
	}
	for n := range 20 {
		s.api.Publish(t, "rr:a", quotes(n, 1500))
		s.api.Publish(t, "pp:a", quotes(n, 1500))
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := s.stopLater(ctx)
	for _, c := range streams {
		require.Equal(t, 3001, int(disconnectOf(t, c).Code))
		c.ExpectEnd(t)
		c.ExpectClosed(t)
	}
	require.NoError(t, ends(t, done))
}

func disconnectOf(t *testing.T, c *testkit.Client) (d testkit.Disconnect) {
	t.Helper()
	p := c.NextKind(t, "disconnect")
	p.Decode(t, &d)
	return d
}

// Over TLS a compressed stream is what it is without.
func TestCompressedStreamsOverTLS(t *testing.T) {
	s := startTLS(t, "", "", parts{channel: `, "namespaces": [{"name": "rr", ` + compressing + `, ` + recoverable + `}]`})
	for i, coding := range []string{"gzip", "zstd", "gzip", "zstd"} {
		cfg := s.ca.client()
		cfg.MaxVersion = uint16(tls.VersionTLS12 + i/2)
		channels := []string{fmt.Sprint("rr:a", i), fmt.Sprint("rr:b", i)}[:1+i%2]
		streams := []*testkit.Client{
			s.stream(t, cfg, testkit.ConnectOptions{}, channels...),
			s.stream(t, cfg, testkit.ConnectOptions{HTTPHeaders: accepting(coding)}, channels...),
		}
		require.Equal(t, coding, streams[1].Head().Get("Content-Encoding"))
		for _, c := range streams {
			c.ExpectConnect(t)
		}
		for n := range 70 {
			s.api.Publish(t, channels[n%len(channels)], quotes(n, 100+n*997%9000))
			expectSame(t, streams, true)
		}
		expectWellEnded(t, s.server, streams)
	}
}
