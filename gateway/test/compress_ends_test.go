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
