package clustertest

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/cluster"
	"sluice/gateway/testkit"
)

// PlacesOf returns the places of two nodes of one fleet, which nobody has used before.
type PlacesOf func(t *testing.T, ttl time.Duration) (one, two cluster.Places)

// Places judges whatever keeps the places of users.
func Places(t *testing.T, places PlacesOf) {
	for name, test := range map[string]func(*testing.T, PlacesOf){
		"PlacesAreCountedOnAllNodes":    placesAreCountedOnAllNodes,
		"PlacesEndUnlessTheyAreRenewed": placesEndUnlessTheyAreRenewed,
		"ARefusalForGoodNeedsARenewal":  aRefusalForGoodNeedsARenewal,
		"ALimitIsNeverExceeded":         aLimitIsNeverExceeded,
		"ALateClaimIsAsOldAsItWas":      aLateClaimIsAsOldAsItWas,
		"ClaimsIncreaseOnAllNodes":      claimsIncreaseOnAllNodes,
	} {
		t.Run(name, func(t *testing.T) { test(t, places) })
	}
}

func reserve(t *testing.T, p cluster.Places, user, client string, limit int) bool {
	t.Helper()
	var place cluster.Place
	testkit.Eventually(t, func() (done bool) { // until the connection stands
		var err error
		place, err = p.Reserve(t.Context(), user, client, limit)
		return err == nil
	}, "an answer")
	return place == cluster.PlaceTaken
}

func placesAreCountedOnAllNodes(t *testing.T, places PlacesOf) {
	one, two := places(t, time.Minute)
	for _, user := range []string{"u", "}{", "ü x"} {
		require.True(t, reserve(t, one, user, "a", 2))
		require.True(t, reserve(t, two, user, "b", 2))
		require.False(t, reserve(t, one, user, "c", 2))
		require.True(t, reserve(t, one, user, "b", 2), "it has one")
		require.True(t, reserve(t, one, user, "c", 0), "without a limit")
		require.False(t, reserve(t, two, user, "d", 3))
		require.NoError(t, one.Apply(t.Context(), []cluster.PlaceChange{
			{User: user, Client: "a", Left: true}, {User: user, Client: "c"}, {User: user, Client: "c", Left: true}, {User: "other", Client: "x"},
		}))
		require.True(t, reserve(t, two, user, "d", 2))
		require.False(t, reserve(t, two, user, "a", 2))
		require.False(t, reserve(t, one, "other", "y", 1), "a renewal takes a place that was lost")
		require.NoError(t, two.Apply(t.Context(), []cluster.PlaceChange{{User: "other", Client: "x", Left: true}}))
	}
	require.NoError(t, one.Apply(t.Context(), nil))
}

func placesEndUnlessTheyAreRenewed(t *testing.T, places PlacesOf) {
	one, two := places(t, 500*time.Millisecond)
	require.True(t, reserve(t, one, "u", "dead", 2))
	require.True(t, reserve(t, two, "u", "alive", 2))
	testkit.Eventually(t, func() bool {
		require.NoError(t, two.Apply(t.Context(), []cluster.PlaceChange{{User: "u", Client: "alive"}}))
		return reserve(t, two, "u", "next", 2)
	}, "the place of a node that died")
	require.False(t, reserve(t, one, "u", "dead", 2), "who is renewed keeps its place")
}

// Nobody is refused for good on account of a node that may have died: only when all who
// have a place were heard of since.
func aRefusalForGoodNeedsARenewal(t *testing.T, places PlacesOf) {
	one, two := places(t, 2*time.Second)
	ask := func(client string) cluster.Place {
		place, err := two.Reserve(t.Context(), "u", client, 2)
		require.NoError(t, err)
		return place
	}
	renew := func(client string) {
		time.Sleep(2 * time.Millisecond) // the server's clock counts so
		require.NoError(t, one.Apply(t.Context(), []cluster.PlaceChange{{User: "u", Client: client}}))
	}
	require.True(t, reserve(t, one, "u", "a", 2))
	require.True(t, reserve(t, one, "u", "b", 2))
	require.True(t, reserve(t, two, "other", "x", 2))
	require.Equal(t, cluster.PlaceDoubtful, ask("c"))
	renew("a")
	require.Equal(t, cluster.PlaceDoubtful, ask("c"), "b may be gone")
	renew("b")
	require.Equal(t, cluster.PlaceRefused, ask("c"))
	require.Equal(t, cluster.PlaceDoubtful, ask("c"), "who comes later may have lost its own place")
	testkit.Eventually(t, func() bool {
		renew("a")
		return ask("c") == cluster.PlaceTaken
	}, "b was gone")
}

// However many connect at the same time, no more than the limit get in.
func aLimitIsNeverExceeded(t *testing.T, places PlacesOf) {
	one, two := places(t, time.Minute)
	reserve(t, one, "warm", "up", 0)
	reserve(t, two, "warm", "up", 0)
	var wg sync.WaitGroup
	in := make(chan string, 100)
	for i := range 100 {
		wg.Go(func() {
			p := []cluster.Places{one, two}[i%2]
			if place, err := p.Reserve(t.Context(), "u", fmt.Sprint(i), 7); err == nil && place == cluster.PlaceTaken {
				in <- fmt.Sprint(i)
			}
		})
	}
	wg.Wait()
	require.Len(t, in, 7)
}

// A claim that is made late has its place among those that were made meanwhile.
func aLateClaimIsAsOldAsItWas(t *testing.T, places PlacesOf) {
	one, two := places(t, time.Minute)
	reserve(t, one, "u", "x", 0)
	claim := func(p cluster.Places, age time.Duration) uint64 {
		n, _, err := p.Claim(t.Context(), "u", age)
		require.NoError(t, err)
		return n
	}
	before := claim(one, 0)
	due := time.Now()
	time.Sleep(2 * time.Millisecond) // the server's clock counts so
	after := claim(two, 0)
	time.Sleep(2 * time.Millisecond)
	late := claim(one, time.Since(due))
	require.Greater(t, late, before)
	require.Less(t, late, after)
	require.Greater(t, claim(one, 0), after, "it is no reason to forget a later one")
	reserve(t, two, "v", "x", 0)
	first, others, err := two.Claim(t.Context(), "v", time.Minute)
	require.NoError(t, err)
	require.False(t, others)
	second, _, err := one.Claim(t.Context(), "v", time.Millisecond)
	require.NoError(t, err)
	require.Greater(t, second, first)
}

func claimsIncreaseOnAllNodes(t *testing.T, places PlacesOf) {
	one, two := places(t, time.Minute)
	reserve(t, one, "u", "x", 0)
	reserve(t, two, "u", "x", 0)
	first, others, err := one.Claim(t.Context(), "u", 0)
	require.NoError(t, err)
	require.False(t, others)
	require.Greater(t, first, uint64(time.Now().Add(-time.Hour).UnixMicro()))
	_, others, err = two.Claim(t.Context(), "another", 0)
	require.NoError(t, err)
	require.False(t, others)
	var mu sync.Mutex
	var all []uint64
	var wg sync.WaitGroup
	for _, p := range []cluster.Places{one, two} {
		wg.Go(func() {
			last := first
			for range 50 {
				claim, others, err := p.Claim(t.Context(), "u", 0)
				if err != nil || !others || claim <= last {
					t.Errorf("claim %d behind %d, others %v: %v", claim, last, others, err)
					return
				}
				last = claim
				mu.Lock()
				all = append(all, claim)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.Sort(all)
	require.Len(t, slices.Compact(all), 100)
}
