//go:build e2e

package test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// Connections that wait for a request, or for the rest of one, outlive a reload, and hold
// no stop up.
func TestLongReloadAndStopWithConnectionsThatWait(t *testing.T) {
	for _, gate := range []string{"auto", "off"} {
		t.Run(gate, func(t *testing.T) {
			testkit.Snapshot(t, libraryGoroutines...)
			s := launch(t, strings.Replace(fmt.Sprintf(baseConfig, "", "", "", ""), `"port": 0`, fmt.Sprintf(`"port": 0, "gate": %q`, gate), 1))
			stream := s.subscribe(t, "news")
			stream.ExpectConnect(t)
			var idle []plain
			for range 20 {
				c := s.plainly(t, "127.0.0.2")
				c.ask(t, getHealth)
				idle = append(idle, c)
			}
			half := s.plainly(t, "127.0.0.2")
			_, err := io.WriteString(half, getHealth[:20])
			require.NoError(t, err)
			settled := func() {
				testkit.EventuallyWithin(t, patience, func() bool {
					st := s.waiting.Stats()
					return st.Half == 1 && st.Idle == len(idle)
				}, "all to wait")
			}
			settled()
			require.NoError(t, s.Reload(s.cfg))
			for _, c := range idle {
				c.ask(t, getHealth)
			}
			half.ask(t, getHealth[20:])
			_, err = io.WriteString(half, getHealth[:20])
			require.NoError(t, err)
			settled()

			stream.Close()
			testkit.EventuallyWithin(t, patience, func() bool { return s.sessions.Counts().Clients == 0 }, "the stream to end")
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			done := s.stopLater(ctx)
			for _, c := range idle {
				_, err := c.r.ReadByte()
				require.ErrorIs(t, err, io.EOF)
			}
			select {
			case err := <-done:
				t.Fatalf("the node stopped (%v) while a request was on its way", err)
			case <-time.After(300 * time.Millisecond):
			}
			_, err = io.WriteString(half, getHealth[20:])
			require.NoError(t, err)
			rest, err := io.ReadAll(half.r)
			require.NoError(t, err)
			require.True(t, strings.HasPrefix(string(rest), "HTTP/1.1 200 "), "%q", rest)
			require.NoError(t, ends(t, done))
		})
	}
}
