//go:build e2e

package test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/bench/fronts"
	"sluice/gateway/testkit"
)

// While the gateway is away, fronts of the folder tell viewers to come back, and all do.
// Plain ones answer 502 or 503, which ends an EventSource for good: that is what they have
// to be told.
func TestLongFrontsWhileTheGatewayIsAway(t *testing.T) {
	t.Parallel()
	port := testkit.FreePort(t)
	text := strings.Replace(frontOriginText("chunked", 25*time.Second), `"port": 0`, fmt.Sprintf(`"port": %d`, port), 1)
	s := launch(t, text)
	kinds := fronts.Kinds()
	var viewers []*frontViewer
	for _, k := range kinds {
		viewers = append(viewers, watchRec(t, launchFront(t, k, s.addr, frontIdle).addr))
	}
	s.api.Publish(t, "rec:news", "0")
	for i, v := range viewers {
		testkit.Eventually(t, func() bool { return v.got.Load() == 1 }, "an event through "+kinds[i].Name)
	}
	s.stop(t)
	for i, v := range viewers {
		name, before := kinds[i].Name, len(v.Requests())
		if kinds[i].Plain {
			err := <-v.done
			require.ErrorContains(t, err, "got 50", name)
			v.done <- err
			continue
		}
		testkit.Eventually(t, func() bool { return len(v.Requests()) >= before+2 }, "viewers to come back to "+name)
	}
	s = launch(t, text)
	t.Cleanup(func() { s.stop(t) })
	for i, v := range viewers {
		if k := kinds[i]; !k.Plain {
			testkit.Eventually(t, func() bool {
				s.api.Publish(t, "rec:news", "1")
				return v.got.Load() > 1
			}, "an event of the new gateway through "+k.Name)
			require.EqualValues(t, 1, v.gaps.Load(), "%s: what the old one had is gone, and the viewer is told", k.Name)
		}
	}
}
