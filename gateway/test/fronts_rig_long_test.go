//go:build e2e

package test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/bench/fronts"
	"sluice/gateway/testkit"
)

const frontsDir = "../deploy/fronts/"

// liveFront is a program before a gateway.
type liveFront struct {
	fronts.Kind
	addr    string
	dir     string // its files
	stop    func()
	restart func() // behind stop: with the same configuration on the same port
}

// launchFront starts one; the test ends it.
func launchFront(t *testing.T, k fronts.Kind, origin string, idle time.Duration) *liveFront {
	t.Helper()
	testkit.NeedProgram(t, k.Programs, k.Install)
	port, dir := testkit.FreePort(t), t.TempDir()
	f := &liveFront{Kind: k, addr: fmt.Sprintf("127.0.0.1:%d", port), dir: dir}
	f.restart = func() {
		cmd, text, err := k.Command(fronts.Setup{Files: frontsDir, Dir: dir, Port: port, Origin: origin, Idle: idle})
		require.NoError(t, err)
		_, f.stop = runFront(t, cmd, port, text)
	}
	f.restart()
	return f
}

// framingOf is what the gateway must set for a kind of front.
func framingOf(k fronts.Kind) string {
	if k.Close {
		return "close"
	}
	return "chunked"
}

// startFrontOrigin is a gateway behind fronts with a kind of framing, and recoverable
// channels rec:*.
func startFrontOrigin(t *testing.T, framing string, ping time.Duration) *server {
	t.Helper()
	return startText(t, frontOriginText(framing, ping), nil)
}

// frontOriginText is its configuration.
func frontOriginText(framing string, ping time.Duration) string {
	return fmt.Sprintf(baseConfig, fmt.Sprintf(`, "framing": %q, "retry": "100ms"`, framing), "",
		fmt.Sprintf(`, "ping_interval": %q`, ping),
		`, "namespaces": [{"name": "rec", "history_size": 10000, "history_ttl": "10m", "force_recovery": true,
			"allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true}]`)
}
