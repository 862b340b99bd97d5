package sse_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/broker"
	"sluice/gateway/channel"
	"sluice/gateway/session"
	"sluice/gateway/testkit"
)

// storm is how long the tests of this file run.
const storm = 1500 * time.Millisecond

// publishers publish into channels as fast as credit lets them, two for each
// channel, until stopped. A payload is [publisher, number].
type publishers struct {
	n    *node
	stop atomic.Bool
	wg   sync.WaitGroup
	errs chan error
}

func startPublishers(n *node, channels ...string) *publishers {
	p := &publishers{n: n, errs: make(chan error, 2*len(channels))}
	for _, ch := range channels {
		for who := range 2 {
			p.wg.Go(func() {
				for i := 1; !p.stop.Load(); i++ {
					if err := p.publish(ch, fmt.Sprintf("[%d,%d]", who, i)); err != nil {
						p.errs <- err
						return
					}
					// About 2,000 a second and publisher: readers under the
					// race detector must keep up.
					time.Sleep(500 * time.Microsecond)
				}
			})
		}
	}
	return p
}

func (p *publishers) publish(ch, data string) error {
	payload, err := codec.Compact([]byte(data), codec.Limits{})
	if err != nil {
		return err
	}
	o, err := p.n.rules.Lookup(ch)
	if err != nil {
		return err
	}
	credit, err := p.n.hub.AcquireCredit(context.Background(), payload.Len())
	if err != nil {
		return err
	}
	res, err := p.n.broker.Publish(context.Background(), ch, &codec.Publication{Data: payload}, broker.PublishOptions{
		Credit: credit, History: broker.HistoryOptions{Size: o.HistorySize, TTL: o.HistoryTTL, MetaTTL: o.HistoryMetaTTL},
	})
	if err == nil && !res.CreditTaken {
		credit.Release()
		if p.n.broker.Abilities().Local {
			return errors.New("credit was not taken")
		}
	}
	return err
}

func (p *publishers) end(t *testing.T) {
	t.Helper()
	p.stop.Store(true)
	p.wg.Wait()
	close(p.errs)
	for err := range p.errs {
		require.NoError(t, err)
	}
	testkit.Eventually(t, func() bool { return p.n.hub.Stats().CreditUsed == 0 }, "all credit to come back")
}

// follower checks what one client sees of a channel over all its connections.
type follower struct {
	ch     string
	epoch  string
	offset uint64
	last   [2]int // of each publisher
}

// publication checks the order of offsets, and of each publisher.
func (f *follower) publication(p testkit.Publication, positioned, whole bool) error {
	if positioned {
		if p.Offset != f.offset+1 {
			return fmt.Errorf("%s: offset %d after %d", f.ch, p.Offset, f.offset)
		}
		f.offset = p.Offset
	}
	var data [2]int
	if err := json.Unmarshal(p.Data, &data); err != nil {
		return err
	}
	who, i := data[0], data[1]
	if i <= f.last[who] {
		return fmt.Errorf("%s: publisher %d: %d after %d", f.ch, who, i, f.last[who])
	}
	if whole && f.last[who] != 0 && i != f.last[who]+1 {
		return fmt.Errorf("%s: publisher %d: %d after %d: a gap", f.ch, who, i, f.last[who])
	}
	f.last[who] = i
	return nil
}

// connected checks the entry of a connect push.
func (f *follower) connected(r testkit.SubscribeResult) error {
	asked := f.epoch != ""
	if r.Epoch == "" {
		f.last = [2]int{} // not positioned: begins somewhere
		return nil
	}
	if asked && r.WasRecovering && !r.Recovered && r.Recoverable {
		return fmt.Errorf("%s: not recovered from %d", f.ch, f.offset)
	}
	if !r.Recovered {
		f.offset, f.last = r.Offset, [2]int{}
	} else if r.Offset != f.offset {
		return fmt.Errorf("%s: recovered from %d, asked from %d", f.ch, r.Offset, f.offset)
	}
	f.epoch = r.Epoch
	for _, p := range r.Publications {
		if err := f.publication(p, true, true); err != nil {
			return fmt.Errorf("recovered: %w", err)
		}
	}
	return nil
}

// run reads some pushes of one connection.
func (f *followers) run(t *testing.T, addr string, pushes int) error {
	requested := make(map[string]testkit.SubscribeRequest)
	for ch, fo := range f.of {
		requested[ch] = testkit.SubscribeRequest{Recover: fo.epoch != "", Offset: fo.offset, Epoch: fo.epoch}
	}
	c := testkit.Connect(t, addr, testkit.ConnectOptions{Subs: requested, Timeout: patience})
	defer c.Close()
	res := c.ExpectConnect(t) // the connect push is always first
	for ch, fo := range f.of {
		sub, ok := res.Subs[ch]
		if !ok {
			return fmt.Errorf("%s is missing in the connect push", ch)
		}
		if err := fo.connected(sub); err != nil {
			return err
		}
	}
	for range pushes {
		p := c.Next(t)
		if f.mayBeTold && tellsLoss(t, p) {
			f.told++
			return nil
		}
		if p.Kind != "pub" {
			return fmt.Errorf("got %s", p.Raw)
		}
		var pub testkit.Publication
		p.Decode(t, &pub)
		fo := f.of[p.Channel]
		if err := fo.publication(pub, res.Subs[p.Channel].Positioned, true); err != nil {
			return fmt.Errorf("live: %w", err)
		}
	}
	return nil
}

type followers struct {
	of        map[string]*follower
	mayBeTold bool // that their position is lost
	told      int
}

func following(channels ...string) *followers {
	f := &followers{of: make(map[string]*follower)}
	for _, ch := range channels {
		f.of[ch] = &follower{ch: ch}
	}
	return f
}

// deep keeps enough for a client that was away, however long it stood still, or
// its connect did.
func deep(s *settings) {
	s.loop.QueueMaxSize, s.hub.HoldMaxSize, s.session.RecoveryMaxBytes = 1<<30, 1<<30, 1<<30
	keep := channel.Options{HistorySize: 200_000, HistoryTTL: time.Hour}
	rec, pos, delta := keep, keep, keep
	rec.ForceRecovery, pos.ForcePositioning, delta.ForceRecovery = true, true, true
	present := channel.Options{Presence: true}
	s.channels.Namespaces = append(s.channels.Namespaces,
		open("rec", rec), open("pos", pos), open("hist", keep), open("plain", channel.Options{}), open("present", present))
	s.session.RecoveryLimit = -1
}

func TestNothingIsLostOrDoubledWhileClientsComeAndGo(t *testing.T) {
	t.Run("memory", func(t *testing.T) { comeAndGo(t, deep) })
	t.Run("with_cursors", func(t *testing.T) {
		comeAndGo(t, func(s *settings) {
			deep(s)
			s.session.Cursors, s.hub.Cursors, s.sse.LastEventID = true, true, true
		})
	})
	t.Run("an_engine_outside_the_process", func(t *testing.T) {
		comeAndGo(t, func(s *settings) {
			deep(s)
			s.broker = remote{s.broker}
		})
	})
}

func comeAndGo(t *testing.T, change func(*settings)) {
	t.Helper()
	n := newNode(t, change)
	channels := []string{"rec:a", "rec:b", "pos:a", "hist:a", "plain:a", "present:a"}
	p := startPublishers(n, channels...)
	var wg sync.WaitGroup
	deadline := time.Now().Add(storm)
	errs := make(chan error, 64)
	var connects atomic.Int64
	for i := range 8 {
		wg.Go(func() {
			f := following(channels...)
			for k := 0; k < 3 || time.Now().Before(deadline); k++ {
				connects.Add(1)
				// Some leave at once, some read for long.
				if err := f.run(t, n.addr, (i*k*37)%400); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	p.end(t)
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	require.GreaterOrEqual(t, connects.Load(), int64(3*8))
	n.sessionsOpen(t, 0)
	testkit.Eventually(t, func() bool { c, s := n.hub.Interest(); return c+s == 0 }, "interest to be zero")
}

// The server API subscribes and unsubscribes the same connections over and over
// while the channel is published to.
func TestSubscribeStormUnderPublishing(t *testing.T) { subscribeStorm(t, deep) }

func subscribeStorm(t *testing.T, change func(*settings)) {
	t.Helper()
	n := newNode(t, change)
	const ch = "rec:s"
	p := startPublishers(n, ch)
	deadline := time.Now().Add(storm)
	var clients []*testkit.Client
	for range 6 {
		c, _ := n.subscribe(t, nil)
		clients = append(clients, c)
	}
	var storms, readers sync.WaitGroup
	errs := make(chan error, 64)
	var waiting atomic.Int64 // clients that have seen no publication yet
	waiting.Store(int64(len(clients)))
	for range 3 { // several calls at once, on the same connections
		storms.Go(func() {
			for i := 0; time.Now().Before(deadline) || waiting.Load() > 0; i++ {
				var err error
				if i%3 == 2 {
					err = n.sessions.Unsubscribe(context.Background(), session.Target{}, ch)
				} else {
					err = n.sessions.Subscribe(context.Background(), session.Target{}, session.SubscribeCommand{Channel: ch})
				}
				if err != nil {
					errs <- err
					return
				}
				time.Sleep(time.Duration(i%5) * time.Millisecond)
			}
		})
	}
	for _, c := range clients {
		readers.Go(func() {
			first := sync.OnceFunc(func() { waiting.Add(-1) })
			defer first()
			if err := followStorm(t, c, ch, first); err != nil {
				errs <- err
			}
		})
	}
	storms.Wait()
	require.NoError(t, n.sessions.Unsubscribe(context.Background(), session.Target{}, ch))
	require.NoError(t, n.sessions.Disconnect(context.Background(), session.Target{}, nil, codec.DisconnectForceNoReconnect))
	readers.Wait()
	p.end(t)
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	n.sessionsOpen(t, 0)
	testkit.Eventually(t, func() bool { c, s := n.hub.Interest(); return c+s == 0 }, "interest to be zero")
}

// followStorm reads until the disconnect: whatever was told last is where
// publications go on, without a gap. It calls first at a publication.
func followStorm(t *testing.T, c *testkit.Client, ch string, first func()) error {
	var offset uint64
	subscribed, seen := false, 0
	for {
		p := c.Next(t)
		switch p.Kind {
		case "subscribe":
			var r testkit.SubscribeResult
			p.Decode(t, &r)
			offset, subscribed = r.Offset, true
		case "unsubscribe":
			subscribed = false
		case "pub":
			var pub testkit.Publication
			p.Decode(t, &pub)
			if !subscribed || pub.Offset != offset+1 {
				return fmt.Errorf("offset %d after %d (subscribed: %v)", pub.Offset, offset, subscribed)
			}
			offset = pub.Offset
			seen++
			first()
		case "disconnect":
			var d testkit.Disconnect
			p.Decode(t, &d)
			if d.Code != 3503 || seen == 0 {
				return fmt.Errorf("disconnect %d after %d publications", d.Code, seen)
			}
			return nil
		default:
			return fmt.Errorf("got %s", p.Raw)
		}
	}
}

// Clients that leave in every stage of their connect leave nothing behind.
func TestClientsThatLeaveEarlyLeaveNothing(t *testing.T) {
	n := newNode(t, deep)
	p := startPublishers(n, "rec:a", "plain:a")
	request := testkit.Request{
		Method: "POST", Target: testkit.DefaultPath, Body: `{"subs":{"rec:a":{},"plain:a":{},"present:a":{}}}`,
	}.String()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 60 {
				c := testkit.Dial(t, n.addr)
				if err := c.TrySend(request); err == nil && i%2 == 0 {
					c.ReadHead(t)
				}
				_ = c.Close()
			}
		})
	}
	wg.Wait()
	p.end(t)
	n.sessionsOpen(t, 0)
	testkit.Eventually(t, func() bool {
		stats, err := n.presence.Stats(context.Background(), "present:a")
		return err == nil && stats.Clients == 0
	}, "presence to be empty")
	testkit.Eventually(t, func() bool { c, s := n.hub.Interest(); return c+s == 0 }, "interest to be zero")
}
