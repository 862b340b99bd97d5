package brokertest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/broker"
	"sluice/gateway/testkit"
)

// offsetsAreDense: publishers of all nodes at once, one channel: every node gets +1 each.
func (s *suite) offsetsAreDense() {
	s.subscribe(s.ch)
	const publishers, each = 8, 40
	opt := broker.PublishOptions{History: broker.HistoryOptions{Size: 10, TTL: time.Minute, MetaTTL: time.Hour}}
	var wait sync.WaitGroup
	for i := range publishers {
		wait.Go(func() {
			n, before := s.nodes[i%len(s.nodes)], uint64(0)
			for k := range each {
				res, err := n.Publish(s.ctx(), s.ch, pub(fmt.Sprint(i, k)), opt)
				if err != nil || res.Offset <= before {
					s.t.Errorf("publisher %d: offset %d after %d, %v", i, res.Offset, before, err)
					return
				}
				before = res.Offset
			}
		})
	}
	wait.Wait()
	_, top := s.read(s.ch, broker.HistoryQuery{})
	require.EqualValues(s.t, publishers*each, top.Offset)
	for _, n := range s.nodes {
		got := n.sink.Await(s.t, s.ch, publishers*each)
		whole(s.t, got, 1, top.Epoch)
		last := make(map[string]int)
		for _, e := range got { // each publisher's in its order
			var i, k int
			_, err := fmt.Sscanf(e.Pub.Data.String(), `"%d %d"`, &i, &k)
			require.NoError(s.t, err)
			require.Equal(s.t, last[fmt.Sprint(i)], k)
			last[fmt.Sprint(i)]++
		}
	}
}

func (s *suite) publicationsArriveWhole() {
	s.subscribe(s.ch)
	p := pub("x")
	p.Tags = []codec.Tag{{Key: "a", Value: "1"}, {Key: "ключ", Value: "\x00 \"quoted\""}}
	p.Version, p.Delta = 7, true
	p.Info = &codec.ClientInfo{User: "u", Client: "c", ConnInfo: codec.QuoteJSON("i"), ChanInfo: codec.QuoteJSON("j")}
	want := *p
	res := s.result(s.first(), s.ch, p, broker.PublishOptions{History: keep})
	if s.keeps() {
		require.EqualValues(s.t, 1, res.Offset)
		require.NotEmpty(s.t, res.Epoch)
	} else {
		require.Zero(s.t, res.Position)
		want.Version = 0 // nothing compares it
	}
	want.Offset, want.Epoch = res.Offset, res.Epoch
	for _, n := range s.nodes {
		s.same(&want, n.sink.Await(s.t, s.ch, 1)[0].Pub)
	}
	list, _, err := broker.Read(s.ctx(), s.last(), broker.HistoryQuery{Channel: s.ch, Limit: -1, MetaTTL: time.Hour})
	if !s.keeps() {
		require.ErrorIs(s.t, err, broker.ErrNoHistory)
		require.ErrorIs(s.t, s.last().RemoveHistory(s.ctx(), s.ch), broker.ErrNoHistory)
		return
	}
	require.NoError(s.t, err)
	require.Len(s.t, list, 1)
	s.same(&want, list[0])
}

// same compares what clients are shown of publications. Whether the publisher asked for
// a delta is for those who make one.
func (s *suite) same(want, got *codec.Publication) {
	s.t.Helper()
	w, g := *want, *got
	w.Room, g.Room, w.Delta, g.Delta = nil, nil, false, false
	require.Equal(s.t, w, g)
}

func (s *suite) withoutHistory() {
	s.subscribe(s.ch)
	for i := range 20 {
		require.Zero(s.t, s.publish(s.first(), s.ch, fmt.Sprint(i), broker.PublishOptions{}))
	}
	if !s.keeps() {
		s.fill(s.ch, 1) // is no error
		for _, n := range s.nodes {
			for i, e := range n.sink.Await(s.t, s.ch, 21) {
				require.Zero(s.t, e.Pub.Offset, "event %d", i)
			}
		}
		return
	}
	// Between two that are kept, one that is not: it moves no position.
	s.fill(s.ch, 1)
	require.Zero(s.t, s.publish(s.nodes[0], s.ch, "skips", broker.PublishOptions{}))
	s.fill(s.ch, 1)
	for _, n := range s.nodes {
		got := n.sink.Await(s.t, s.ch, 23)
		if s.f.Apart {
			require.Len(s.t, s.positioned(got), 2)
			continue
		}
		for i, e := range got[:20] {
			require.Equal(s.t, fmt.Sprintf(`"%d"`, i), e.Pub.Data.String())
			require.Zero(s.t, e.Pub.Offset)
		}
		require.EqualValues(s.t, 1, got[20].Pub.Offset)
		require.Zero(s.t, got[21].Pub.Offset)
		require.EqualValues(s.t, 2, got[22].Pub.Offset)
	}
	offsets, _ := s.read(s.ch, broker.HistoryQuery{Limit: -1})
	require.Equal(s.t, []uint64{1, 2}, offsets)
}

func (s *suite) oddNames() {
	names := []string{"a:b", "a#1,2", "{tag}", "}{", "{", "a{}b", "*", "?[x]", "with space", "канал", "a.b..c", ".", "$x", "stream.meta", "%s", strings.Repeat("n", 250)}
	for i, name := range names {
		names[i] = s.ch + "." + name
	}
	s.subscribe(names...)
	for _, name := range names {
		top := s.fill(name, 2).Offset
		require.Equal(s.t, s.keeps(), top == 2, "%q", name)
		s.publish(s.first(), name, "plain", broker.PublishOptions{})
	}
	for _, name := range names {
		if !s.keeps() {
			for _, n := range s.nodes {
				require.Equal(s.t, []string{`"1"`, `"2"`, `"plain"`}, texts(n.sink.Await(s.t, name, 3)), "%q", name)
			}
			continue
		}
		offsets, top := s.read(name, broker.HistoryQuery{Limit: -1})
		require.Equal(s.t, []uint64{1, 2}, offsets, "%q", name)
		for _, n := range s.nodes {
			whole(s.t, s.positioned(n.sink.Await(s.t, name, 3)), 1, top.Epoch)
		}
	}
}

// positioned returns the publications that have a history, of which others may have overtaken each other.
func (s *suite) positioned(events []Event) (all []Event) {
	for i, e := range events {
		if e.Pub.Offset != 0 {
			all = append(all, e)
		} else if !s.f.Apart {
			require.Len(s.t, all, i, "one without history overtook")
		}
	}
	return all
}

func (s *suite) largePayloads() {
	s.subscribe(s.ch)
	for i, size := range []int{0, 1, 127, 128, 16 << 10, 1 << 20} {
		text := strings.Repeat("x", size)
		s.publish(s.first(), s.ch, text, broker.PublishOptions{History: keep})
		for _, n := range s.nodes {
			require.Equal(s.t, codec.QuoteJSON(text), n.sink.Await(s.t, s.ch, i+1)[i].Pub.Data, "%d bytes", size)
		}
	}
}

func (s *suite) subscribeIsAcknowledged() {
	if s.first().Abilities().Everything {
		s.t.Skip("everything arrives here")
	}
	for i := range 50 {
		ch := fmt.Sprint(s.ch, i)
		require.NoError(s.t, s.last().Subscribe(s.ctx(), []string{ch}))
		s.publish(s.first(), ch, "first", s.opt())
		s.last().sink.Await(s.t, ch, 1)
	}
	require.NoError(s.t, s.last().Barrier(s.ctx()))
	require.Equal(s.t, 50, s.last().sink.Count())
	require.Zero(s.t, s.first().sink.Count(), "nobody there has subscribed")
}

// opt are options with which a publication takes the way that a subscription is acknowledged for.
func (s *suite) opt() broker.PublishOptions {
	if s.f.Apart {
		return broker.PublishOptions{History: keep}
	}
	return broker.PublishOptions{}
}

func (s *suite) unsubscribeEnds() {
	if s.first().Abilities().Everything {
		s.t.Skip("everything arrives here")
	}
	other := s.ch + "-stays"
	n := s.last()
	require.NoError(s.t, n.Subscribe(s.ctx(), []string{s.ch, other}))
	s.publish(s.first(), s.ch, "1", s.opt())
	n.sink.Await(s.t, s.ch, 1)
	for range 2 { // again is no error
		require.NoError(s.t, n.Unsubscribe(s.ctx(), []string{s.ch}))
	}
	s.publish(s.first(), s.ch, "2", s.opt())
	s.publish(s.first(), other, "3", s.opt())
	n.sink.Await(s.t, other, 1)
	require.NoError(s.t, n.Barrier(s.ctx()))
	n.sink.Await(s.t, s.ch, 1)
	require.NoError(s.t, n.Subscribe(s.ctx(), []string{s.ch}))
	require.NoError(s.t, n.Subscribe(s.ctx(), []string{s.ch}))
	s.publish(s.first(), s.ch, "4", s.opt())
	require.Equal(s.t, []string{`"1"`, `"4"`}, texts(n.sink.Await(s.t, s.ch, 2)), "once, though subscribed twice")
}

func (s *suite) manyChannels() {
	const many = 3000
	names := make([]string, many)
	for i := range names {
		names[i] = fmt.Sprint(s.ch, i)
	}
	s.subscribe(names...)
	for _, i := range []int{0, 1, 511, 512, 513, many / 2, many - 1} {
		s.publish(s.first(), names[i], "x", s.opt())
		for _, n := range s.nodes {
			n.sink.Await(s.t, names[i], 1)
		}
	}
	for _, n := range s.nodes {
		require.NoError(s.t, n.Unsubscribe(s.ctx(), names))
	}
}

func (s *suite) deltas() {
	if s.f.NoDeltas {
		s.t.Skip("makes none")
	}
	s.subscribe(s.ch)
	for i := range 4 {
		p := pub(fmt.Sprint(i))
		p.Delta = i != 2
		s.result(s.first(), s.ch, p, broker.PublishOptions{History: keep})
	}
	for _, n := range s.nodes {
		for i, e := range n.sink.Await(s.t, s.ch, 4) {
			if i == 0 || i == 2 {
				require.Nil(s.t, e.Prev, "publication %d", i)
				continue
			}
			require.NotNil(s.t, e.Prev, "publication %d", i)
			require.Equal(s.t, fmt.Sprintf(`"%d"`, i-1), e.Prev.Data.String())
		}
	}
}

func (s *suite) joinAndLeave() {
	s.subscribe(s.ch)
	info := &codec.ClientInfo{User: "u", Client: "c", ConnInfo: codec.QuoteJSON("i"), ChanInfo: codec.QuoteJSON("j")}
	for range 5 {
		require.NoError(s.t, s.first().Join(s.ctx(), s.ch, info, nil))
		require.NoError(s.t, s.first().Leave(s.ctx(), s.ch, info, nil))
	}
	for _, n := range s.nodes {
		for i, e := range n.sink.Await(s.t, s.ch, 10) {
			require.Equal(s.t, []EventKind{Join, Leave}[i%2], e.Kind, "event %d", i)
			require.Equal(s.t, info, e.Info)
		}
	}
	gone := make(chan struct{})
	require.NoError(s.t, s.first().Join(s.ctx(), s.ch, info, broker.NewCredit(9, func(int64) { close(gone) })))
	select {
	case <-gone:
	case <-time.After(patience):
		s.t.Fatal("the credit of a join does not come back")
	}
}

// barrierIsBehindAll: what one node was told is in the sink of the other, without a wait.
func (s *suite) barrierIsBehindAll() {
	s.subscribe(s.ch)
	for i := range 30 {
		s.publish(s.first(), s.ch, fmt.Sprint(i), broker.PublishOptions{History: keep})
		require.NoError(s.t, s.last().Barrier(s.ctx()))
		require.Len(s.t, s.last().sink.Events(s.ch), i+1)
	}
	var wait sync.WaitGroup
	for i := range 20 {
		wait.Go(func() {
			ch := fmt.Sprint(s.ch, i)
			if err := s.last().Subscribe(s.ctx(), []string{ch}); err != nil {
				s.t.Error(err)
			}
			if _, err := s.first().Publish(s.ctx(), ch, pub("x"), s.opt()); err != nil {
				s.t.Error(err)
			}
			if err := s.last().Barrier(s.ctx()); err != nil {
				s.t.Error(err)
			}
			if n := len(s.last().sink.Events(ch)); n != 1 {
				s.t.Errorf("%d events of %s behind the barrier", n, ch)
			}
		})
	}
	wait.Wait()
}

// creditHoldsReadersBack: a node that gets no credit takes nothing, loses nothing and
// holds nobody else up.
func (s *suite) creditHoldsReadersBack() {
	if !s.first().Abilities().Nodes {
		s.t.Skip("publishers bring their credit")
	}
	s.subscribe(s.ch)
	letGo := s.last().sink.Hold()
	s.t.Cleanup(letGo)
	s.fill(s.ch, 60)
	s.first().sink.Await(s.t, s.ch, 60)
	require.LessOrEqual(s.t, len(s.last().sink.Events(s.ch)), 1)
	letGo()
	got := s.last().sink.Await(s.t, s.ch, 60)
	if s.keeps() {
		_, top := s.read(s.ch, broker.HistoryQuery{})
		whole(s.t, got, 1, top.Epoch)
	}
}

func (s *suite) stopIntake() {
	s.subscribe(s.ch)
	s.fill(s.ch, 3)
	n := s.last()
	n.sink.Await(s.t, s.ch, 3)
	require.NoError(s.t, n.StopIntake(s.ctx()))
	before := n.sink.Count()
	if !n.Abilities().Nodes {
		return // who would publish is the caller, who has stopped
	}
	s.publish(n, s.ch, "from the one that stopped", broker.PublishOptions{History: keep})
	s.publish(s.first(), s.ch, "from the other", broker.PublishOptions{History: keep})
	s.first().sink.Await(s.t, s.ch, 5)
	require.Equal(s.t, before, n.sink.Count())
}

func (s *suite) ready() {
	for _, n := range s.nodes {
		testkit.Eventually(s.t, func() bool { return n.Ready() == nil }, "an engine to be ready")
	}
}

func (s *suite) callsEnd() {
	n := s.first()
	if n.Abilities().Local {
		s.t.Skip("its calls do not wait")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := n.Publish(ctx, s.ch, pub("x"), broker.PublishOptions{History: keep})
	require.Error(s.t, err)
	require.Error(s.t, n.Histories(ctx, []broker.HistoryQuery{{Channel: s.ch, Limit: -1}})[0].Err)
	require.Error(s.t, n.Subscribe(ctx, []string{s.ch}))
	require.Error(s.t, n.Barrier(ctx))
	// What was called in vain harms nothing behind it.
	s.subscribe(s.ch + "x")
	s.publish(n, s.ch+"x", "x", s.opt())
	n.sink.Await(s.t, s.ch+"x", 1)
}

// everythingAtOnce is for the race detector: all calls, many channels.
func (s *suite) everythingAtOnce() {
	info := &codec.ClientInfo{User: "u", Client: "c"}
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			n := s.nodes[i%len(s.nodes)]
			for k := range 25 {
				ch := fmt.Sprint(s.ch, (i+k)%5)
				own := fmt.Sprint(s.ch, "own", i)
				errs := []error{n.Subscribe(s.ctx(), []string{own})}
				_, err := n.Publish(s.ctx(), ch, pub("x"), broker.PublishOptions{History: keep, IdempotencyKey: fmt.Sprint(i, k)})
				errs = append(errs, err, n.Join(s.ctx(), ch, info, nil), n.Leave(s.ctx(), ch, info, nil))
				if s.keeps() {
					errs = append(errs, n.Histories(s.ctx(), []broker.HistoryQuery{{Channel: ch, Limit: 5, MetaTTL: time.Hour}, {Channel: own, MetaTTL: time.Hour}})[0].Err)
				}
				errs = append(errs, n.Unsubscribe(s.ctx(), []string{own}))
				if k%10 == 0 {
					if s.keeps() {
						errs = append(errs, n.RemoveHistory(s.ctx(), ch))
					}
					errs = append(errs, n.Barrier(s.ctx()))
				}
				for _, err := range errs {
					if err != nil {
						s.t.Errorf("worker %d: %v", i, err)
					}
				}
			}
		})
	}
	wait.Wait()
}
