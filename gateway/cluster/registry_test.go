package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/cluster"
	"sluice/gateway/cluster/clustertest"
)

func TestANewcomerKnowsEverybodyAtOnce(t *testing.T) {
	run(t, 3, func(t *testing.T, fl *fleet) {
		fl.join("uid-n3")
		fl.knows(4, 4, 4, 4)
		began := time.Now()
		all, _, err := fl.members[3].Nodes(t.Context())
		require.NoError(t, err)
		require.Len(t, all, 4)
		require.Equal(t, time.Second, time.Since(began), "there might be more who have yet to answer")
	})
}

func TestWhoLeavesIsForgottenAtOnceAndWhoDiesAfterAWhile(t *testing.T) {
	run(t, 4, func(t *testing.T, fl *fleet) {
		require.NoError(t, fl.members[3].Close(t.Context()))
		fl.knows(3, 3, 3)
		require.Contains(t, fl.said.String(), `msg="cluster: a node is gone, it stopped" node=n3`)
		fl.net.Split([]string{"n0", "n1"}, []string{"n2"})
		time.Sleep(6 * time.Second)
		fl.knows(3, 3, 3)
		time.Sleep(6 * time.Second)
		fl.knows(2, 2, 1)
		require.EqualValues(t, 1, fl.members[0].Stats().Forgotten)
		fl.net.Lose(nil)
		time.Sleep(4 * time.Second)
		fl.knows(3, 3, 3)
		_, silent, err := fl.members[0].Nodes(t.Context())
		require.NoError(t, err)
		require.Empty(t, silent)
	})
}

func TestWhoWasStoppedForgetsNobody(t *testing.T) {
	run(t, 3, func(t *testing.T, fl *fleet) {
		n0 := fl.members[0]
		n0.carrier.Freeze(true) // nothing arrives for a minute, not even what it sent itself
		time.Sleep(time.Minute)
		fl.knows(3, 2, 2)
		n0.carrier.Freeze(false)
		fl.knows(3, 3, 3)
	})
}

func TestMessagesThatOvertakeEachOtherAreNoRepeats(t *testing.T) {
	run(t, 2, func(t *testing.T, fl *fleet) {
		slow := true
		fl.net.Delay(func(_, _, _ string) time.Duration {
			if slow = !slow; slow {
				return 40 * time.Millisecond
			}
			return 0
		})
		for i := range 50 {
			require.NoError(t, fl.members[0].Evict(t.Context(), &cluster.Evict{User: fmt.Sprint(i)}))
		}
		time.Sleep(time.Second)
		require.Len(t, fl.members[1].local.done(), 50)
		require.Zero(t, fl.members[1].Stats().Skipped["repeated"])
	})
}

func TestCommandsOfAUserAreCarriedOutInOrder(t *testing.T) {
	run(t, 2, func(t *testing.T, fl *fleet) {
		n1 := fl.members[1]
		block := make(chan struct{})
		n1.local.set(func(l *local) { l.block = block })
		var want []string
		for i := range 20 {
			require.NoError(t, fl.members[0].Evict(t.Context(), &cluster.Evict{User: "42", Claim: uint64(i)}))
			want = append(want, fmt.Sprint("evict 42  ", i))
		}
		synctest.Wait()
		close(block)
		synctest.Wait()
		require.Equal(t, want, n1.local.done())
	})
}

func TestTooManyCommandsAreRefusedByName(t *testing.T) {
	run(t, 2, func(t *testing.T, fl *fleet) {
		n1 := fl.members[1]
		block := make(chan struct{})
		n1.local.set(func(l *local) { l.block = block })
		for range 1200 {
			require.NoError(t, fl.members[0].Evict(t.Context(), &cluster.Evict{User: "42"}))
		}
		synctest.Wait()
		require.EqualValues(t, 1200-1024-1, n1.Stats().Skipped["full"])
		_, err := fl.members[0].Disconnect(t.Context(), &cluster.Disconnect{Target: user("42")})
		require.ErrorContains(t, err, "too many commands wait there")
		close(block)
		synctest.Wait()
	})
}

// forbidden is a carrier that may not be listened to at first.
type forbidden struct {
	*clustertest.Carrier
	refusals atomic.Int32
}

func (f *forbidden) Listen(ctx context.Context, subjects []string, receive func(subject string, payload []byte)) error {
	if f.refusals.Add(-1) >= 0 {
		return errors.New("not allowed")
	}
	return f.Carrier.Listen(ctx, subjects, receive)
}

func TestANodeThatMayNotListenTriesAgain(t *testing.T) {
	run(t, 1, func(t *testing.T, fl *fleet) {
		late := &forbidden{Carrier: fl.net.Carrier("late")}
		late.refusals.Store(3)
		c := cluster.New(cluster.Options{UID: "uid-late", Name: "late", Carrier: late, Local: &local{name: "late"}, Log: slog.New(slog.DiscardHandler)})
		c.Start()
		defer func() { require.NoError(t, c.Close(context.Background())) }()
		synctest.Wait()
		require.Error(t, c.Ready())
		time.Sleep(time.Minute)
		synctest.Wait()
		require.NoError(t, c.Ready())
		require.Equal(t, 2, c.Stats().Nodes)
	})
}
