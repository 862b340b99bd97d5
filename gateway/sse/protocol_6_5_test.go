package sse_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/broker"
	brokermemory "sluice/gateway/broker/memory"
	"sluice/gateway/channel"
	"sluice/gateway/session"
	"sluice/gateway/testkit"
)

// lossy is a memory engine that loses or changes what it should deliver.
type lossy struct {
	*brokermemory.Engine
	drop atomic.Bool
	gate *gate
}

type gate struct {
	broker.Sink
	l *lossy
}

func (g *gate) Publication(ch string, p, prev *codec.Publication, credit *broker.Credit) {
	if g.l.drop.Load() {
		g.Sink.Publication(ch+" (lost)", p, prev, credit)
		return
	}
	g.Sink.Publication(ch, p, prev, credit)
}

func (l *lossy) Start(s broker.Sink) error {
	l.gate = &gate{Sink: s, l: l}
	return l.Engine.Start(l.gate)
}

// insufficient expects the end of a stream that has lost its place.
func insufficient(t *testing.T, c *testkit.Client) {
	t.Helper()
	require.Equal(t, "insufficient state", c.ExpectDisconnect(t, 3010).Reason)
}

func TestProtocol_6_5_LivePosition(t *testing.T) {
	l := &lossy{Engine: brokermemory.New(brokermemory.Options{})}
	n := newNode(t, func(s *settings) { kinds(s); s.broker = l })
	deliver := func(ch string, offset uint64, epoch string) {
		l.gate.Sink.Publication(ch, &codec.Publication{Data: compact(t, fmt.Sprint(offset)), Offset: offset, Epoch: epoch}, nil, nil)
	}
	t.Run("a_duplicate_is_dropped", func(t *testing.T) {
		c, _ := n.subscribe(t, subs("pos:d"))
		res := n.publish(t, "pos:d", `1`)
		deliver("pos:d", 1, res.Epoch)
		n.publish(t, "pos:d", `2`)
		require.EqualValues(t, 1, c.ExpectPub(t, "pos:d").Offset)
		require.EqualValues(t, 2, c.ExpectPub(t, "pos:d").Offset)
	})
	t.Run("not_positioned_duplicates_are_delivered", func(t *testing.T) {
		c, _ := n.subscribe(t, subs("hist:d"))
		res := n.publish(t, "hist:d", `1`)
		deliver("hist:d", 1, res.Epoch)
		deliver("hist:d", 9, "other")
		for _, offset := range []uint64{1, 1, 9} {
			require.Equal(t, offset, c.ExpectPub(t, "hist:d").Offset)
		}
	})
	t.Run("a_gap_is_3010", func(t *testing.T) {
		c, _ := n.subscribe(t, subs("pos:g"))
		loose, _ := n.subscribe(t, subs("hist:g"))
		res := n.publish(t, "pos:g", `1`)
		deliver("pos:g", 3, res.Epoch)
		require.EqualValues(t, 1, c.ExpectPub(t, "pos:g").Offset)
		insufficient(t, c) // and what revealed it is not delivered
		n.publish(t, "hist:g", `1`)
		loose.ExpectPub(t, "hist:g")
	})
	t.Run("a_lost_publication_is_noticed_by_the_next", func(t *testing.T) {
		c, _ := n.subscribe(t, subs("rec:l"))
		top := n.publish(t, "rec:l", `1`)
		c.ExpectPub(t, "rec:l")
		l.drop.Store(true)
		n.publish(t, "rec:l", `2`)
		l.drop.Store(false)
		n.publish(t, "rec:l", `3`)
		insufficient(t, c)
		back, res := n.subscribe(t, recovering("rec:l", 1, top.Epoch))
		require.Len(t, res.Subs["rec:l"].Publications, 2)
		back.Close()
	})
	t.Run("another_epoch_is_3010", func(t *testing.T) {
		c, _ := n.subscribe(t, subs("pos:e"))
		deliver("pos:e", 1, "another!")
		insufficient(t, c)
	})
	t.Run("after_the_gap_only_the_positioned_stream_ends", func(t *testing.T) {
		both, _ := n.subscribe(t, subs("pos:x", "plain:x"))
		other, _ := n.subscribe(t, subs("plain:x"))
		deliver("pos:x", 7, "whatever")
		insufficient(t, both)
		n.publish(t, "plain:x", `1`)
		other.ExpectPub(t, "plain:x")
	})
}

// quick checks positions often.
func quick(b broker.Broker) func(*settings) {
	return func(s *settings) {
		kinds(s)
		s.broker = b
		s.session.PresenceUpdateInterval = 50 * time.Millisecond
		s.session.PositionCheckDelay = 100 * time.Millisecond
	}
}

func TestProtocol_6_5_PositionCheck(t *testing.T) {
	t.Run("a_lost_publication_is_noticed_without_another", func(t *testing.T) {
		l := &lossy{Engine: brokermemory.New(brokermemory.Options{})}
		n := newNode(t, quick(l))
		n.publish(t, "rec:a", `1`)
		var lost []*testkit.Client
		for range 5 {
			c, _ := n.subscribe(t, subs("rec:a", "plain:a"))
			lost = append(lost, c)
		}
		safe, _ := n.subscribe(t, subs("rec:b", "hist:a"))
		l.drop.Store(true)
		n.publish(t, "rec:a", `2`)
		n.publish(t, "hist:a", `2`)
		for _, c := range lost {
			insufficient(t, c)
		}
		l.drop.Store(false)
		n.publish(t, "rec:b", `1`)
		require.Equal(t, "rec:b", safe.Next(t).Channel)
		require.Equal(t, 1, n.sessions.Counts().Clients)
	})
	t.Run("subscribed_by_the_API", func(t *testing.T) {
		l := &lossy{Engine: brokermemory.New(brokermemory.Options{})}
		n := newNode(t, quick(l))
		c, _ := n.subscribe(t, nil)
		require.NoError(t, n.sessions.Subscribe(t.Context(), session.Target{}, session.SubscribeCommand{Channel: "pos:a"}))
		c.NextKind(t, "subscribe")
		l.drop.Store(true)
		n.publish(t, "pos:a", `1`)
		c.ExpectDisconnect(t, 3010)
	})
	t.Run("a_history_that_began_anew_is_noticed", func(t *testing.T) {
		e := &reborn{Engine: brokermemory.New(brokermemory.Options{})}
		n := newNode(t, quick(e))
		c, _ := n.subscribe(t, subs("pos:a"))
		n.publish(t, "pos:a", `1`)
		c.ExpectPub(t, "pos:a")
		e.epoch.Store(true)
		c.ExpectDisconnect(t, 3010)
	})
	t.Run("a_top_that_went_back_is_noticed", func(t *testing.T) {
		e := &reborn{Engine: brokermemory.New(brokermemory.Options{})}
		n := newNode(t, quick(e))
		c, _ := n.subscribe(t, subs("pos:a"))
		n.publish(t, "pos:a", `1`)
		c.ExpectPub(t, "pos:a")
		e.back.Store(true)
		c.ExpectDisconnect(t, 3010)
	})
}

func TestProtocol_6_5_ChecksAreFew(t *testing.T) {
	t.Run("once_per_channel_whoever_asks_and_an_error_postpones_it", func(t *testing.T) {
		e := &reborn{Engine: brokermemory.New(brokermemory.Options{})}
		n := newNode(t, quick(e))
		clients := make([]*testkit.Client, 20)
		for i := range clients {
			clients[i], _ = n.subscribe(t, subs("pos:a"))
		}
		e.fail.Store(true)
		e.reads.Store(0)
		testkit.Eventually(t, func() bool { return e.reads.Load() >= 3 }, "checks that fail")
		e.fail.Store(false)
		began := time.Now()
		e.reads.Store(0)
		reads := int64(0)
		testkit.Eventually(t, func() bool { reads = e.reads.Load(); return reads >= 12 }, "checks")
		// Two loops may ask at once before the first answer reaches both, and
		// may have asked already, or be late with what they have asked.
		rounds := int64(time.Since(began)/(100*time.Millisecond)) + 1
		require.LessOrEqual(t, reads, 2*rounds+4, "not one for each of 20 subscribers")
		n.publish(t, "pos:a", `1`)
		for _, c := range clients {
			c.ExpectPub(t, "pos:a")
		}
	})
	t.Run("busy_channels_are_not_taken_for_lost", func(t *testing.T) {
		n := newNode(t, func(s *settings) {
			quick(brokermemory.New(brokermemory.Options{}))(s)
			s.session.PresenceUpdateInterval = 5 * time.Millisecond
			s.session.PositionCheckDelay = time.Nanosecond
		})
		c, _ := n.subscribe(t, subs("pos:a"))
		for i := range 3000 {
			n.publish(t, "pos:a", fmt.Sprint(i))
		}
		for i := range 3000 {
			require.EqualValues(t, i+1, c.ExpectPub(t, "pos:a").Offset)
		}
	})
}

func TestProtocol_6_5_ChecksKeepThePositionAlive_12_31(t *testing.T) {
	const ttl = time.Second
	e := &watched{Engine: brokermemory.New(brokermemory.Options{})}
	n := newNode(t, func(s *settings) {
		quick(e)(s)
		s.channels.Namespaces = []channel.Namespace{open("rec", channel.Options{
			HistorySize: 5, HistoryTTL: ttl, HistoryMetaTTL: ttl, ForceRecovery: true,
		})}
	})
	// Checks that are held up for as long cannot keep anything: then it
	// says nothing, and another channel is looked at.
	deadline := time.Now().Add(2 * patience)
	for i := 0; ; i++ {
		ch := fmt.Sprint("rec:", i)
		e.begin()
		c, res := n.subscribe(t, subs(ch))
		began := time.Now()
		testkit.Eventually(t, func() bool { return e.longest() >= ttl || time.Since(began) > 2*ttl }, "time to pass")
		top, err := topOf(t, n, ch)
		require.NoError(t, err)
		open := n.sessions.Counts().Clients
		if gap := e.longest(); gap < ttl {
			require.Equal(t, res.Subs[ch].Epoch, top.Epoch)
			require.Equal(t, 1, open)
			return
		}
		require.True(t, time.Now().Before(deadline), "checks were never in time")
		c.Close()
		n.sessionsOpen(t, 0)
	}
}

// watched is a memory engine that notes the longest time between two reads of
// history.
type watched struct {
	*brokermemory.Engine

	// Guarded by mu.
	mu   sync.Mutex
	last time.Time // when the newest read began
	most time.Duration
}

func (w *watched) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last, w.most = time.Now(), 0
}

// longest counts the time from the last read until now too.
func (w *watched) longest() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return max(w.most, time.Since(w.last))
}

func (w *watched) Histories(ctx context.Context, queries []broker.HistoryQuery) []broker.History {
	w.mu.Lock()
	defer w.mu.Unlock()
	began := time.Now()
	answers := w.Engine.Histories(ctx, queries)
	// At most: the engine looks at the clock somewhere in between.
	w.most, w.last = max(w.most, time.Since(w.last)), began
	return answers
}

// reborn is a memory engine whose answers about history change on request.
type reborn struct {
	*brokermemory.Engine
	epoch, back, fail atomic.Bool
	reads             atomic.Int64
}

func (e *reborn) Histories(ctx context.Context, queries []broker.HistoryQuery) []broker.History {
	answers := e.Engine.Histories(ctx, queries)
	e.reads.Add(int64(len(queries)))
	for i := range answers {
		switch h := &answers[i]; {
		case e.fail.Load():
			*h = broker.History{Err: codec.ErrInternal}
		case e.epoch.Load():
			h.Top = broker.Position{Epoch: "brandNew"}
		case e.back.Load():
			h.Top.Offset--
		}
	}
	return answers
}

func TestProtocol_6_5_MaxTimeLag(t *testing.T) {
	n := newNode(t, func(s *settings) { kinds(s); s.hub.PositionMaxTimeLag = time.Minute })
	old := func(p *codec.Publication, _ *brokerOptions) { p.Time = time.Now().Add(-2 * time.Minute).UnixMilli() }
	loose, _ := n.subscribe(t, subs("hist:a", "plain:a"))
	n.publishWith(t, "hist:a", `1`, old)
	require.EqualValues(t, 1, loose.ExpectPub(t, "hist:a").Offset)
	n.publishWith(t, "plain:a", `2`, old)
	loose.ExpectPub(t, "plain:a")
	c, _ := n.subscribe(t, subs("pos:a"))
	n.publish(t, "pos:a", `1`)
	n.publishWith(t, "pos:a", `2`, func(p *codec.Publication, _ *brokerOptions) { p.Time = 0 })
	c.ExpectPub(t, "pos:a")
	c.ExpectPub(t, "pos:a")
	n.publishWith(t, "pos:a", `3`, old)
	c.ExpectDisconnect(t, 3010)
}
