package loop

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/actor"
)

// shedRig is loops that never run, with blocked streams that hold so much of their
// own each, and one frame that all of them hold.
func shedRig(t *testing.T, limit int64, own ...[]int) (g *Group, refs [][]Ref) {
	t.Helper()
	g = bareGroup(t, len(own), Options{QueueMaxSize: 1 << 30, QueuesMaxTotal: limit})
	all := frameOf("", strings.Repeat("s", 20_000))
	for i, sizes := range own {
		l := g.Loops[i]
		l.now = began
		refs = append(refs, nil)
		for _, n := range sizes {
			ref := pretend(l)
			l.at(ref.Slot).fd = -1
			l.setBlocked(ref.Slot, true)
			l.at(ref.Slot).late = true
			l.Send(ref.Slot, all, NoID)
			l.Send(ref.Slot, frameOf("", strings.Repeat("o", n)), NoID)
			refs[i] = append(refs[i], ref)
		}
	}
	held(g)
	t.Cleanup(func() { // all loops of the process share some frames
		for i, l := range g.Loops {
			for _, ref := range refs[i] {
				l.dropQueue(ref.Slot)
			}
		}
	})
	return g, refs
}

func ended(l *Loop) (refs []Ref) {
	rec := l.handler.(*recorder)
	for ref := range rec.closed {
		refs = append(refs, ref)
	}
	return refs
}

// What all of them wait for comes free with none of them: the one with most of its
// own goes first, until there is some room.
func TestTheStreamWithMostOfItsOwnIsShedFirst(t *testing.T) {
	g, refs := shedRig(t, 200_000, []int{10_000, 90_000, 30_000, 60_000, 20_000})
	l := g.Loops[0]
	before := held(g)
	require.Greater(t, before, int64(200_000))
	l.shedTotal()
	require.Equal(t, []Ref{refs[0][1]}, ended(l))
	require.Less(t, held(g), before-90_000+1000)
	// At most so often, and only above the limit.
	l.Send(refs[0][0].Slot, frameOf("", strings.Repeat("m", 150_000)), NoID)
	require.Greater(t, held(g), int64(200_000))
	l.shedTotal()
	require.Len(t, ended(l), 1, "it looked a moment ago")
	l.now += shedEvery
	l.shedTotal()
	require.ElementsMatch(t, []Ref{refs[0][0], refs[0][1]}, ended(l), "it is the heaviest now")
	l.now += shedEvery
	l.shedTotal()
	require.Len(t, ended(l), 2)
}

// It ends streams until a part of the limit is free, so that not every further frame
// costs a look.
func TestSheddingLeavesSomeRoom(t *testing.T) {
	own := make([]int, 100)
	for i := range own {
		own[i] = 1000 + i
	}
	g, refs := shedRig(t, 125_000, own)
	require.Greater(t, held(g), int64(125_000))
	l := g.Loops[0]
	l.shedTotal()
	target := int64(125_000 - 125_000/shedPart)
	require.LessOrEqual(t, held(g), target)
	require.Greater(t, held(g), target-2000, "and no more of them than that")
	gone := ended(l)
	require.ElementsMatch(t, refs[0][100-len(gone):], gone, "those with most")
}

// Over two loops, too: whichever looks first.
func TestTheHeaviestStreamOfAllLoopsIsShed(t *testing.T) {
	for first := range 2 {
		g, refs := shedRig(t, 200_000, []int{30_000, 40_000}, []int{20_000, 150_000})
		for _, l := range g.Loops { // another loop may be woken
			l.actor = actor.New[Task](quiet{}, (*behavior)(l))
		}
		order := []*Loop{g.Loops[first], g.Loops[1-first]}
		for range 4 {
			for _, l := range order {
				l.now += shedEvery
				l.shedTotal()
				held(g)
			}
		}
		require.Empty(t, ended(g.Loops[0]), "first %d", first)
		require.Equal(t, []Ref{refs[1][1]}, ended(g.Loops[1]), "first %d", first)
	}
}

// Too much is held by streams that read as well as by those that do not. Windows wait
// for the ones, and only the others are ended.
func TestWhoReadsIsNotShed(t *testing.T) {
	const size = 40 << 10
	r := newHoldRig(t, 0, 20, Options{QueueMaxSize: 1 << 30, QueuesMaxTotal: 100 << 10, QueueMaxAge: time.Hour})
	l := r.l
	for range 80 {
		d := toAll(r.clients, frameOf("", strings.Repeat("x", size)))
		run := d.run
		d.run = func(l *Loop) { r.ran++; run(l) }
		give(l, d)
		r.given++
	}
	buf := make([]byte, 64<<10)
	for now := began; r.ran < r.given || l.stats.Open > 18; now += 5 * ms {
		require.Less(t, now-began, 100*sec)
		settleAt(l, now)
		for i, c := range r.clients[2:] { // the first two do not read, each of the others does every 30 ms
			if s := l.at(c.ref.Slot); s.blocked && (now/(5*ms)+int64(i))%6 == 0 {
				_, _ = readReady(c, buf)
				l.handleReady(&event{slot: c.ref.Slot, gen: c.ref.Gen, writable: true})
			}
		}
		require.Less(t, l.stats.HeldBytes, int64(100<<10+2*windowBytes), "one window more than it may")
	}
	require.EqualValues(t, 2, l.stats.Closes[ReasonSlowTotal])
	for _, c := range r.clients[2:] {
		require.True(t, l.Live(c.ref))
	}
}

// Nothing is delivered, and all take something now and then: what they hold together is
// bounded all the same.
func TestWhoTricklesIsShedInTheEnd(t *testing.T) {
	const total = 1 << 20
	l, rec := bareLoop(t, Options{QueuesMaxTotal: total, QueueMaxAge: time.Hour})
	setClock(l, began)
	var all []*client
	for range 10 {
		c := adopt(t, l, unixPair, true)
		all = append(all, c)
		for range 8 {
			l.SendExempt(c.ref.Slot, frameOf("", strings.Repeat("o", 100<<10)), NoID)
		}
	}
	buf := make([]byte, 1024)
	for now := began; now <= began+2*overMax; now += 250 * ms {
		settleAt(l, now)
		if now <= began+overMax {
			require.Zero(t, l.stats.Closes[ReasonSlowTotal], "they have a moment")
		}
		for _, c := range all {
			if s := l.at(c.ref.Slot); len(rec.reasons(c.ref)) == 0 && s.blocked {
				_, _ = readReady(c, buf)
				l.handleReady(&event{slot: c.ref.Slot, gen: c.ref.Gen, writable: true})
			}
		}
	}
	require.NotZero(t, l.stats.Closes[ReasonSlowTotal])
	require.Less(t, l.stats.HeldBytes, int64(total))
}

// quiet runs no turn.
type quiet struct{}

func (quiet) Submit(func()) {}
