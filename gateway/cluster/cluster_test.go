package cluster_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/broker"
	"sluice/gateway/cluster"
)

func user(name string) cluster.Target { return cluster.Target{User: name} }

func TestACommandIsCarriedOutOnceOnEveryNode(t *testing.T) {
	run(t, 3, func(t *testing.T, fl *fleet) {
		fl.net.Double(true)
		data, err := codec.Compact([]byte(`{"a":"<&>"}`), codec.Limits{})
		require.NoError(t, err)
		n0 := fl.members[0]
		for _, call := range []func(ctx context.Context) ([]string, error){
			func(ctx context.Context) ([]string, error) {
				return n0.Subscribe(ctx, &cluster.Subscribe{Target: user("42"), Channel: "news", Data: data})
			},
			func(ctx context.Context) ([]string, error) {
				return n0.Unsubscribe(ctx, &cluster.Unsubscribe{Target: user("42"), Channel: "news"})
			},
			func(ctx context.Context) ([]string, error) {
				return n0.Refresh(ctx, &cluster.Refresh{Target: user("42"), ExpireAt: 7, Info: data})
			},
			func(ctx context.Context) ([]string, error) {
				return n0.Disconnect(ctx, &cluster.Disconnect{Target: user("42"), Code: 4001, Reason: "bye", Whitelist: []string{"c1"}})
			},
		} {
			began := time.Now()
			silent, err := call(t.Context())
			require.NoError(t, err)
			require.Empty(t, silent)
			require.Zero(t, time.Since(began), "nobody is waited for who has answered")
		}
		synctest.Wait()
		for _, m := range fl.members {
			require.Equal(t, []string{`subscribe 42 news {"a":"<&>"}`, "unsubscribe 42 news", `refresh 42 7 {"a":"<&>"}`, "disconnect 42 4001 bye [c1]"}, m.local.done())
		}
		require.NotZero(t, n0.Stats().Skipped["repeated"])
	})
}

func TestAnEvictionIsForTheOthersAndWaitsForNobody(t *testing.T) {
	run(t, 3, func(t *testing.T, fl *fleet) {
		require.NoError(t, fl.members[1].Evict(t.Context(), &cluster.Evict{User: "42", Keep: "c", Claim: 1<<63 + 1}))
		synctest.Wait()
		require.Empty(t, fl.members[1].local.done())
		require.Equal(t, []string{"evict 42 c 9223372036854775809"}, fl.members[0].local.done())
		require.Equal(t, []string{"evict 42 c 9223372036854775809"}, fl.members[2].local.done())
	})
}

func TestASurveyAddsUpAllNodes(t *testing.T) {
	run(t, 3, func(t *testing.T, fl *fleet) {
		for i, m := range fl.members {
			m.local.channels = []cluster.Channel{{Name: "news", Clients: 1}, {Name: fmt.Sprint("own", i), Clients: 2}, {Name: `odd"` + "\x01é", Clients: 1}}
		}
		all, silent, err := fl.members[0].Channels(t.Context(), "")
		require.NoError(t, err)
		require.Empty(t, silent)
		require.ElementsMatch(t, []cluster.Channel{{Name: "news", Clients: 3}, {Name: `odd"` + "\x01é", Clients: 3}, {Name: "own0", Clients: 2}, {Name: "own1", Clients: 2}, {Name: "own2", Clients: 2}}, all)
		some, _, err := fl.members[1].Channels(t.Context(), "own*")
		require.NoError(t, err)
		require.Len(t, some, 3)

		nodes, silent, err := fl.members[2].Nodes(t.Context())
		require.NoError(t, err)
		require.Empty(t, silent)
		require.Len(t, nodes, 3)
		require.Equal(t, cluster.Info{UID: "uid-n2", Name: "n2", Version: "1", Counts: cluster.Counts{Clients: 2}}, nodes[0])
	})
}

func TestALongAnswerComesInParts(t *testing.T) {
	run(t, 2, func(t *testing.T, fl *fleet) {
		const many = 30_000
		var tooLarge atomic.Int64
		fl.net.Lose(func(_, _, _ string, payload []byte) bool {
			if len(payload) > 300<<10 {
				tooLarge.Add(1)
			}
			return false
		})
		for i := range many {
			fl.members[1].local.channels = append(fl.members[1].local.channels, cluster.Channel{Name: fmt.Sprintf("news:%050d", i), Clients: 1})
		}
		all, silent, err := fl.members[0].Channels(t.Context(), "")
		require.NoError(t, err)
		require.Empty(t, silent)
		require.Len(t, all, many)
		require.Zero(t, tooLarge.Load())
		require.Greater(t, fl.members[1].Stats().Sent["answer"], uint64(5))
	})
}

func TestAnAnswerThatIsTooLongIsRefusedByName(t *testing.T) {
	run(t, 2, func(t *testing.T, fl *fleet) {
		name := strings.Repeat("n", 1<<20)
		for i := range 33 {
			fl.members[1].local.channels = append(fl.members[1].local.channels, cluster.Channel{Name: fmt.Sprint(name, i)})
		}
		_, _, err := fl.members[0].Channels(t.Context(), "")
		var known *codec.Error
		require.ErrorAs(t, err, &known)
		require.Equal(t, codec.ErrLimitExceeded.Code, known.Code)
		_, err = fl.members[0].Disconnect(t.Context(), &cluster.Disconnect{Target: user(strings.Repeat(name, 5))})
		require.ErrorIs(t, err, cluster.ErrTooLarge)
	})
}

func TestWhoIsSilentIsNamedAndWaitedForOnce(t *testing.T) {
	run(t, 3, func(t *testing.T, fl *fleet) {
		fl.members[2].carrier.Freeze(true)
		ask := func() (silent []string, took time.Duration) {
			began := time.Now()
			silent, err := fl.members[0].Disconnect(t.Context(), &cluster.Disconnect{Target: user("42")})
			require.NoError(t, err)
			return silent, time.Since(began)
		}
		silent, took := ask()
		require.Equal(t, []string{"n2"}, silent)
		require.Equal(t, time.Second, took, "as long as a survey may take")
		silent, took = ask()
		require.Equal(t, []string{"n2"}, silent)
		require.Zero(t, took, "it is not waited for again")
		require.Equal(t, 1, fl.members[0].Stats().Silent)

		// What it announces itself by says that it is there again.
		fl.members[2].carrier.Freeze(false)
		synctest.Wait()
		require.Zero(t, fl.members[0].Stats().Silent)
		fl.members[2].carrier.Freeze(true)
		_, took = ask()
		require.Equal(t, time.Second, took)

		fl.members[2].carrier.Freeze(false)
		time.Sleep(4 * time.Second)
		require.Len(t, fl.members[2].local.done(), 3, "what waited is carried out")
		silent, took = ask()
		require.Empty(t, silent)
		require.Zero(t, took)
	})
}

func TestANodeThatBreaksIsNoEndOfTheOthers(t *testing.T) {
	run(t, 3, func(t *testing.T, fl *fleet) {
		fl.members[1].local.set(func(l *local) { l.panics = true })
		_, err := fl.members[0].Disconnect(t.Context(), &cluster.Disconnect{Target: user("42")})
		require.ErrorContains(t, err, "node n1: ")
		_, silent, err := fl.members[0].Channels(t.Context(), "")
		require.NoError(t, err, "what others answer is worth something")
		require.Equal(t, []string{"n1"}, silent)

		fl.members[1].local.set(func(l *local) { l.panics, l.fail = false, fmt.Errorf("no room: %w", codec.ErrTooManyRequests) })
		_, err = fl.members[0].Subscribe(t.Context(), &cluster.Subscribe{Target: user("42"), Channel: "x"})
		var known *codec.Error
		require.ErrorAs(t, err, &known)
		require.Equal(t, codec.ErrTooManyRequests.Code, known.Code)

		fl.members[0].local.set(func(l *local) { l.fail = broker.ErrNoHistory })
		_, err = fl.members[0].Subscribe(t.Context(), &cluster.Subscribe{Target: user("42"), Channel: "x"})
		require.ErrorIs(t, err, broker.ErrNoHistory, "its own error comes first")
	})
}

// What another node cannot take is an error, not a node that does not answer.
func TestContentThatANodeDoesNotTakeIsTold(t *testing.T) {
	run(t, 2, func(t *testing.T, fl *fleet) {
		deep, err := codec.Compact([]byte(strings.Repeat("[", 200)+strings.Repeat("]", 200)), codec.Limits{Depth: 200})
		require.NoError(t, err)
		silent, err := fl.members[0].Subscribe(t.Context(), &cluster.Subscribe{Target: user("42"), Channel: "x", Data: deep})
		require.ErrorContains(t, err, "node n1: this node does not take the content")
		require.Empty(t, silent)
	})
}

func TestACommandThatReachesNobodyIsNoSuccess(t *testing.T) {
	run(t, 2, func(t *testing.T, fl *fleet) {
		n0 := fl.members[0]
		n0.carrier.Down(true)
		_, err := n0.Disconnect(t.Context(), &cluster.Disconnect{Target: user("42")})
		require.ErrorIs(t, err, broker.ErrUnavailable)
		require.ErrorIs(t, err, broker.ErrUnknown, "a part of it was done")
		require.Len(t, n0.local.done(), 1, "here it was done")
		n0.carrier.Down(false)

		fl.net.Split([]string{"n1"}) // n0 hears nothing, itself included
		_, err = n0.Disconnect(t.Context(), &cluster.Disconnect{Target: user("42")})
		require.ErrorIs(t, err, cluster.ErrCutOff)
		require.ErrorIs(t, err, broker.ErrUnknown)
		require.NoError(t, n0.Ready())
		time.Sleep(20 * time.Second)
		require.ErrorContains(t, n0.Ready(), "has not heard itself")
		fl.knows(2, 1)
		fl.net.Lose(nil)
		time.Sleep(4 * time.Second)
		require.NoError(t, n0.Ready())
		fl.knows(2, 2)
	})
}

func TestACallerWhoHasNoTimeIsNotHeldUp(t *testing.T) {
	run(t, 2, func(t *testing.T, fl *fleet) {
		fl.members[1].carrier.Freeze(true)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		began := time.Now()
		silent, err := fl.members[0].Disconnect(ctx, &cluster.Disconnect{Target: user("42")})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, []string{"n1"}, silent)
		require.Equal(t, 100*time.Millisecond, time.Since(began))
		require.Zero(t, fl.members[0].Stats().Silent, "it had no chance")
	})
}

func TestANodeThatIsAloneCostsNothing(t *testing.T) {
	l := &local{name: "alone"}
	c := cluster.New(cluster.Options{UID: "a", Local: l})
	c.Start()
	require.NoError(t, c.Ready())
	silent, err := c.Disconnect(t.Context(), &cluster.Disconnect{Target: user("42"), Code: 1})
	require.NoError(t, err)
	require.Empty(t, silent)
	require.NoError(t, c.Evict(t.Context(), &cluster.Evict{User: "42"}))
	require.Equal(t, []string{"disconnect 42 1  []"}, l.done())
	nodes, _, err := c.Nodes(t.Context())
	require.NoError(t, err)
	require.Len(t, nodes, 1)
	require.Equal(t, 1, c.Stats().Nodes)
	require.NoError(t, c.Close(t.Context()))
}
