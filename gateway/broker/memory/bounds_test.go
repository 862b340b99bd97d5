package memory

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
	"weak"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/broker"
)

// rig is an engine without a janitor, whose clock and subscribers are the
// test's.
type rig struct {
	*Engine
	t      *testing.T
	now    time.Duration
	wanted map[string]bool
	sink   recorder
}

func newRig(t *testing.T, opt Options) *rig {
	r := &rig{t: t, wanted: make(map[string]bool)}
	opt.Clock = func() time.Duration { return r.now }
	opt.Wanted = func(ch string) bool { return r.wanted[ch] }
	r.Engine = New(opt)
	r.Engine.sink = &r.sink
	return r
}

// pass lets time go by, swept as the janitor does it.
func (r *rig) pass(d time.Duration) {
	for end := r.now + d; r.now < end; {
		r.now += min(sweepEvery, end-r.now)
		r.sweep()
	}
}

func (r *rig) publish(ch string, opt broker.PublishOptions) broker.Result {
	r.t.Helper()
	res, err := r.Publish(r.t.Context(), ch, &codec.Publication{Data: codec.QuoteJSON("x")}, opt)
	require.NoError(r.t, err)
	return res
}

func (r *rig) read(ch string, meta time.Duration) ([]*codec.Publication, broker.Position) {
	r.t.Helper()
	list, pos, err := broker.Read(r.t.Context(), r.Engine, broker.HistoryQuery{Channel: ch, Limit: -1, MetaTTL: meta})
	require.NoError(r.t, err)
	return list, pos
}

func keep(ttl, meta time.Duration) broker.PublishOptions {
	return broker.PublishOptions{History: broker.HistoryOptions{Size: 3, TTL: ttl, MetaTTL: meta}}
}

// The wall clock is stepped by people and by NTP. No test can step it, so this
// one looks at what could read it: a time as a number has no monotonic reading.
func TestNoDeadlineIsOfTheWallClock(t *testing.T) {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, nil, 0)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && strings.HasPrefix(sel.Sel.Name, "Unix") {
				t.Errorf("%s: %s is of the wall clock", fset.Position(n.Pos()), sel.Sel.Name)
			}
			return true
		})
	}
}

func TestEverythingEndsByTheEnginesClock(t *testing.T) {
	r := newRig(t, Options{})
	opt := keep(10*time.Second, time.Minute)
	opt.IdempotencyKey = "k"
	first := r.publish("c", opt)
	r.pass(9 * time.Second)
	list, _ := r.read("c", time.Minute)
	require.Len(t, list, 1)
	r.pass(time.Second)
	list, pos := r.read("c", time.Minute)
	require.Empty(t, list)
	require.Equal(t, first.Position, pos)
	r.pass(time.Minute)
	require.Zero(t, r.Stats().Positions)
	require.Equal(t, 1, r.Stats().Results)
	require.Equal(t, broker.Result{Position: first.Position, Suppressed: true}, r.publish("c", opt))
	r.pass(idempotencyTTL - 70*time.Second)
	require.Zero(t, r.Stats().Results)
	require.False(t, r.publish("c", opt).Suppressed)
}

func TestAPositionIsNotForgottenWhileItIsWanted(t *testing.T) {
	const meta = 10 * time.Second
	f := func(name string, published, swept bool) {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Options{EmptyTTL: meta})
			r.wanted["c"] = true
			if published {
				r.publish("c", keep(time.Second, meta))
			}
			_, before := r.read("c", meta)
			for range 5 {
				if swept {
					r.pass(37 * time.Second)
				} else {
					r.now += 37 * time.Second
				}
				_, pos := r.read("c", meta)
				require.Equal(t, before, pos)
			}
			r.now += time.Hour // swept or not, then published into: the stream must see no gap
			res := r.publish("c", keep(time.Second, meta))
			require.Equal(t, before.Epoch, res.Epoch)
			require.Equal(t, before.Offset+1, res.Offset)
		})
	}
	f("unpublished", false, false)
	f("unpublished_swept", false, true)
	f("published", true, false)
	f("published_swept", true, true)
}

func TestAPositionOutlivesItsLastSubscriberByHalfItsLifeAtLeast(t *testing.T) {
	const meta = 20 * time.Second
	for stay := range 50 {
		r := newRig(t, Options{EmptyTTL: meta})
		r.wanted["c"] = true
		_, pos := r.read("c", meta)
		r.pass(time.Duration(stay) * time.Second)
		delete(r.wanted, "c")
		r.pass(meta/2 - sweepEvery)
		require.Equal(t, 1, r.Stats().Positions, "gone too early after %d s", stay)
		r.pass(meta/2 + sweepEvery)
		require.Zero(t, r.Stats().Positions, "still there after %d s", stay)
		_, again := r.read("c", meta)
		require.NotEqual(t, pos.Epoch, again.Epoch)
	}
}

func TestAPositionOfAnEmptyChannelGoesSoon(t *testing.T) {
	r := newRig(t, Options{})
	_, pos := r.read("asked", 720*time.Hour)
	r.publish("used", keep(time.Second, 720*time.Hour))
	require.Equal(t, 2, r.Stats().Positions)
	require.Equal(t, 1, r.Stats().Empty)
	r.pass(59 * time.Second)
	_, same := r.read("asked", 720*time.Hour)
	require.Equal(t, pos, same, "a use prolongs it")
	r.pass(time.Minute)
	require.Equal(t, Stats{Positions: 1}, r.Stats())
	_, again := r.read("asked", 720*time.Hour)
	require.Zero(t, again.Offset)
	require.NotEqual(t, pos.Epoch, again.Epoch, "who comes back with the old one is told")

	// Once something was published it lives as long as any.
	r.publish("asked", keep(time.Second, 720*time.Hour))
	require.Zero(t, r.Stats().Empty)
	r.pass(time.Hour)
	_, last := r.read("asked", 720*time.Hour)
	require.Equal(t, broker.Position{Offset: 1, Epoch: again.Epoch}, last)

	// A shorter life stays shorter.
	r.read("short", 5*time.Second)
	r.pass(5 * time.Second)
	require.Equal(t, Stats{Positions: 2}, r.Stats())
}

func TestPositionsOfEmptyChannelsAreBounded(t *testing.T) {
	const most = 6400 // a hundred for each stripe
	r := newRig(t, Options{EmptyMax: most})
	r.publish("used", keep(time.Second, time.Hour))
	for i := range 20 {
		r.wanted[fmt.Sprint("wanted", i)] = true
		r.read(fmt.Sprint("wanted", i), 0)
	}
	for i := range 5 * most {
		r.now += time.Millisecond
		r.read(fmt.Sprint("c", i), 0)
		require.LessOrEqual(t, r.Stats().Empty, most)
	}
	st := r.Stats()
	require.Equal(t, most, st.Empty)
	require.Equal(t, most+1, st.Positions)
	require.EqualValues(t, 20+4*most, st.EmptyDropped)
	has := func(ch string) bool { return r.stripe(ch).channels.Value(ch) != nil }
	require.True(t, has("used"), "what was published in does not make room")
	for i := range 20 {
		require.True(t, has(fmt.Sprint("wanted", i)), "what is wanted does not make room")
	}
	for i := range 5 * most {
		switch { // stripes do not fill evenly
		case i < 3*most:
			require.False(t, has(fmt.Sprint("c", i)), "%d was used longest ago", i)
		case i >= 5*most-most/4:
			require.True(t, has(fmt.Sprint("c", i)), "%d was used last", i)
		}
	}
}

func TestWantedPositionsMayBeMoreThanTheBound(t *testing.T) {
	r := newRig(t, Options{EmptyMax: 10})
	for i := range 500 {
		r.wanted[fmt.Sprint(i)] = true
		r.read(fmt.Sprint(i), 0)
	}
	r.pass(time.Hour)
	require.Equal(t, Stats{Positions: 500, Empty: 500}, r.Stats())
	clear(r.wanted)
	r.pass(10 * time.Second)
	require.Equal(t, Stats{Positions: 10, Empty: 10, EmptyDropped: 490}, r.Stats(), "no more than the bound once they may go")
	r.pass(time.Minute)
	require.Equal(t, Stats{EmptyDropped: 490}, r.Stats())
	r.empty(t)
}

func TestResultsAreBounded(t *testing.T) {
	const most = 1000
	r := newRig(t, Options{ResultsMax: most})
	for i := range 10 * most {
		r.now += time.Millisecond
		require.False(t, r.publish("c"+fmt.Sprint(i%7), broker.PublishOptions{IdempotencyKey: fmt.Sprint(i)}).Suppressed)
		require.LessOrEqual(t, r.Stats().Results, most)
	}
	st := r.Stats()
	require.Equal(t, most, st.Results)
	require.EqualValues(t, 9*most, st.ResultsDropped)
	for i := 9*most + 500; i < 10*most; i++ {
		require.True(t, r.publish("c"+fmt.Sprint(i%7), broker.PublishOptions{IdempotencyKey: fmt.Sprint(i)}).Suppressed, "the newest stay")
	}
	require.False(t, r.publish("c0", broker.PublishOptions{IdempotencyKey: "0"}).Suppressed, "the oldest went")
	r.pass(idempotencyTTL)
	require.Zero(t, r.Stats().Results)
	r.empty(t)
}

func TestResultsAreOfTheirChannelAndKey(t *testing.T) {
	r := newRig(t, Options{})
	long := strings.Repeat("l", 3000)
	keys := [][2]string{{"a", "bc"}, {"ab", "c"}, {"a", "b"}, {long, "k"}, {"c", long}, {long, long}}
	for _, k := range keys {
		require.False(t, r.publish(k[0], broker.PublishOptions{IdempotencyKey: k[1]}).Suppressed)
	}
	for _, k := range keys {
		require.Equal(t, broker.Result{Suppressed: true}, r.publish(k[0], broker.PublishOptions{IdempotencyKey: k[1]}))
	}
}

// failing is a sink with a bug.
type failing struct {
	recorder
	fails bool
}

func (f *failing) Publication(ch string, p, prev *codec.Publication, credit *broker.Credit) {
	if f.fails {
		panic("a bug of the sink")
	}
	f.recorder.Publication(ch, p, prev, credit)
}

func TestAPanicInTheSinkLeavesNothingBehind(t *testing.T) {
	r := newRig(t, Options{})
	sink := &failing{fails: true}
	r.Engine.sink = sink
	opt := keep(time.Second, time.Minute)
	opt.IdempotencyKey = "k"
	require.Panics(t, func() { r.publish("c", opt) })
	require.Zero(t, r.Stats().Results, "a repeat must not be told that it was delivered")
	sink.fails = false
	require.False(t, r.publish("c", opt).Suppressed)
	require.Len(t, sink.got, 1)
	r.pass(2 * idempotencyTTL)
	r.empty(t)
}

// The result is remembered before the publication is on its way: whoever has
// heard of it and tries the key gets the result.
func TestTheSinkComesLast(t *testing.T) {
	r := newRig(t, Options{})
	r.Engine.sink = sinkFunc{f: func() {
		require.Equal(t, 1, r.Stats().Results)
		require.Equal(t, 1, r.Stats().Positions)
	}}
	opt := keep(time.Second, time.Minute)
	opt.IdempotencyKey = "k"
	r.publish("c", opt)
}

type sinkFunc struct {
	broker.Sink // the rest is not asked for
	f           func()
}

func (f sinkFunc) Publication(string, *codec.Publication, *codec.Publication, *broker.Credit) { f.f() }

func TestPublicationsThatWentAreNotHeld(t *testing.T) {
	f := func(name string, drop func(r *rig)) {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Options{})
			r.Engine.sink = &discard{}
			var held []weak.Pointer[codec.Publication]
			for range 3 {
				p := &codec.Publication{Data: codec.QuoteJSON("x")}
				held = append(held, weak.Make(p))
				_, err := r.Publish(t.Context(), "c", p, keep(10*time.Second, time.Hour))
				require.NoError(t, err)
			}
			drop(r)
			runtime.GC()
			for _, p := range held {
				require.Nil(t, p.Value())
			}
			require.Equal(t, 1, r.Stats().Positions)
		})
	}
	f("removed", func(r *rig) { require.NoError(t, r.RemoveHistory(t.Context(), "c")) })
	f("expired", func(r *rig) { r.pass(10 * time.Second) })
	f("pushed_out", func(r *rig) {
		for range 3 {
			r.publish("c", keep(10*time.Second, time.Hour))
		}
	})
}

func TestMemoryComesBack(t *testing.T) {
	const n = 200_000
	r := newRig(t, Options{})
	r.Engine.sink = &discard{}
	before := heapInUse()
	for i := range n {
		opt := keep(time.Minute, time.Minute)
		opt.IdempotencyKey = "k"
		r.publish(fmt.Sprint(i), opt)
	}
	full := heapInUse() - before
	require.Equal(t, n, r.Stats().Positions)
	for i := range n / 100 { // some go on
		r.now += 30 * time.Millisecond
		r.publish(fmt.Sprint(i), keep(time.Hour, time.Hour))
	}
	r.pass(idempotencyTTL)
	require.Equal(t, n/100, r.Stats().Positions)
	require.Zero(t, r.Stats().Results)
	left := heapInUse() - before
	require.Less(t, left, full/20, "%d of %d bytes are left", left, full)
	runtime.KeepAlive(r)
}
