package test

import (
	"fmt"
	"testing"

	"sluice/gateway/testkit"
)

func TestPublishReachesSubscriber(t *testing.T) {
	s := startServer(t, parts{})
	c := s.subscribe(t, "news")
	c.ExpectConnect(t)
	s.api.Publish(t, "news", `{"a": 1}`)
	c.Expect(t, `{"channel":"news","pub":{"data":{"a":1}}}`)
}

func TestStopTellsClientsAndDeliversWhatWasAcknowledged(t *testing.T) {
	testkit.Snapshot(t, libraryGoroutines...)
	s := launch(t, fmt.Sprintf(baseConfig, "", "", "", ""))
	c := s.subscribe(t, "news")
	c.ExpectConnect(t)
	const n = 200
	for i := range n {
		s.api.Publish(t, "news", fmt.Sprint(i))
	}
	s.stop(t)
	for i := range n {
		c.Expect(t, fmt.Sprintf(`{"channel":"news","pub":{"data":%d}}`, i))
	}
	c.ExpectDisconnect(t, 3001)
}
