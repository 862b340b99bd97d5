package nats

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/broker"
	"sluice/gateway/cluster"
	"sluice/gateway/cluster/clustertest"
	"sluice/gateway/nats"
	"sluice/gateway/testkit"
	"sluice/gateway/testkit/natsrig"
	"sluice/gateway/testkit/tcpproxy"
)

// places are those of two nodes.
func places(t *testing.T, opt nats.Options, ttl time.Duration) (one, two *Places) {
	t.Helper()
	opt.Prefix = natsrig.Prefix(t)
	node := func() *Places {
		m := manager(t, connect(t, opt), Options{})
		m.places.ttl = ttl
		return m.places
	}
	return node(), node()
}

func single(t *testing.T) nats.Options { return nats.Options{URL: natsrig.Single(t).URL} }

func reserve(t *testing.T, p *Places, user, client string, limit int) bool {
	t.Helper()
	place, err := p.Reserve(t.Context(), user, client, limit)
	require.NoError(t, err)
	return place == cluster.PlaceTaken
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	opt := single(t)
	clustertest.Places(t, func(t *testing.T, ttl time.Duration) (one, two cluster.Places) {
		return places(t, opt, ttl)
	})
}

func TestPlacesOfOddUsers(t *testing.T) {
	t.Parallel()
	one, two := places(t, single(t), time.Minute)
	for _, user := range []string{"u", "}{", "ü x", "", "a.b*>", strings.Repeat("x", 5000)} {
		require.True(t, reserve(t, one, user, user, 1))
		require.False(t, reserve(t, two, user, "b", 1))
		require.True(t, reserve(t, two, user, user, 1))
	}
}

func TestClaimsIncreaseWhenTheClockGoesBack(t *testing.T) {
	t.Parallel()
	one, _ := places(t, single(t), time.Minute)
	require.True(t, reserve(t, one, "u", "a", 1))
	ahead := time.Now().Add(time.Hour).UnixMicro()
	put := func(kind, text string) {
		_, err := one.bucket.api.Publish(t.Context(), nats.Request{Subject: one.subject("u", kind), Data: []byte(text)})
		require.NoError(t, err)
	}
	put("claim", fmt.Sprint(ahead))
	claim, others, err := one.Claim(t.Context(), "u", 0)
	require.NoError(t, err)
	require.True(t, others)
	require.EqualValues(t, ahead+1, claim)
	put("claim", "nonsense")
	put("places", "nonsense")
	claim, _, err = one.Claim(t.Context(), "u", 0)
	require.NoError(t, err)
	require.Less(t, claim, uint64(ahead))
	require.True(t, reserve(t, one, "u", "b", 1))
	require.EqualValues(t, 2, one.Stats().Skipped)
}

// Nothing is left of places that were given back.
func TestNothingStaysOfPlaces(t *testing.T) {
	t.Parallel()
	server := natsrig.Single(t)
	one, _ := places(t, nats.Options{URL: server.URL}, time.Minute)
	require.True(t, reserve(t, one, "u", "a", 1))
	require.NoError(t, one.Apply(t.Context(), []cluster.PlaceChange{{User: "u", Client: "a", Left: true}}))
	s := stream(t, server, one.bucket)
	testkit.Eventually(t, func() bool {
		info, err := s.Info(t.Context())
		return err == nil && info.State.Msgs == 0
	}, "an empty bucket")
}

// Renewals of many users take few round trips, and go on beside others.
func TestManyUsersAreRenewedAtOnce(t *testing.T) {
	t.Parallel()
	one, two := places(t, single(t), time.Minute)
	var changes []cluster.PlaceChange
	for n := range 1000 {
		changes = append(changes, cluster.PlaceChange{User: fmt.Sprint(n % 700), Client: fmt.Sprint(n)})
	}
	var wg sync.WaitGroup
	for _, p := range []*Places{one, two} {
		wg.Go(func() {
			if err := p.Apply(t.Context(), changes); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for user := range 700 {
		limit := 1
		if user < 300 {
			limit = 2
		}
		require.False(t, reserve(t, one, fmt.Sprint(user), "x", limit))
		require.True(t, reserve(t, one, fmt.Sprint(user), fmt.Sprint(user), limit))
	}
}

// Nobody waits for places that are known to be out of reach.
func TestPlacesOutOfReachAreAnError(t *testing.T) {
	t.Parallel()
	proxy := tcpproxy.New(t, natsrig.Single(t).Addr)
	one, _ := places(t, nats.Options{URL: proxy.Addr}, time.Minute)
	require.True(t, reserve(t, one, "u", "a", 1))
	proxy.Refuse(t, true)
	proxy.Cut()
	testkit.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := one.Reserve(ctx, "u", "b", 1)
		return err != nil && one.bucket.ready() != nil
	}, "the loss is noticed")
	began := time.Now()
	_, err := one.Reserve(context.Background(), "u", "b", 1)
	require.ErrorIs(t, err, broker.ErrUnavailable)
	_, _, err = one.Claim(context.Background(), "u", 0)
	require.ErrorIs(t, err, broker.ErrUnavailable)
	require.Less(t, time.Since(began), 20*time.Second)
	require.Error(t, one.Apply(t.Context(), []cluster.PlaceChange{{User: "u", Client: "a"}}))
	proxy.Refuse(t, false)
	testkit.Eventually(t, func() bool { return one.bucket.ready() == nil }, "a connection")
	require.False(t, reserve(t, one, "u", "b", 1))
}

// Changes whose outcome nobody knows are no less than that.
func TestPlacesOfUnknownOutcome(t *testing.T) {
	t.Parallel()
	server := natsrig.Single(t)
	one, _ := places(t, nats.Options{URL: server.URL}, time.Minute)
	require.True(t, reserve(t, one, "u", "a", 1))
	server.Freeze(t)
	_, err := one.Reserve(within(t, 100*time.Millisecond), "u", "b", 1)
	require.Error(t, err)
	server.Thaw(t)
	testkit.Eventually(t, func() bool {
		return one.Apply(within(t, time.Second), []cluster.PlaceChange{{User: "u", Client: "b", Left: true}, {User: "u", Client: "a", Left: true}}) == nil
	}, "it goes on")
	require.True(t, reserve(t, one, "u", "c", 1))
}
