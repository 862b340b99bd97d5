package presencetest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/presence"
)

// shortTTL is the shortest in which a test can look at who is there: stores may count in
// whole seconds, and so forget a second too early.
const shortTTL = 3 * time.Second

// renewUntil renews clients until done, as their node would.
func (s *Subject) renewUntil(t *testing.T, m presence.Manager, done func() bool, changes ...presence.Change) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); {
		require.True(t, time.Now().Before(deadline), "it takes too long")
		apply(t, m, changes...)
		if s.Advance != nil {
			s.Advance(t, shortTTL/3)
		} else {
			time.Sleep(shortTTL / 30)
		}
	}
}

func expiry(t *testing.T, s Subject) {
	m := s.open(t, shortTTL)
	if m.TTL() == 0 {
		t.Skip("clients do not expire")
	}
	require.Equal(t, shortTTL, m.TTL())
	dead, anonymous, alive := Client("dead", 1), Client("", 2), Client("alive", 3)
	twin, other := Client("twin", 4), Client("twin", 5)
	apply(t, m, here("mixed", dead), here("mixed", anonymous), here("mixed", alive), here("dead", dead))
	apply(t, m, here("twins", twin), here("twins", other))
	expect(t, m, "mixed", dead, anonymous, alive)
	left := func() bool {
		return stats(t, m, "mixed").Clients == 1 && stats(t, m, "dead").Clients == 0 && stats(t, m, "twins").Clients == 1
	}
	s.renewUntil(t, m, left, here("mixed", alive), here("twins", other))
	expect(t, m, "mixed", alive)
	expect(t, m, "dead")
	apply(t, m, here("mixed", dead)) // it was only late
	expect(t, m, "mixed", dead, alive)
	// A user goes with the last of its clients, however the others went.
	expect(t, m, "twins", other)
	apply(t, m, gone("twins", other))
	expect(t, m, "twins")
}

func leftForGood(t *testing.T, s Subject) {
	m := s.open(t, shortTTL)
	a, b := Client("u", 1), Client("u", 2)
	apply(t, m, here("left", a), here("left", b))
	apply(t, m, here("left", a), here("left", b), gone("left", a))
	expect(t, m, "left", b)
	for range 3 {
		apply(t, m, here("left", b))
		expect(t, m, "left", b)
	}
}

func nodes(t *testing.T, s Subject) {
	if !s.Nodes {
		t.Skip("one node only")
	}
	one, two := s.open(t, 0), s.open(t, 0)
	a, b := Client("u", 1), Client("v", 2)
	apply(t, one, here("nodes", a))
	apply(t, two, here("nodes", b))
	expect(t, one, "nodes", a, b)
	expect(t, two, "nodes", a, b)
	apply(t, two, gone("nodes", a)) // a client that came back to another node
	expect(t, one, "nodes", b)
	apply(t, one, here("nodes", a), gone("nodes", b))
	expect(t, two, "nodes", a)
}

// contextEnds wants calls to return when their time is over, whatever they have done.
func contextEnds(t *testing.T, s Subject) {
	m := s.open(t, 0)
	a := Client("u", 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		_ = m.Apply(ctx, []presence.Change{here("ended", a)})
		_, _ = m.Presence(ctx, "ended")
		_, _ = m.Stats(ctx, "ended")
	}()
	select {
	case <-returned:
	case <-time.After(patience):
		t.Fatal("a call goes on without its context")
	}
	apply(t, m, here("ended", a))
	expect(t, m, "ended", a)
}

// calls makes one call of each kind within so much time, and returns their errors.
func calls(t *testing.T, m presence.Manager, within time.Duration, info *codec.ClientInfo) [3]error {
	t.Helper()
	var errs [3]error
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	errs[0] = m.Apply(ctx, []presence.Change{here("outage", info)})
	_, errs[1] = m.Presence(ctx, "outage")
	_, errs[2] = m.Stats(ctx, "outage")
	return errs
}

func outage(t *testing.T, s Subject) {
	if s.Cut == nil {
		t.Skip("nothing can be cut")
	}
	m := s.open(t, 0)
	a, b := Client("u", 1), Client("u", 2)
	apply(t, m, here("outage", a))
	expect(t, m, "outage", a)
	mend := s.Cut(t)
	const within = 500 * time.Millisecond
	began := time.Now()
	for _, err := range calls(t, m, within, b) {
		require.ErrorIs(t, err, presence.ErrUnavailable)
	}
	require.Less(t, time.Since(began), patience, "each ends with its context")
	mend()
	require.Eventually(t, func() bool {
		return calls(t, m, patience, b) == [3]error{}
	}, patience, 20*time.Millisecond, "it is over")
	expect(t, m, "outage", a, b)
}
