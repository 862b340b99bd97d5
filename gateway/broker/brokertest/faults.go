package brokertest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/broker"
	"sluice/gateway/testkit"
)

// Link is the way from an engine to its backend.
type Link struct {
	// Cut ends the connections there are; new ones are accepted at once.
	Cut func()
	// Down ends them and accepts none until up is called.
	Down func() (up func())
	// Stall lets nothing through, and breaks nothing, until on is called.
	Stall func() (on func())
}

// FaultFactory makes engines of one backend, each with a way of its own to it.
type FaultFactory struct {
	New    func(t *testing.T) (broker.Broker, Link)
	Prefix string
	// KeepsMore: histories may be longer than their size.
	KeepsMore bool
	// Most is how long a call may take while the backend is away, whatever its
	// context: the engine's own limits together, with room for a slow machine.
	Most time.Duration
}

// RunFaults judges engines while their connections break. The backend keeps what it
// has.
func RunFaults(t *testing.T, f FaultFactory) {
	for _, c := range []struct {
		name    string
		history bool // it is about that
		test    func(s *faulty)
	}{
		{"CutsLoseNothing", true, (*faulty).cutsLoseNothing},
		{"WhatIsTooOldIsTold", true, (*faulty).tooOldIsTold},
		{"QuietChannelsAreResynced", true, (*faulty).quietChannels},
		{"AnEpochThatEndedIsTold", true, (*faulty).epochEnds},
		{"CallsEndInAnOutage", false, (*faulty).callsEndInAnOutage},
		{"CallsEndWhenNothingMoves", false, (*faulty).callsEndInAStall},
		{"RepeatsAreSafe", true, (*faulty).repeatsAreSafe},
		{"SubscriptionsInAnOutage", false, (*faulty).subscriptionsInAnOutage},
		{"LagIsNoLoss", true, (*faulty).lagIsNoLoss},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &faulty{f: f}
			n, _ := f.New(t)
			far, link := f.New(t)
			s.suite = suite{t: t, f: Factory{New: func(*testing.T) broker.Broker { return n }}, ch: f.Prefix + c.name}
			s.start()
			s.suite.f.New = func(*testing.T) broker.Broker { return far }
			s.start()
			s.link = link
			for _, n := range s.nodes {
				testkit.Eventually(t, func() bool { return n.Ready() == nil }, "the engines to be ready")
			}
			if c.history && !s.keeps() {
				t.Skip("keeps none")
			}
			c.test(s)
			for _, n := range s.nodes {
				n.sink.verify(t)
			}
		})
	}
}

// faulty is a suite whose last node has a link that breaks.
type faulty struct {
	suite
	f    FaultFactory
	link Link
}

// followed checks what a subscriber that stands at offset 0 was told: publications one
// after the other, none twice, and where some are missing, that it was told so. It returns
// how many came, and whether something was told to be lost.
func (s *faulty) followed(n *node, ch string) (came uint64, lost bool) {
	s.t.Helper()
	for i, e := range n.sink.Events(ch) {
		switch e.Kind {
		case Publication:
			if e.Pub.Offset == 0 || lost {
				continue
			}
			require.Equal(s.t, came+1, e.Pub.Offset, "event %d of %s", i, ch)
			came = e.Pub.Offset
		case Resynced:
			lost = lost || e.Top.Offset != came
		case Lost:
			lost = true
		}
	}
	return came, lost
}

// enter subscribes as a subscriber with a position does, which then reads where it is: only from
// there on can an engine know what is missing.
func (s *faulty) enter(channels ...string) {
	s.t.Helper()
	s.subscribe(channels...)
	for _, ch := range channels {
		_, top := s.read(ch, broker.HistoryQuery{})
		require.Zero(s.t, top.Offset)
	}
}

// settled waits until the far node is at the top of a channel.
func (s *faulty) settled(ch string, top uint64) {
	s.t.Helper()
	testkit.Eventually(s.t, func() bool {
		came, lost := s.followed(s.last(), ch)
		return came == top || lost
	}, fmt.Sprintf("%d publications of %s", top, ch))
	came, lost := s.followed(s.last(), ch)
	require.False(s.t, lost, "%s: all of it was kept, %d of %d came", ch, came, top)
}

// cutsLoseNothing: publishers that do not wait, and one that does, while the far node's
// connections are cut again and again.
func (s *faulty) cutsLoseNothing() {
	const channels, each = 5, 200
	opt := broker.PublishOptions{History: broker.HistoryOptions{Size: 1000, TTL: time.Minute, MetaTTL: time.Hour}}
	var names []string
	for i := range channels {
		names = append(names, fmt.Sprint(s.ch, i))
	}
	s.enter(names...)
	var published atomic.Int64
	var wait sync.WaitGroup
	for _, ch := range names {
		wait.Go(func() {
			for range each {
				if _, err := s.first().Publish(s.ctx(), ch, pub("x"), opt); err != nil {
					s.t.Error(err)
				}
				published.Add(1)
			}
		})
	}
	for cut := range int64(10) {
		testkit.Eventually(s.t, func() bool { return published.Load() >= cut*channels*each/10 }, "publications between cuts")
		s.link.Cut()
	}
	wait.Wait()
	for _, ch := range names {
		s.settled(ch, each)
	}
	testkit.Eventually(s.t, func() bool { return s.last().Ready() == nil }, "the far node to be ready again")
}

// tooOldIsTold: more is published in an outage than is kept.
func (s *faulty) tooOldIsTold() {
	opt := broker.PublishOptions{History: broker.HistoryOptions{Size: 3, TTL: time.Minute, MetaTTL: time.Hour}}
	s.subscribe(s.ch)
	s.publish(s.first(), s.ch, "1", opt)
	s.last().sink.Await(s.t, s.ch, 1)
	up := s.link.Down()
	for i := range 10 {
		s.publish(s.first(), s.ch, fmt.Sprint(i+2), opt)
	}
	up()
	testkit.Eventually(s.t, func() bool {
		came, lost := s.followed(s.last(), s.ch)
		return lost || s.f.KeepsMore && came == 11
	}, "the loss to be told")
}

// quietChannels: what was published in an outage comes though nothing follows it, also
// where nothing had been delivered before it.
func (s *faulty) quietChannels() {
	s.subscribe(s.ch)
	s.enter(s.ch + "new")
	s.fill(s.ch, 2)
	s.settled(s.ch, 2)
	up := s.link.Down()
	s.publish(s.first(), s.ch, "3", broker.PublishOptions{History: keep})
	s.publish(s.first(), s.ch+"new", "1", broker.PublishOptions{History: keep})
	up()
	s.settled(s.ch, 3)
	s.settled(s.ch+"new", 1)
}

// epochEnds: the position of the channel expires in an outage.
func (s *faulty) epochEnds() {
	short := broker.PublishOptions{History: broker.HistoryOptions{Size: 3, TTL: time.Second, MetaTTL: time.Second}}
	s.subscribe(s.ch)
	before := s.publish(s.first(), s.ch, "1", short)
	s.last().sink.Await(s.t, s.ch, 1)
	up := s.link.Down()
	// Each publication would keep the position alive, so they come further and
	// further apart.
	pause, due := 500*time.Millisecond, time.Now()
	testkit.Eventually(s.t, func() bool {
		if time.Now().Before(due) {
			return false
		}
		pause *= 2
		due = time.Now().Add(pause)
		return s.publish(s.first(), s.ch, "x", short).Epoch != before.Epoch
	}, "the epoch to end")
	up()
	testkit.Eventually(s.t, func() bool {
		for _, e := range s.last().sink.Events(s.ch) {
			if e.Kind == Lost || e.Kind == Resynced && e.Top.Epoch != before.Epoch || e.Kind == Publication && e.Pub.Epoch != before.Epoch {
				return true
			}
		}
		return false
	}, "the new epoch to be told")
}

// timed makes a call that must fail in time, with an error that says whether something
// was done.
func (s *faulty) timed(name string, call func(ctx context.Context) error) {
	s.t.Helper()
	began := time.Now()
	err := call(context.Background())
	require.Error(s.t, err, name)
	require.Less(s.t, time.Since(began), s.f.Most, name)
	require.True(s.t, errors.Is(err, broker.ErrUnavailable) || errors.Is(err, broker.ErrUnknown), "%s: %v", name, err)
}

func (s *faulty) callsEndInAnOutage() { s.fail(s.link.Down()) }
func (s *faulty) callsEndInAStall()   { s.fail(s.link.Stall()) }

func (s *faulty) fail(mend func()) {
	n := s.last()
	s.timed("publish", func(ctx context.Context) error {
		_, err := n.Publish(ctx, s.ch, pub("x"), broker.PublishOptions{History: keep})
		return err
	})
	if s.keeps() {
		s.timed("history", func(ctx context.Context) error {
			_, _, err := broker.Read(ctx, n, broker.HistoryQuery{Channel: s.ch, Limit: -1, MetaTTL: time.Hour})
			return err
		})
	}
	s.timed("subscribe", func(ctx context.Context) error { return n.Subscribe(ctx, []string{s.ch}) })
	s.timed("barrier", n.Barrier)
	testkit.Eventually(s.t, func() bool { return n.Ready() != nil }, "the outage to be noticed")
	mend()
	testkit.Eventually(s.t, func() bool { return n.Ready() == nil }, "the engine to be ready again")
	require.NoError(s.t, n.Subscribe(s.ctx(), []string{s.ch + "x"}))
	s.publish(n, s.ch+"x", "x", broker.PublishOptions{})
	n.sink.Await(s.t, s.ch+"x", 1)
}

// repeatsAreSafe: a publisher with keys that tries until it is told publishes each once,
// whatever is cut.
func (s *faulty) repeatsAreSafe() {
	const messages = 100
	opt := broker.PublishOptions{History: broker.HistoryOptions{Size: 1000, TTL: time.Minute, MetaTTL: time.Hour}}
	s.enter(s.ch)
	var made atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range messages {
			opt.IdempotencyKey = fmt.Sprint(i)
			for {
				_, err := s.last().Publish(s.ctx(), s.ch, pub(opt.IdempotencyKey), opt)
				if err == nil || s.t.Failed() {
					break
				}
				if !errors.Is(err, broker.ErrUnavailable) && !errors.Is(err, broker.ErrUnknown) {
					s.t.Error(err)
					return
				}
			}
			made.Add(1)
		}
	}()
	for cut := range int64(10) {
		testkit.Eventually(s.t, func() bool { return made.Load() >= cut*messages/10 }, "publications between cuts")
		s.link.Cut()
	}
	<-done
	_, top := s.read(s.ch, broker.HistoryQuery{})
	require.EqualValues(s.t, messages, top.Offset)
	s.settled(s.ch, messages)
	for i, e := range s.first().sink.Await(s.t, s.ch, messages) {
		require.Equal(s.t, fmt.Sprintf(`"%d"`, i), e.Pub.Data.String())
	}
}

// subscriptionsInAnOutage: whoever subscribes until it is told is subscribed, and once.
func (s *faulty) subscriptionsInAnOutage() {
	up := s.link.Down()
	require.Error(s.t, s.last().Subscribe(s.ctx(), []string{s.ch}))
	up()
	testkit.Eventually(s.t, func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		return s.last().Subscribe(ctx, []string{s.ch}) == nil
	}, "a subscription behind the outage")
	s.publish(s.first(), s.ch, "x", broker.PublishOptions{})
	s.last().sink.Await(s.t, s.ch, 1)
	require.NoError(s.t, s.last().Barrier(s.ctx()))
	s.last().sink.Await(s.t, s.ch, 1)
}

// lagIsNoLoss: what is late comes, and the barrier waits for it.
func (s *faulty) lagIsNoLoss() {
	s.subscribe(s.ch)
	s.fill(s.ch, 2)
	s.settled(s.ch, 2)
	on := s.link.Stall()
	for range 20 {
		s.publish(s.first(), s.ch, "x", broker.PublishOptions{History: keep})
	}
	on()
	testkit.Eventually(s.t, func() bool { return s.last().Barrier(s.ctx()) == nil }, "a barrier")
	s.settled(s.ch, 22)
}
