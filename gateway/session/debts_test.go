package session

import (
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// single opens a stream on node i of the user u, who may have one connection, and waits
// until the node has told the other one, or tried to settle what it owes for it.
func (f *fleet) single(t *testing.T, i int) *client {
	t.Helper()
	p, err := f.plan(t, i, "u", true)
	require.NoError(t, err)
	c := f.nodes[i].openPlan(t, p)
	c.expect(t, `"connect"`)
	f.nodes[i].do(func(*Agent) {}) // the turn has ended that opened it
	testkit.Eventually(t, func() bool { return f.nodes[i].openings.Load() == 0 && f.nodes[i].settler.Idle() }, "it has told, or tried")
	return c
}

// back makes the places reachable again.
func (f *fleet) back() {
	f.places.set(false, false)
	for _, r := range f.nodes {
		r.placesPause.Store(0)
	}
}

// settle has a node tell the other what it owes, until it owes no more than so many.
func (f *fleet) settle(t *testing.T, i, owed int) {
	t.Helper()
	m := f.nodes[i].Manager
	testkit.Eventually(t, func() bool {
		m.Settle()
		return m.settler.Idle() && m.Stats().EvictionsOwed <= owed
	}, "what the node owes is told")
}

// counts waits until so many clients are open on each node: one that was told its end is
// there for a moment more.
func (f *fleet) counts(t *testing.T, one, two int) {
	t.Helper()
	testkit.Eventually(t, func() bool {
		return f.nodes[0].Counts().Clients == one && f.nodes[1].Counts().Clients == two
	}, "the connections that stay")
}

func TestOlderConnectionsEndWhenAnOutageDoes(t *testing.T) {
	f := newFleet(t, nil)
	first := f.single(t, 0)
	f.places.set(true, false)
	second := f.single(t, 1)
	require.Equal(t, 1, f.nodes[1].Stats().EvictionsOwed, "it cannot yet")
	f.counts(t, 1, 1)
	f.back()
	f.nodes[1].Settle()
	first.expect(t, "3504")
	require.Zero(t, f.nodes[1].Stats().EvictionsFailed)
	f.single(t, 0)
	second.expect(t, "3504")
	f.settle(t, 1, 0)
}

// stays checks that c, on node 0, is the only one, until the next connection on the other ends it.
func (f *fleet) stays(t *testing.T, c *client) {
	t.Helper()
	f.counts(t, 1, 0)
	f.single(t, 1)
	c.expect(t, "3504")
}

// Of connections that were opened in an outage the newest stays, whichever node is the
// first to be back.
func TestTheNewestOfAnOutageStays(t *testing.T) {
	for _, order := range [][2]int{{0, 1}, {1, 0}} {
		f := newFleet(t, nil)
		older := f.single(t, 0)
		f.places.set(true, false)
		old := f.single(t, 1)
		newest := f.single(t, 0)
		older.expect(t, "3504") // it is on the same node
		f.back()
		f.nodes[order[0]].Settle()
		testkit.Eventually(t, func() bool { return f.nodes[order[0]].settler.Idle() }, "the first is back")
		f.nodes[order[1]].Settle()
		old.expect(t, "3504")
		testkit.Eventually(t, func() bool { return f.nodes[0].settler.Idle() && f.nodes[1].settler.Idle() }, "all is settled")
		f.stays(t, newest)
	}
}

// A node that was cut off alone is told of a newer connection that it did not hear of.
func TestWhatANodeOwesEndsNothingNewer(t *testing.T) {
	f := newFleet(t, nil)
	f.places.set(true, false)
	old := f.single(t, 1)
	f.back()
	f.deaf[1].Store(true)
	newer := f.single(t, 0)
	f.deaf[1].Store(false)
	f.counts(t, 1, 1)
	f.nodes[1].Settle()
	old.expect(t, "3504")
	f.settle(t, 1, 0)
	f.stays(t, newer)
}

// A claim that is settled late and is outdated by one that this node knows ends itself.
func TestAnEvictionMeetsAConnectionThatOwes(t *testing.T) {
	f := newFleet(t, nil)
	f.places.set(true, false)
	old := f.single(t, 1)
	f.back()
	newer := f.single(t, 0)
	old.expect(t, "3504") // nobody called Settle: the eviction did
	f.settle(t, 1, 0)
	f.stays(t, newer)
}

func TestAnEvictionThatFailsIsMadeGood(t *testing.T) {
	f := newFleet(t, nil)
	f.cut[1].Store(true)
	first := f.single(t, 0)
	f.single(t, 1)
	testkit.Eventually(t, func() bool { return f.nodes[1].Stats().EvictionsOwed == 1 }, "it is owed")
	f.counts(t, 1, 1)
	f.cut[1].Store(false)
	f.nodes[1].Settle()
	first.expect(t, "3504")
	testkit.Eventually(t, func() bool { return f.nodes[1].Stats().EvictionsLate == 1 }, "it is counted")
}

// Who hears again later than the node that owes is told once more.
func TestOtherNodesAreToldOnceMore(t *testing.T) {
	f := newFleet(t, nil)
	first := f.single(t, 0)
	f.places.set(true, false)
	f.single(t, 1)
	f.back()
	f.deaf[0].Store(true)
	f.nodes[1].Settle()
	testkit.Eventually(t, func() bool { return f.nodes[1].Stats().EvictionsLate == 1 && f.nodes[1].settler.Idle() }, "node 0 misses it")
	f.deaf[0].Store(false)
	f.settle(t, 1, 0)
	first.expect(t, "3504")
	f.counts(t, 0, 1)
}

// What would be too much to remember is counted, and goes by the claim of its node.
func TestWhatNodesOweIsBounded(t *testing.T) {
	f := newFleet(t, nil)
	f.nodes[1].owed.Store(maxDebts)
	f.places.set(true, false)
	old := f.single(t, 1)
	require.EqualValues(t, 1, f.nodes[1].Stats().EvictionsFailed)
	f.back()
	f.single(t, 0)
	old.expect(t, "3504")
	f.nodes[1].owed.Store(0)
}

// Who ends while it owes owes nothing any more.
func TestWhoHasEndedOwesNothing(t *testing.T) {
	f := newFleet(t, nil)
	stays := f.single(t, 0)
	f.places.set(true, false)
	gone := f.single(t, 1)
	require.NoError(t, gone.Close())
	f.counts(t, 1, 0)
	f.back()
	f.settle(t, 1, 0)
	require.Zero(t, f.nodes[1].Stats().EvictionsLate)
	f.single(t, 1)
	stays.expect(t, "3504")
}
