package test

import (
	"encoding/json"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// connectTarget is where a connect request goes.
func connectTarget(request any) string {
	text, err := json.Marshal(request)
	if err != nil {
		panic(err)
	}
	return testkit.DefaultPath + "?cf_connect=" + url.QueryEscape(string(text))
}

// resumer is a follower that comes back, and what it was told of its channel.
type resumer struct {
	*follower
	result *sub // good once opened is closed
}

// resume begins a connect that asks for what was missed; nobody reads its stream
// yet.
func (s *server) resume(t *testing.T, target, channel, headers string, buffer int) *resumer {
	t.Helper()
	f, err := follow(s.addr, target, buffer, headers)
	require.NoError(t, err)
	r := &resumer{follower: f}
	f.push = func(p *said) error {
		if p.kind != "connect" {
			return nil
		}
		body, err := p.decode()
		if err != nil {
			return err
		}
		r.result = body.Connect.Subs[channel]
		return nil
	}
	return r
}

// expectRecovered waits until those that come back and read have each so many
// publications, which are all that were acknowledged, and requires that they were
// recovered and that the budget was never exceeded.
func (s *server) expectRecovered(t *testing.T, all []*resumer, each, budget int, acks []acked) {
	t.Helper()
	var reading crowd
	for _, r := range all {
		reading = append(reading, r.follower)
	}
	most := 0.0
	testkit.EventuallyWithin(t, loadPatience, func() bool {
		most = max(most, s.gauge(t, budgetUsed))
		for _, f := range reading {
			if !f.ended() && int(f.count.Load()) < each {
				return false
			}
		}
		return true
	}, "all that read to have what they missed")
	s.expectAll(t, reading, acks)
	for i, r := range all {
		<-r.opened
		require.True(t, r.result.WasRecovering && r.result.Recovered, "client %d was not recovered", i)
	}
	require.Positive(t, most)
	require.LessOrEqual(t, most, float64(budget), "more was in flight than the budget allows")
}

const (
	budgetUsed = "recovery_budget_used_bytes"
	budgetSize = "recovery_budget_size_bytes"
)

// gauge reads a metric that must exist.
func (s *server) gauge(t *testing.T, name string) float64 {
	t.Helper()
	v, ok := s.scrape(t)[name]
	require.True(t, ok, "there is no metric %s", name)
	return v
}

// lastEventID is the header of a client that comes back by an id, if it has one.
func lastEventID(id string) string {
	if id == "" {
		return ""
	}
	return "Last-Event-ID: " + id + "\r\n"
}

// cursor opens a stream, leaves it again and returns the id that it began with.
func (s *server) cursor(t *testing.T, channels ...string) (id string) {
	t.Helper()
	c := s.subscribe(t, channels...)
	defer c.Close()
	return c.ExpectConnect(t).EventID
}

// nextMissed takes the next publication of a stream, which must be the next of its channel
// by next, where the client stands in each.
func nextMissed(t *testing.T, c *testkit.Client, next map[string]uint64) testkit.Push {
	t.Helper()
	p := c.NextKind(t, "pub")
	var pub testkit.Publication
	p.Decode(t, &pub)
	require.Equal(t, next[p.Channel]+1, pub.Offset)
	next[p.Channel]++
	return p
}
