package sse

import (
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/auth"
	"sluice/gateway/session"
)

func planOf(user string) *session.PlanRequest {
	return &session.PlanRequest{Identity: &auth.Identity{User: user, ExpireAt: 5}, Client: session.NewID(), MayRequest: true}
}

// mustIssue returns a ticket that there is room for.
func mustIssue(t *testing.T, store *tickets, plan *session.PlanRequest, address uint64, now time.Time) string {
	t.Helper()
	key, full := store.issue(plan, address, now)
	require.NotEmpty(t, key)
	require.False(t, full)
	return key
}

// good reports whether a ticket is, and uses it up.
func good(store *tickets, key string, now time.Time) bool {
	var got session.PlanRequest
	return store.redeem(key, &got, now) == nil
}

func TestTicketIsGoodOnceAndFor30Seconds(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	store := &tickets{}
	f := func(key string, at time.Duration, want *session.PlanRequest) {
		t.Helper()
		var got session.PlanRequest
		err := store.redeem(key, &got, now.Add(at))
		if want == nil {
			require.ErrorIs(t, err, codec.DisconnectInvalidToken)
			require.Equal(t, session.PlanRequest{}, got, "nothing comes of a bad ticket")
			return
		}
		require.NoError(t, err)
		require.Equal(t, *want, got)
	}
	a, b := planOf("a"), planOf("b")
	b.MayRequest = false
	keyA, keyB, keyC := mustIssue(t, store, a, 1, now), mustIssue(t, store, b, 1, now), mustIssue(t, store, a, 1, now)
	require.NotEqual(t, keyA, keyC)
	require.GreaterOrEqual(t, len(keyA), 26, "128 bits")
	f(keyA, 0, a)
	f(keyA, 0, nil)
	f(keyB, 30*time.Second-1, b)
	f(keyC, 30*time.Second, nil)
	f(keyC, 0, nil)
	f("", 0, nil)
	f("made up", 0, nil)
}

func TestTicketsDoNotFollowTheWallClock(t *testing.T) {
	store := &tickets{}
	key := mustIssue(t, store, planOf("a"), 1, time.Now())
	due := store.held.Value(key).due
	require.NotEqual(t, due.Round(0), due, "the monotonic reading was lost")
}

// A user, and likewise an address, with too many tickets loses its own oldest
// ones, and nobody else loses any.
func TestTooManyTicketsOfOneOwnerEndItsOldest(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	big := planOf("u")
	big.Headers = []auth.Header{{Name: "x", Value: strings.Repeat("v", userTicketBytes/10)}}
	small := planOf("u")
	for _, c := range []struct {
		name string
		plan func(i int) *session.PlanRequest
		most int
		why  string
		at   func(i int) uint64
	}{
		{"user by number", func(int) *session.PlanRequest { return small }, userTickets, "user", func(i int) uint64 { return uint64(i) + 2 }},
		{"user by bytes", func(int) *session.PlanRequest { return big }, 9, "user", func(i int) uint64 { return uint64(i) + 2 }},
		{"address by number", func(i int) *session.PlanRequest { return planOf(strconv.Itoa(i)) }, addressTickets, "address", func(int) uint64 { return 2 }},
		{"address of nobody", func(int) *session.PlanRequest { return planOf("") }, addressTickets, "address", func(int) uint64 { return 2 }},
		{"address by bytes", func(i int) *session.PlanRequest {
			p := planOf(strconv.Itoa(i))
			p.Headers = big.Headers
			return p
		}, addressTicketBytes / ticketBytes(big), "address", func(int) uint64 { return 2 }},
	} {
		store := &tickets{}
		other := mustIssue(t, store, planOf("other"), 1, now)
		var keys []string
		for i := range c.most {
			keys = append(keys, mustIssue(t, store, c.plan(i), c.at(i), now))
		}
		require.Zero(t, store.stats().Dropped[c.why], c.name)
		for i := range 3 {
			keys = append(keys, mustIssue(t, store, c.plan(c.most+i), c.at(c.most+i), now))
		}
		require.Equal(t, uint64(3), store.stats().Dropped[c.why], c.name)
		require.Equal(t, c.most+1, store.stats().Waiting, c.name)
		for i, key := range keys {
			require.Equal(t, i >= 3, good(store, key, now), "%s %d", c.name, i)
		}
		require.True(t, good(store, other, now), c.name)
		requireEmpty(t, store)
	}
}

// requireEmpty checks that a store without tickets holds nothing.
func requireEmpty(t *testing.T, store *tickets) {
	t.Helper()
	require.Zero(t, store.all)
	require.Zero(t, store.held.Len()+store.users.Len()+store.addresses.Len())
	require.Zero(t, store.stats().Bytes)
}

// When there is no room, the address that holds the most makes some: ten that
// fill the store lock nobody out.
func TestAFullStoreOfFewOwnersTurnsNobodyAway(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	store := &tickets{}
	greedy := make(map[uint64][]string)
	for i := range maxTickets {
		address := uint64(1 + i%10)
		greedy[address] = append(greedy[address], mustIssue(t, store, planOf(""), address, now))
	}
	require.Equal(t, maxTickets, store.stats().Waiting)
	var keys []string
	for i := range 1000 {
		keys = append(keys, mustIssue(t, store, planOf(strconv.Itoa(i)), uint64(100+i%50), now))
	}
	require.Equal(t, uint64(1000), store.stats().Dropped["crowd"])
	for _, key := range keys {
		require.True(t, good(store, key, now))
	}
	lost := 0
	for _, keys := range greedy {
		for _, key := range keys {
			if !good(store, key, now) {
				lost++
			}
		}
	}
	require.Equal(t, 1000, lost)
	requireEmpty(t, store)
}

// 503 is for real exhaustion: as many owners as there is room for.
func TestAStoreFullOfManyOwnersRefuses(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	store := &tickets{}
	plan := planOf("")
	first := mustIssue(t, store, plan, 1, now)
	for i := 1; i < maxTickets; i++ {
		mustIssue(t, store, plan, uint64(i+1), now)
	}
	key, full := store.issue(plan, maxTickets+1, now)
	require.Empty(t, key)
	require.True(t, full)
	require.Equal(t, uint64(1), store.stats().Dropped["no_room"])

	again := mustIssue(t, store, plan, 1, now)
	require.False(t, good(store, first, now), "who holds one already gives that up")
	require.True(t, good(store, again, now))
	mustIssue(t, store, plan, maxTickets+1, now)
	mustIssue(t, store, plan, 5, now.Add(ticketLife))
	require.Equal(t, 1, store.stats().Waiting, "those that are too old make room")
}

func TestATicketThatStandsForTooMuchIsRefused(t *testing.T) {
	store := &tickets{}
	plan := planOf("u")
	plan.Identity.Subs = make([]auth.SubGrant, userTicketBytes/int(unsafe.Sizeof(auth.SubGrant{})))
	key, full := store.issue(plan, 1, time.Now())
	require.Empty(t, key)
	require.False(t, full, "to try again is no use")
	require.Equal(t, map[string]uint64{"user": 0, "address": 0, "crowd": 0, "no_room": 0, "too_large": 1}, store.stats().Dropped)
	requireEmpty(t, store)
}

// What a ticket counts for is what it keeps, within reason.
func TestTicketsCountForTheirMemory(t *testing.T) {
	const n = 20_000
	store := &tickets{}
	now := time.Now()
	before := heapBytes()
	for i := range n {
		plan := planOf("user-" + strconv.Itoa(i))
		plan.Headers = []auth.Header{{Name: "cookie", Value: strings.Repeat("v", 100+i%2)}}
		mustIssue(t, store, plan, uint64(i/100), now)
	}
	held := float64(heapBytes()-before) / n
	counted := float64(store.stats().Bytes) / n
	require.InEpsilon(t, held, counted, 0.5, "counted %.0f B of %.0f B a ticket", counted, held)
	runtime.KeepAlive(store)
}

func heapBytes() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// The lists agree with a plain model, whatever is issued and redeemed.
func TestTicketsAgreeWithAModel(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	store := &tickets{}
	now := time.Unix(1_000_000, 0)
	live := map[string]time.Time{}
	var keys []string
	for range 20_000 {
		now = now.Add(time.Duration(rnd.IntN(40)) * time.Millisecond)
		switch {
		case rnd.IntN(3) > 0 || len(keys) == 0:
			// Few enough of each owner that no limit is reached.
			key := mustIssue(t, store, planOf([]string{"", strconv.Itoa(rnd.IntN(1000))}[rnd.IntN(2)]), uint64(rnd.IntN(5)), now)
			keys, live[key] = append(keys, key), now.Add(ticketLife)
		default:
			key := keys[rnd.IntN(len(keys))]
			require.Equal(t, now.Before(live[key]), good(store, key, now))
			delete(live, key)
		}
	}
	require.Zero(t, store.stats().Dropped["user"]+store.stats().Dropped["address"], "the model knows no limits")
	mustIssue(t, store, planOf(""), 0, now.Add(ticketLife))
	require.Equal(t, 1, store.all.n)
	require.Equal(t, 1, store.held.Len())
	require.Equal(t, 1, store.addresses.Len())
	require.Zero(t, store.users.Len())
}
