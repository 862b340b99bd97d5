package presencetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/presence"
)

func emptyChannel(t *testing.T, s Subject) {
	m := s.open(t, 0)
	expect(t, m, "empty")
	apply(t, m)
	apply(t, m, gone("empty", Client("a", 1)))
	expect(t, m, "empty")
	apply(t, m, here("empty", Client("a", 1)), gone("empty", Client("a", 1)))
	expect(t, m, "empty")
}

func infos(t *testing.T, s Subject) {
	m := s.open(t, 0)
	all := make([]*codec.ClientInfo, 0, 7)
	for n := range 6 { // with and without each of the infos
		all = append(all, Client("u", n))
	}
	large, err := codec.Compact([]byte(`{"text":"`+fmt.Sprintf("%016384d", 1)+`","a":[null,true,1.5e3,"\u0000 é \ud83d\ude00"]}`), codec.Limits{})
	require.NoError(t, err)
	all = append(all, &codec.ClientInfo{User: "large", Client: "c", ConnInfo: large, ChanInfo: large})
	for _, info := range all {
		apply(t, m, here("infos", info))
	}
	expect(t, m, "infos", all...)
}

func idempotent(t *testing.T, s Subject) {
	m := s.open(t, 0)
	a, b := Client("u", 2), Client("u", 4)
	for range 3 {
		apply(t, m, here("same", a), here("same", b), here("same", a))
		expect(t, m, "same", a, b)
	}
	renamed := *a
	renamed.ConnInfo = codec.QuoteJSON("another")
	apply(t, m, here("same", &renamed))
	expect(t, m, "same", &renamed, b)
	for range 3 {
		apply(t, m, gone("same", a), gone("same", a))
		expect(t, m, "same", b)
	}
	apply(t, m, gone("same", b))
	expect(t, m, "same")
}

func order(t *testing.T, s Subject) {
	m := s.open(t, 0)
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		channel := fmt.Sprint("order ", seed)
		last := make(map[int]presence.Change)
		for range 1 + r.IntN(4) { // calls
			var changes []presence.Change
			for range r.IntN(60) {
				n := r.IntN(6)
				c := here(channel, Client(fmt.Sprint(n%2), n))
				if c.Left = r.IntN(2) == 0; !c.Left && r.IntN(2) == 0 {
					renamed := *c.Info
					renamed.ConnInfo = codec.QuoteJSON(fmt.Sprint(r.IntN(100)))
					c.Info = &renamed
				}
				last[n] = c
				changes = append(changes, c)
			}
			apply(t, m, changes...)
		}
		var want []*codec.ClientInfo
		for _, c := range last {
			if !c.Left {
				want = append(want, c.Info)
			}
		}
		expect(t, m, channel, want...)
	}
}

func batch(t *testing.T, s Subject) {
	const channels, each = 300, 12
	m := s.open(t, 0)
	name := func(i int) string { return fmt.Sprintf("batch:%d", i) }
	var come, leave []presence.Change
	for n := range each {
		for i := range channels {
			c := here(name(i), Client(fmt.Sprint("u", n%5), n))
			come = append(come, c)
			if c.Left = n%2 == 1; c.Left {
				leave = append(leave, c)
			}
		}
	}
	apply(t, m, come...)
	for i := range channels {
		require.Equal(t, presence.Stats{Clients: each, Users: 5}, stats(t, m, name(i)))
	}
	apply(t, m, append(leave, come[:channels]...)...)
	for i := range channels {
		got := clients(t, m, name(i))
		require.Len(t, got, each/2, "%v", ids(got))
		for n := 0; n < each; n += 2 {
			require.Contains(t, got, Client("", n).Client)
		}
	}
}

// odd are names that some store could take for something else.
var odd = []string{
	"{", "}", "{}", "{a}b", "a{b}c", "}{", "a{", "*", "[a]", "a b", "a:b", "$x:#1,2", `"'\`, "a\x00b", "é", "日本", "a.b..c", "-", "presence", "\xff",
}

func oddNames(t *testing.T, s Subject) {
	m := s.open(t, 0)
	var changes []presence.Change
	text := func(name string) string { return strings.ToValidUTF8(name, "?") } // as users and clients are
	for i, name := range odd {
		changes = append(changes, here(name, &codec.ClientInfo{User: text(odd[len(odd)-1-i]), Client: text("c " + name)}))
	}
	err := m.Apply(t.Context(), changes)
	if s.Refuses == nil {
		s.Refuses = func(string) bool { return false }
	}
	require.Equal(t, slices.ContainsFunc(odd, s.Refuses), err != nil, "%v", err)
	for i, name := range odd {
		if s.Refuses(name) {
			_, err := m.Presence(t.Context(), name)
			require.Error(t, err)
			continue
		}
		got := clients(t, m, name)
		require.Len(t, got, 1, "%q: %v", name, ids(got))
		require.Equal(t, changes[i].Info, got[text("c "+name)])
	}
}

func users(t *testing.T, s Subject) {
	m := s.open(t, 0)
	anonymous, other, a, b := Client("", 1), Client("", 2), Client("a", 3), Client("b", 5)
	again := Client("a", 4)
	apply(t, m, here("users", anonymous), here("users", other), here("users", a), here("users", again), here("users", b))
	expect(t, m, "users", anonymous, other, a, again, b)
	for range 2 { // a renewal makes no second client of its user
		apply(t, m, here("users", a), here("users", anonymous))
	}
	apply(t, m, gone("users", anonymous), gone("users", a))
	expect(t, m, "users", other, again, b)
	apply(t, m, gone("users", other), gone("users", again))
	expect(t, m, "users", b)
	apply(t, m, here("users", a), gone("users", b))
	expect(t, m, "users", a)
}

// hugeClients are more than one reply of a store should hold.
const hugeClients = 5000

func huge(t *testing.T, s Subject) {
	m := s.open(t, 0)
	all := make([]*codec.ClientInfo, hugeClients)
	changes := make([]presence.Change, 0, hugeClients)
	for n := range all {
		all[n] = Client(fmt.Sprint("u", n%700), n)
		changes = append(changes, here("huge", all[n]))
	}
	apply(t, m, changes...)
	expect(t, m, "huge", all...)
	for i := range changes {
		changes[i].Left = true
	}
	apply(t, m, changes[1:]...)
	expect(t, m, "huge", all[0])
}

func concurrent(t *testing.T, s Subject) {
	const callers, rounds = 8, 20
	m := s.open(t, 0)
	var wg sync.WaitGroup
	failed := make(chan error, callers)
	for caller := range callers {
		wg.Go(func() {
			mine, twin := Client("u", caller), Client("v", callers+caller)
			for round := range rounds {
				changes := []presence.Change{here("busy", mine), here("busy", twin)}
				changes[1].Left = round%2 == 1
				if err := m.Apply(t.Context(), changes); err != nil {
					failed <- err
					return
				}
				list, err := m.Presence(t.Context(), "busy")
				if err != nil {
					failed <- err
					return
				}
				seen := 0
				for _, info := range list {
					if info.Client == mine.Client || info.Client == twin.Client {
						seen++
					}
				}
				if want := 2 - round%2; seen != want {
					failed <- fmt.Errorf("caller %d, round %d: %d of its clients are there, want %d", caller, round, seen, want)
					return
				}
			}
		})
	}
	wg.Wait()
	close(failed)
	require.NoError(t, <-failed)
	require.Equal(t, presence.Stats{Clients: callers, Users: 1}, stats(t, m, "busy"))
}
