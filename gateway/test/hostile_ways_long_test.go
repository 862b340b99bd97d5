//go:build e2e

package test

import (
	"io"
	"strings"
	"testing"

	"sluice/gateway/testkit"
)

// Nothing of the table depends on who accepts, on the pieces in which requests come, or on
// what the connection was for before.
func TestLongHostileRequestsInOtherWays(t *testing.T) {
	inBytes := func(c *testkit.Conn, raw string) {
		for size := len(raw)/200 + 1; len(raw) > 0; {
			n := min(size, len(raw))
			if strings.HasPrefix(raw, "HEAD ") {
				n = 5 // testkit knows by it that no body comes
			}
			if c.TrySend(raw[:n]) != nil {
				return
			}
			raw = raw[n:]
		}
	}
	behindAnother := func(c *testkit.Conn, raw string) {
		if c.TrySend(getHealth) != nil {
			return
		}
		if head, err := c.TryReadHead(); err != nil || head.Status != 200 {
			return // the row fails
		}
		_, _ = io.Copy(io.Discard, c.Body())
		_ = c.TrySend(raw)
	}
	t.Run("in bytes", func(t *testing.T) { hostileRequests(t, "", inBytes) })
	t.Run("behind another request", func(t *testing.T) { hostileRequests(t, "", behindAnother) })
	t.Run("without a gate", func(t *testing.T) { hostileRequests(t, `, "gate": "off"`, nil) })
	t.Run("without a gate, in bytes", func(t *testing.T) { hostileRequests(t, `, "gate": "off"`, inBytes) })
	t.Run("without a gate, behind another request", func(t *testing.T) { hostileRequests(t, `, "gate": "off"`, behindAnother) })
}
