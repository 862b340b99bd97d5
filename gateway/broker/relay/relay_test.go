package relay

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/broker"
	"sluice/gateway/testkit"
)

func TestASubscriptionHasWhatWasPublishedBefore(t *testing.T) {
	t.Parallel()
	more := make(chan struct{})
	o := newOrigin(t, func(c *call) {
		c.send(told(3, 5), "retry: 2000\n\n", event(4))
		<-more
		c.send(event(5))
		<-more
		c.send(event(6))
		c.hold()
	})
	r := newRig(t, quick(o))
	subscribed := make(chan error, 1)
	go func() { subscribed <- r.Subscribe(t.Context(), []string{channel}) }()
	r.await("4")
	require.Empty(t, subscribed, "5 is missing")
	more <- struct{}{}
	require.NoError(t, <-subscribed)
	list, top := r.read()
	require.Equal(t, []uint64{4, 5}, list)
	require.Equal(t, broker.Position{Offset: 5, Epoch: epoch}, top)
	more <- struct{}{}
	r.await("4", "5", "6")
	require.EqualValues(t, 1, r.Stats().Streams)
	require.NoError(t, r.Ready())

	require.NoError(t, r.Unsubscribe(t.Context(), []string{channel}))
	<-o.asked()[0].gone
	require.Zero(t, r.Stats().Channels)
	require.Zero(t, r.Stats().Kept)
}

func TestAQuietChannelHasAPlace(t *testing.T) {
	t.Parallel()
	f := func(name, text string, top uint64) {
		t.Run(name, func(t *testing.T) {
			o := newOrigin(t, func(c *call) { c.send(text); c.hold() })
			r := newRig(t, quick(o))
			r.subscribe()
			list, at := r.read()
			require.Empty(t, list)
			require.Equal(t, broker.Position{Offset: top, Epoch: epoch}, at)
		})
	}
	f("told_by_the_head", told(57, 57), 57)
	f("told_by_a_checkpoint", closeHead+"retry: 1\n\n:\n\n"+checkpoint(57), 57)
	f("empty", told(0, 0), 0)
}

func TestARequestSaysWhoAsks(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, func(c *call) { c.send(told(0, 0)); c.hold() })
	r := newRig(t, quick(o))
	ctx := broker.WithVia(t.Context(), `cdn, sluice; node="other"`)
	require.NoError(t, r.Subscribe(ctx, []string{channel}))
	c := o.asked()[0]
	require.Equal(t, "/broadcast/news/1", c.RequestURI)
	require.Equal(t, `cdn, sluice; node="other", sluice; node="me"`, c.Header.Get("CDN-Loop"))
	require.Equal(t, "text/event-stream", c.Header.Get("Accept"))
	require.Equal(t, "identity", c.Header.Get("Accept-Encoding"))
	require.Empty(t, c.Header.Get("Last-Event-ID"))
}

func TestChannelsHaveTheAddressesOfViewers(t *testing.T) {
	base, err := url.Parse("http://o/a%20b")
	require.NoError(t, err)
	for ch, want := range map[string]string{
		"a": "/a%20b/a", "a.b:c/d": "/a%20b/a.b:c/d", "ä ?#%": "/a%20b/%C3%A4%20%3F%23%25", "a//b": "/a%20b/a%2F%2Fb",
		"a/../b": "/a%20b/a%2F%2E%2E%2Fb", "a!(b),c;d'": "/a%20b/a!(b),c;d'", ".": "/a%20b/%2E", "/": "/a%20b/%2F",
	} {
		u := target(base, ch, false)
		require.Equal(t, want, u.EscapedPath())
		again, err := url.Parse(u.String())
		require.NoError(t, err)
		require.Equal(t, want, again.EscapedPath())
		require.Equal(t, "/a b/"+ch, again.Path)
	}
	require.Equal(t, "/a%20b.bare/x", target(base, "x", true).EscapedPath())
}

func TestAPlannedEndIsFollowedFromItsCheckpoint(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, func(c *call) {
		switch c.n {
		case 0:
			c.send(told(0, 2), "retry: 60000\n\n", eventsOf(1, 2), checkpoint(2), event(3), checkpoint(3), "retry: 1000\n\n")
		case 1:
			c.send(told(3, 4), "retry: 60000\n\n", eventsOf(4, 5))
			c.hold()
		}
	})
	r := newRig(t, quick(o))
	r.subscribe()
	r.await("1", "2", "3", "4", "5")
	require.Equal(t, cursor(3), o.asked()[1].Header.Get("Last-Event-ID"))
	st := r.Stats()
	require.EqualValues(t, 1, st.Ends["planned"])
	require.Zero(t, st.Gaps)
}

func TestRepeatsAreDropped(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, func(c *call) {
		if c.n == 0 {
			c.send(closeHead, eventsOf(5, 7), checkpoint(7), event(8)) // and it breaks off: 8 lies behind the checkpoint
			return
		}
		c.send(closeHead, eventsOf(6, 7), checkpoint(7), eventsOf(8, 9), checkpoint(9))
		c.hold()
	})
	r := newRig(t, quick(o))
	r.subscribe()
	r.await("5", "6", "7", "8", "9")
	require.EqualValues(t, 3, r.Stats().Repeats)
	require.Zero(t, r.Stats().Gaps)
	list, _ := r.read()
	require.Equal(t, []uint64{5, 6, 7, 8, 9}, list)
}

func TestAGapIsTold(t *testing.T) {
	t.Parallel()
	gap := "data: " + string(codec.AppendGap(nil, channel, codec.Gap{Dropped: 3, From: 3, To: 5})) + "\n\n"
	f := func(name, second string, want ...string) {
		t.Run(name, func(t *testing.T) {
			o := newOrigin(t, func(c *call) {
				if c.n == 0 {
					c.send(told(0, 2), eventsOf(1, 2), checkpoint(2))
					return
				}
				c.send(second)
				c.hold()
			})
			r := newRig(t, quick(o))
			r.subscribe()
			r.await(want...)
			require.EqualValues(t, 1, r.Stats().Gaps)
			_, top := r.read()
			require.EqualValues(t, 6, top.Offset)
		})
	}
	f("jump", closeHead+event(6), "1", "2", "lost", "6")
	f("head", told(5, 6)+event(6), "1", "2", "lost", "6")
	f("push", closeHead+gap+event(6), "1", "2", "lost", "6")
	f("head_and_push", told(5, 6)+gap+event(6), "1", "2", "lost", "6")
	f("checkpoint", closeHead+checkpoint(6), "1", "2", "lost")
	f("nothing_kept", told(6, 6), "1", "2", "lost")
	f("went_back", strings.Replace(told(5, 6), "public", "private", 1)+event(6), "1", "2", "lost", "6")
}

func TestAnotherEpochIsTold(t *testing.T) {
	t.Parallel()
	const other = "ijklmnop"
	f := func(name, head string) {
		t.Run(name, func(t *testing.T) {
			o := newOrigin(t, func(c *call) {
				if c.n == 0 {
					c.send(told(0, 2), eventsOf(1, 2), checkpoint(2))
					return
				}
				c.send(strings.Replace(head+event(1), epoch, other, 2))
				c.hold()
			})
			r := newRig(t, quick(o))
			r.subscribe()
			r.await("1", "2", "lost", "1")
			list, top := r.read()
			require.Equal(t, []uint64{1}, list)
			require.Equal(t, broker.Position{Offset: 1, Epoch: other}, top)
			require.Equal(t, other, r.sink.Events(channel)[3].Pub.Epoch)
			require.EqualValues(t, 1, r.Stats().Epochs)
		})
	}
	f("told", told(0, 1))
	f("untold", closeHead)
}

func TestAReadWaitsForThePlaceInANewEpoch(t *testing.T) {
	t.Parallel()
	more := make(chan struct{})
	o := newOrigin(t, func(c *call) {
		if c.n == 0 {
			c.send(told(2, 2))
			return
		}
		c.send(strings.Replace(closeHead, epoch, "ijklmnop", 1))
		<-more
		c.send(strings.Replace(checkpoint(7), cursor(7), "opaque", 1), event(8))
		c.hold()
	})
	r := newRig(t, quick(o))
	r.subscribe()
	r.await("lost")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := broker.Read(ctx, r.Engine, broker.HistoryQuery{Channel: channel})
	require.ErrorIs(t, err, broker.ErrUnavailable)
	close(more)
	_, top := r.read()
	require.EqualValues(t, 8, top.Offset)
}

func TestWhatTheOriginDoesNotHave(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, func(c *call) {
		c.send("HTTP/1.1 404 Not Found\r\nCache-Control: public, max-age=3\r\nContent-Length: 2\r\n\r\n{}")
	})
	r := newRig(t, quick(o))
	require.ErrorIs(t, r.refused(patience), broker.ErrNoChannel)
	require.ErrorIs(t, r.refused(patience), broker.ErrNoChannel)
	require.Len(t, o.asked(), 1, "the answer holds for a while")
	require.EqualValues(t, 1, r.Stats().Absent)
	require.EqualValues(t, 1, r.Stats().Ends["absent"])
}

func TestACircleIsRefused(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, func(c *call) { c.send("HTTP/1.1 508 Loop Detected\r\nContent-Length: 0\r\n\r\n") })
	r := newRig(t, quick(o))
	require.ErrorIs(t, r.refused(patience), broker.ErrLoop)
}

func TestOnlyTheRedirectToTheBareRouteIsFollowed(t *testing.T) {
	t.Parallel()
	redirect := func(to string) string { return "HTTP/1.1 307 x\r\nLocation: " + to + "\r\nContent-Length: 0\r\n\r\n" }
	o := newOrigin(t, func(c *call) {
		if strings.Contains(c.RequestURI, ".bare") {
			c.send(told(1, 2), event(2))
			c.hold()
			return
		}
		c.send(redirect("/broadcast.bare/news/1"))
	})
	r := newRig(t, quick(o))
	r.subscribe()
	r.await("2")
	for _, to := range []string{"/broadcast.bare/other", "http://127.0.0.1:1/broadcast.bare/news/1", "//evil/broadcast.bare/news/1", "/broadcast.bare/news/1?x", ":"} {
		o := newOrigin(t, func(c *call) { c.send(redirect(to)) })
		r := newRig(t, quick(o))
		require.ErrorIs(t, r.refused(patience), broker.ErrUnavailable)
		require.EqualValues(t, 1, r.Stats().Ends["redirect"])
		require.Len(t, o.asked(), 1)
	}
	again := newOrigin(t, func(c *call) { c.send(redirect("/broadcast.bare/news/1")) })
	r = newRig(t, quick(again))
	require.ErrorIs(t, r.refused(patience), broker.ErrUnavailable)
	require.Len(t, again.asked(), 2, "once")
}

func TestWhatIsKeptIsBounded(t *testing.T) {
	t.Parallel()
	f := func(name string, change func(o *Options), kept []uint64, trimmed uint64) {
		t.Run(name, func(t *testing.T) {
			o := newOrigin(t, func(c *call) { c.send(told(0, 9), eventsOf(1, 9)); c.hold() })
			opt := quick(o)
			change(&opt)
			r := newRig(t, opt)
			r.subscribe()
			list, top := r.read()
			require.Equal(t, kept, list)
			require.EqualValues(t, 9, top.Offset)
			require.Equal(t, trimmed, r.Stats().Trimmed)
			require.EqualValues(t, len(kept)*(publicationCost+3), r.Stats().Kept)
		})
	}
	keep := func(size int, ttl time.Duration) func(o *Options) {
		return func(o *Options) {
			o.Keep = func(string) broker.HistoryOptions { return broker.HistoryOptions{Size: size, TTL: ttl} }
		}
	}
	f("count", keep(2, time.Hour), []uint64{8, 9}, 0)
	f("age", keep(9, time.Nanosecond), nil, 0)
	f("nothing", keep(0, 0), nil, 0)
	f("channel", func(o *Options) { o.ChannelMax = 3*(publicationCost+3) + 1 }, []uint64{7, 8, 9}, 6)
	f("total", func(o *Options) { o.TotalMax = publicationCost + 3 }, []uint64{9}, 8)
	f("none_fits", func(o *Options) { o.TotalMax = 1 }, nil, 9)
}

func TestChannelsAreBounded(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, func(c *call) { c.send(told(0, 0)); c.hold() })
	opt := quick(o)
	opt.Channels = 2
	r := newRig(t, opt)
	require.NoError(t, r.Subscribe(t.Context(), []string{"a", "b"}))
	err := r.Subscribe(t.Context(), []string{"c"})
	require.ErrorIs(t, err, broker.ErrUnavailable)
	require.ErrorContains(t, err, "relay.max_channels")
	require.EqualValues(t, 1, r.Stats().Refused)
	require.NoError(t, r.Unsubscribe(t.Context(), []string{"a", "unknown"}))
	require.NoError(t, r.Subscribe(t.Context(), []string{"c"}))
}

func TestNothingIsPublishedHere(t *testing.T) {
	t.Parallel()
	r := newRig(t, quick(newOrigin(t, func(c *call) { c.hold() })))
	_, err := r.Publish(t.Context(), channel, &codec.Publication{}, broker.PublishOptions{})
	require.ErrorIs(t, err, broker.ErrReadOnly)
	require.ErrorIs(t, r.Join(t.Context(), channel, nil, nil), broker.ErrReadOnly)
	require.ErrorIs(t, r.Leave(t.Context(), channel, nil, nil), broker.ErrReadOnly)
	require.ErrorIs(t, r.RemoveHistory(t.Context(), channel), broker.ErrReadOnly)
	require.NoError(t, r.Barrier(t.Context()))
	list, top, err := broker.Read(t.Context(), r.Engine, broker.HistoryQuery{Channel: channel, Limit: -1})
	require.NoError(t, err)
	require.Empty(t, list)
	require.Zero(t, top)
}

func TestCreditHoldsTheOriginBack(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, func(c *call) {
		c.send(told(0, 1), event(1))
		for i := uint64(2); ; i++ {
			if _, err := c.conn.Write([]byte(event(i))); err != nil {
				return
			}
		}
	})
	opt := quick(o)
	opt.Idle = 20 * time.Millisecond // time that we take is not the origin's
	r := newRig(t, opt)
	r.subscribe()
	letGo := r.sink.Hold()
	var taken uint64
	since := time.Now()
	testkit.Eventually(t, func() bool {
		before := taken
		if taken = r.Stats().Taken; before != taken {
			since = time.Now()
		}
		return time.Since(since) > 5*opt.Idle
	}, "nothing more to be taken for longer than an origin may be idle")
	require.Zero(t, r.Stats().Ends["stalled"])
	letGo()
	r.until("more", func(st Stats) bool { return st.Taken > taken+100 })
	require.NoError(t, r.Unsubscribe(t.Context(), []string{channel}))
	for i, e := range r.sink.Events(channel) {
		require.EqualValues(t, i+1, e.Pub.Offset)
	}
}
