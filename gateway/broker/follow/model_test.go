package follow

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/broker"
)

// game plays a world against a follower.
type game struct {
	t *testing.T
	*world
	f     *Follower
	crowd *crowd
	names []string
	sent  map[string]bool // bare publications that were on a connection when it was whole
	told  int
}

// enter is what a subscriber does: it reads the history and stands at its top.
func (g *game) enter(ch string) {
	g.crowd.mu.Lock()
	before := g.crowd.losses[ch]
	g.crowd.mu.Unlock()
	g.mu.Lock()
	s := g.channels[ch]
	if s.epoch == "" {
		g.serial++
		*s = stream{epoch: fmt.Sprint("n", g.serial), all: make(map[uint64]string)}
	}
	t := Tip{Top: broker.Position{Offset: s.top, Epoch: s.epoch}, Proof: ProofEmpty}
	if n := len(s.kept); n > 0 {
		t.Proof, t.Sum = ProofSum, s.kept[n-1].Sum
	} else if s.top == 0 {
		t.Proof = ProofNone
	}
	l := &positioned{at: t.Top, seen: make(map[uint64]string)}
	if s.top > 0 {
		l.seen[s.top] = s.all[s.top]
	}
	g.mu.Unlock()
	_, _, in := g.f.Reading(ch)
	g.f.Learn(ch, t, in)
	g.crowd.mu.Lock()
	l.told = g.crowd.losses[ch] != before
	g.crowd.by[ch] = l
	g.crowd.mu.Unlock()
}

// arrive lets the node read up to n of what is on the connection.
func (g *game) arrive(n int) {
	for range n {
		g.mu.Lock()
		if len(g.flight) == 0 {
			g.mu.Unlock()
			return
		}
		next := g.flight[0]
		g.flight = g.flight[1:]
		g.mu.Unlock()
		if p, _ := g.f.Find(next.channel); p != nil {
			if next.m.At.Offset == 0 {
				g.sent[next.m.Pub.Data.String()] = true
			}
			g.f.Message(g.t.Context(), p, next.m)
		}
	}
}

func (g *game) lose(lines ...*line) {
	g.arrive(g.rng.IntN(len(g.flight) + 1))
	g.cut(lines...)
	for _, l := range lines {
		g.f.Lost(l)
	}
}

func (g *game) back(lines ...*line) {
	g.connect(lines...)
	if g.rng.IntN(2) == 0 { // some come before Back
		for range g.rng.IntN(4) {
			g.publish(g.channel())
		}
		g.arrive(g.rng.IntN(3))
	}
	for _, l := range lines {
		g.f.Back(l, !slices.ContainsFunc(g.lines, func(l *line) bool { return !l.up }))
	}
}

func (g *game) channel() string { return g.names[g.rng.IntN(len(g.names))] }

// divide makes other lines of the channels: n of them, or fewer.
func (g *game) divide(n int) {
	lines := make([]*line, n)
	for i := range lines {
		lines[i] = &line{channels: make(map[string]bool)}
	}
	for _, ch := range g.names {
		lines[g.rng.IntN(n)].channels[ch] = true
	}
	g.mu.Lock()
	g.lines = lines
	g.mu.Unlock()
}

// outage is a loss, and what happens in it.
func (g *game) outage() {
	lines := slices.Clone(g.lines)
	g.rng.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	moved := len(lines) > 1 && g.rng.IntN(4) == 0
	if !moved { // channels move only where all is made anew
		lines = lines[:1+g.rng.IntN(len(lines))]
	}
	g.lose(lines...)
	if moved {
		g.happen(lines[0])
		g.divide(len(lines))
		g.back(g.lines...)
		return
	}
	for _, l := range lines {
		g.happen(l)
		g.back(l)
	}
}

// happen is what happens while a line is lost.
func (g *game) happen(l *line) {
	switch g.rng.IntN(6) {
	case 0:
		g.rewind(1+g.rng.IntN(3), l)
		for range g.rng.IntN(5) {
			g.publish(g.channel())
		}
	case 1: // the history goes, the position stays
		ch := g.channel()
		g.mu.Lock()
		if !g.rewound {
			g.channels[ch].kept = nil
		}
		g.mu.Unlock()
	case 2: // the position goes as well
		ch := g.channel()
		g.mu.Lock()
		*g.channels[ch] = stream{}
		g.mu.Unlock()
	case 3:
		for range g.rng.IntN(40) {
			g.publish(g.channel())
		}
	default:
		for range g.rng.IntN(8) {
			g.publish(g.channel())
		}
	}
}

func (g *game) step() {
	switch n := g.rng.IntN(100); {
	case n < 50:
		g.publish(g.channel())
	case n < 70:
		g.arrive(g.rng.IntN(6))
	case n < 76:
		g.mu.Lock()
		g.serial++
		g.send(g.channel(), g.world.message(0, "", fmt.Sprint("bare", g.serial)))
		g.mu.Unlock()
	case n < 80: // lost without a word, as between the masters of a Cluster
		g.mu.Lock()
		if k := len(g.flight); k > 0 {
			i := g.rng.IntN(k)
			g.flight = append(g.flight[:i:i], g.flight[i+1:]...)
		}
		g.mu.Unlock()
	case n < 82: // twice
		g.mu.Lock()
		if k := len(g.flight); k > 0 && g.flight[k-1].m.At.Offset > 0 {
			g.flight = append(g.flight, g.flight[k-1])
		}
		g.mu.Unlock()
	case n < 84: // of a publisher that is none of the fleet
		ch := g.channel()
		g.mu.Lock()
		g.send(ch, g.world.message(1000+uint64(g.serial), g.channels[ch].epoch, "bogus"))
		g.mu.Unlock()
	case n < 88:
		g.outage()
	case n < 90:
		g.mu.Lock()
		g.failing = !g.failing
		g.mu.Unlock()
	case n < 93:
		time.Sleep(time.Duration(g.rng.IntN(200)) * time.Millisecond)
	case n < 96:
		g.enter(g.channel())
	case n < 98: // the last subscriber leaves, another one comes
		ch := g.channel()
		g.f.Remove([]string{ch})
		g.f.Add([]string{ch})
		g.enter(ch)
	default:
		g.again()
	}
}

// again lets those that were told subscribe anew.
func (g *game) again() {
	for _, ch := range g.names {
		g.crowd.mu.Lock()
		told := g.crowd.by[ch].told
		g.crowd.mu.Unlock()
		if told {
			g.told++
			g.enter(ch)
		}
	}
}

// check lets all arrive, looks as a position check does, and compares every listener with its channel.
func (g *game) check() {
	g.mu.Lock()
	g.failing, g.rewound = false, false
	g.mu.Unlock()
	g.arrive(1 << 30)
	for _, ch := range g.names {
		g.mu.Lock()
		s := g.channels[ch]
		t := Tip{Top: broker.Position{Offset: s.top, Epoch: s.epoch}}
		g.mu.Unlock()
		_, _, in := g.f.Reading(ch)
		g.f.Learn(ch, t, in)
	}
	require.NoError(g.t, g.f.Await(g.t.Context(), g.f.TakeSuspects()))
	synctest.Wait()
	_, pending, held := g.f.Counts()
	require.Zero(g.t, pending)
	require.Zero(g.t, held)
	up, left := g.f.CaughtUp()
	require.True(g.t, up)
	require.Zero(g.t, left)
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, ch := range g.names {
		l, s := g.crowd.by[ch], g.channels[ch]
		if l.told {
			continue
		}
		require.Equal(g.t, broker.Position{Offset: s.top, Epoch: s.epoch}, l.at, "%s: a loss that nobody was told of", ch)
		for offset, text := range l.seen {
			require.Equal(g.t, s.all[offset], text, "%s: offset %d is another publication now, and nobody was told", ch, offset)
		}
	}
	for text := range g.sent {
		require.LessOrEqual(g.t, g.crowd.bare[text], 1, text)
	}
}

// newGame starts a game with a subscriber in each channel; it runs until stop is called. The
// connection brings all channels.
func newGame(t *testing.T, seed uint64) (g *game, stop func()) { return newGameOn(t, 1, seed) }

// play runs a game of its own.
func play(t *testing.T, f func(t *testing.T, g *game)) {
	synctest.Test(t, func(t *testing.T) {
		g, stop := newGame(t, 1)
		f(t, g)
		stop()
	})
}

// newGameOn is newGame over so many connections.
func newGameOn(t *testing.T, lines int, seed uint64) (g *game, stop func()) {
	g = &game{
		t: t, names: []string{"a", "b", "c"}, sent: make(map[string]bool),
		world: &world{rng: rand.New(rand.NewPCG(seed, 1)), channels: make(map[string]*stream)},
		crowd: &crowd{t: t, by: make(map[string]*positioned), losses: make(map[string]int), bare: make(map[string]int)},
	}
	for _, ch := range g.names {
		g.channels[ch] = &stream{}
	}
	g.f = New(g.crowd, g.world)
	ctx, cancel := context.WithCancel(t.Context())
	go g.f.Run(ctx)
	g.f.Add(g.names)
	g.divide(lines)
	g.connect(g.lines...)
	for _, l := range g.lines {
		g.f.Back(l, true)
	}
	for _, ch := range g.names {
		g.enter(ch)
	}
	return g, func() {
		cancel()
		synctest.Wait()
		require.Zero(t, g.crowd.out, "credit that nobody gave back")
	}
}

func TestEveryChannelEndsCompleteInOrderOrTold(t *testing.T) {
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) {
			g, stop := newGameOn(t, 1+int(seed%3), seed)
			for range 3 {
				for range 150 {
					g.step()
				}
				g.check()
				g.again()
			}
			stop()
			if t.Failed() {
				t.Logf("seed %d", seed)
			}
		})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}
