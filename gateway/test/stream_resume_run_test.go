package test

import (
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/testkit"
)

// What follows a connect push because it is too much for one line. Many clients read
// lines of so many bytes at most.
const lineMost = 64 << 10

// missKilobytes has a client miss so many publications of 1 KB in each channel, and
// returns the id that it comes back with.
func (s *server) missKilobytes(t *testing.T, channels []string, each int) (id string) {
	t.Helper()
	id = s.cursor(t, channels...)
	for n := range each {
		for _, ch := range channels {
			s.api.Publish(t, ch, fmt.Sprintf(`{"n":%d,"pad":%q}`, n+1, strings.Repeat("p", 1000)))
		}
	}
	return id
}

func subsOf(delta string, channels ...string) map[string]testkit.SubscribeRequest {
	subs := make(map[string]testkit.SubscribeRequest)
	for _, ch := range channels {
		subs[ch] = testkit.SubscribeRequest{Delta: delta}
	}
	return subs
}

// offsets are the positions that an id tells, by channel.
func offsets(t *testing.T, id string, channels []string) map[string]uint64 {
	t.Helper()
	entries, ok := codec.ParseCursor(nil, id, 100)
	require.True(t, ok, "%q", id)
	at := make(map[string]uint64)
	for _, e := range entries {
		for _, ch := range channels {
			if codec.Tag32(ch) == e.Channel {
				at[ch] = e.Offset
			}
		}
	}
	require.Len(t, at, len(channels))
	return at
}

// A long resume by id is a short connect push and what was missed behind it, each with
// the position that the stream has then, in every channel: so a cut between any two
// resumes exactly there. What is published meanwhile, joins and all, comes behind it.
func TestALongResumeByIDFollowsThePushAsEvents(t *testing.T) {
	const each = 100
	s := startBurst(t, parts{
		client: `, "recovery_max_publication_limit": 0`,
		channel: `, "namespaces": [{"name": "rr", "allowed_delta_types": ["fossil"], "join_leave": true,
			"force_push_join_leave": true, ` + recoverable + `}]`,
	})
	f := func(name, proto, delta string, channels ...string) {
		t.Run(name, func(t *testing.T) {
			id := s.missKilobytes(t, channels, each)
			total := each * len(channels)
			seen := make(map[string]uint64)
			for left := total; left >= 0; left -= 7 {
				c := testkit.Connect(t, s.addr, testkit.ConnectOptions{
					Proto: proto, Subs: subsOf(delta, channels...), HTTPHeaders: [][2]string{{"Last-Event-ID", id}},
				})
				push := c.Next(t)
				require.Equal(t, "connect", push.Kind)
				require.Less(t, len(push.Frame), lineMost)
				var res testkit.ConnectResult
				push.Decode(t, &res)
				got := 0
				for _, ch := range channels {
					sub := res.Subs[ch]
					require.True(t, sub.Recovered && sub.WasRecovering, ch)
					require.Equal(t, seen[ch], sub.Offset, "as the reference tells it")
					got += len(sub.Publications)
				}
				if got > 0 { // it is short
					require.Equal(t, left, got, "all or nothing")
					require.Less(t, left, 35)
					c.Close()
					return
				}
				require.Greater(t, left, 14)
				require.Equal(t, id, push.EventID, "the push moves no position")
				for range 7 { // and is cut there
					p := c.NextKind(t, "pub")
					require.Less(t, len(p.Frame), 2000)
					seen[p.Channel]++
					require.True(t, p.HasID)
					require.Equal(t, seen, merge(seen, offsets(t, p.EventID, channels)))
					var pub testkit.Publication
					p.Decode(t, &pub)
					require.Equal(t, seen[p.Channel], pub.Offset)
					id = p.EventID
				}
				c.Close()
			}
		})
	}
	f("one channel", "", "", "rr:a")
	f("one channel, plain", "HTTP/1.0", "", "rr:b")
	f("several channels", "", "", "rr:c", "rr:d", "rr:e")
	f("several channels, plain", "HTTP/1.0", "", "rr:f", "rr:g")
	f("deltas", "", "fossil", "rr:h", "rr:i")
	s.expectSettled(t, "stream_queue_bytes", budgetUsed)
}

// merge returns b without the zeros that a does not have.
func merge(a, b map[string]uint64) map[string]uint64 {
	for k, v := range b {
		if _, ok := a[k]; !ok && v == 0 {
			delete(b, k)
		}
	}
	return b
}

// Live publications, the stream's own join and a second resume of the same come in order.
func TestWhatIsLiveComesBehindALongResume(t *testing.T) {
	const each = 80
	s := startBurst(t, parts{channel: `, "namespaces": [{"name": "rr", "join_leave": true, "force_push_join_leave": true, ` + recoverable + `}]`})
	channels := []string{"rr:a", "rr:b"}
	id := s.missKilobytes(t, channels, each)
	for range 10 {
		published := make(chan struct{})
		go func() {
			defer close(published)
			for range 5 {
				s.api.Publish(t, "rr:a", `"live"`)
			}
		}()
		c := testkit.Connect(t, s.addr, testkit.ConnectOptions{Subs: subsOf("", channels...), HTTPHeaders: [][2]string{{"Last-Event-ID", id}}})
		require.Equal(t, "connect", c.Next(t).Kind)
		missed, joined := 0, 0
		next := map[string]uint64{"rr:a": 1, "rr:b": 1}
		<-published
		last := s.api.Publish(t, "rr:a", `"the last"`).Offset
		for next["rr:a"] <= last || joined < 2 {
			p := c.Next(t)
			switch p.Kind {
			case "pub":
				var pub testkit.Publication
				p.Decode(t, &pub)
				require.Equal(t, next[p.Channel], pub.Offset)
				next[p.Channel]++
				missed++
			case "join":
				require.GreaterOrEqual(t, missed, 2*each, "a join among what was missed")
				joined++
			}
		}
		require.EqualValues(t, each+1, next["rr:b"])
		c.Close()
	}
	s.expectSettled(t, "stream_queue_bytes", budgetUsed)
}

// By cf_connect it is one push, as the reference has it; and a bounded stream counts the
// events behind a push as any others.
func TestLongResumesOfOtherKinds(t *testing.T) {
	const each = 100
	s := startBurst(t, parts{
		sse:     `, "bounded_streams": true`,
		channel: `, "namespaces": [{"name": "rr", ` + recoverable + `}]`,
	})
	const ch = "rr:a"
	id := s.missKilobytes(t, []string{ch}, each)
	epoch := s.api.Publish(t, "rr:a", `"top"`).Epoch
	c := testkit.Connect(t, s.addr, testkit.ConnectOptions{Subs: map[string]testkit.SubscribeRequest{ch: {Recover: true, Epoch: epoch}}})
	require.Len(t, c.ExpectConnect(t).Subs[ch].Publications, each+1)
	c.Close()
	query := strings.SplitN(subscribeTarget([]string{ch}), "?", 2)[1]
	// Who has one event has all in it, and gets on by it.
	c = testkit.Connect(t, s.addr, testkit.ConnectOptions{RawQuery: query + "&max_events=1&last_event_id=" + url.QueryEscape(id)})
	r := c.ExpectConnect(t)
	require.True(t, r.Subs[ch].Recovered)
	require.Len(t, r.Subs[ch].Publications, each+1)
	require.EqualValues(t, each+1, offsets(t, r.EventID, []string{ch})[ch])
	c.ExpectEnd(t)
	for _, events := range []int{2, 50, each + 2} {
		c := testkit.Connect(t, s.addr, testkit.ConnectOptions{
			RawQuery: query + "&last_event_id=" + url.QueryEscape(id) + fmt.Sprint("&max_events=", events),
		})
		r := c.ExpectConnect(t)
		require.True(t, r.Subs[ch].Recovered)
		require.Equal(t, id, r.EventID)
		for n := range events - 1 {
			require.EqualValues(t, n+1, c.ExpectPub(t, ch).Offset)
		}
		c.ExpectEnd(t)
		require.EqualValues(t, events-1, offsets(t, c.LastEventID(), []string{ch})[ch])
	}
	s.expectSettled(t, "stream_queue_bytes", budgetUsed)
}

// The last id of a bounded stream is where it ended, in the midst of what was missed too,
// and however long ids are: so a client gets on by streams of any length, and is sent
// nothing twice.
func TestBoundedStreamsGetThroughALongResume(t *testing.T) {
	s := startBurst(t, parts{
		sse:     `, "bounded_streams": true`,
		client:  `, "recovery_max_publication_limit": 0`,
		channel: `, "namespaces": [{"name": "rr", ` + recoverable + `}]`,
	})
	f := func(name string, nChannels, each int, bound string, most int) {
		t.Run(name, func(t *testing.T) {
			channels := channelNames("rr:"+name, nChannels)
			id := s.missKilobytes(t, channels, each)
			next := offsets(t, id, channels)
			query := strings.SplitN(subscribeTarget(channels), "?", 2)[1]
			for left := nChannels * each; left > 0; {
				c := testkit.Connect(t, s.addr, testkit.ConnectOptions{
					RawQuery: query + "&" + bound, HTTPHeaders: [][2]string{{"Last-Event-ID", id}},
				})
				before := left
				for ch, sub := range c.ExpectConnect(t).Subs {
					require.True(t, sub.Recovered)
					for _, pub := range sub.Publications {
						require.Equal(t, next[ch]+1, pub.Offset)
						next[ch]++
						left--
					}
				}
				got := min(most, left)
				for range got {
					nextMissed(t, c, next)
					left--
				}
				require.Less(t, left, before)
				if timed := most > nChannels*each; timed || got == most {
					c.WaitEnd(t)
				}
				id = c.LastEventID()
				require.Equal(t, next, offsets(t, id, channels))
				c.Close()
			}
		})
	}
	f("one", 1, 60, "max_events=1", 0)
	f("two", 2, 50, "max_events=1", 0)
	f("few", 2, 50, "max_events=10", 9)
	f("exactly", 2, 50, "max_events=101", 100)
	f("long", 60, 3, "max_events=21", 20)
	f("long_one", 60, 3, "max_events=1", 0)
	f("timed", 60, 3, "max_duration=200ms", 1000)
	s.expectSettled(t, "stream_queue_bytes", budgetUsed)
}

// A cursor that is too long for every event is told now and then in a long resume, and
// with its last event: a cut may repeat events, it loses none.
func TestALongResumeWithALongCursor(t *testing.T) {
	const nChannels, each = 60, 20
	s := recoverableServer(t, parts{})
	channels := channelNames("rr:", nChannels)
	c := s.subscribe(t, channels...)
	id := c.ExpectConnect(t).EventID
	require.Greater(t, len(id), 512)
	c.Close()
	publishNumbers(t, s, channels, each).Wait()
	// read takes so many events of a resume, and returns the last id and how many there were.
	read := func(id string, left, cut int) (last string, ids int) {
		c := testkit.Connect(t, s.addr, testkit.ConnectOptions{Subs: subsOf("", channels...), HTTPHeaders: [][2]string{{"Last-Event-ID", id}}})
		defer c.Close()
		r := c.ExpectConnect(t)
		require.Equal(t, id, r.EventID)
		next := offsets(t, id, channels)
		for _, ch := range channels {
			require.True(t, r.Subs[ch].Recovered)
			require.Equal(t, next[ch], r.Subs[ch].Offset)
			require.Empty(t, r.Subs[ch].Publications)
		}
		for n := range cut {
			p := nextMissed(t, c, next)
			if p.HasID {
				id, ids = p.EventID, ids+1
				require.Equal(t, next, offsets(t, id, channels))
			}
			require.True(t, p.HasID || n < left-1, "the last has an id")
		}
		return id, ids
	}
	const all = nChannels * each
	_, ids := read(id, all, all)
	require.Greater(t, ids, 2)
	require.Less(t, ids, all/20)
	last, ids := read(id, all, all/2)
	require.Positive(t, ids)
	require.NotEqual(t, id, last)
	left := all
	for _, at := range offsets(t, last, channels) {
		left -= int(at)
	}
	require.GreaterOrEqual(t, left, all/2, "no event is passed over")
	require.Less(t, left, all)
	read(last, left, left)
}

// Many come back by id to several channels, some of whom do not read: what they missed is
// there once for all, what each has of its own counts too, and everything comes back.
func TestLongResumesOfManyStayWithinTheBudget(t *testing.T) {
	const each, size, total, silent, readers = 400, 1000, 4_000_000, 20, 30
	s := startBurst(t, parts{
		sse:     fmt.Sprintf(`, "recovery_max_total": %d`, total),
		client:  `, "recovery_max_publication_limit": 0, "queue_max_age": "2s"`,
		channel: `, "namespaces": [{"name": "rr", ` + recoverable + `}]`,
	})
	channels := []string{"rr:a", "rr:b", "rr:c"}
	header := lastEventID(s.cursor(t, channels...))
	acks := s.burst(t, burst{1, each, false, func(_, i int) put { return put{channel: channels[i%len(channels)], size: size} }})
	expectTaken(t, acks)
	target := subscribeTarget(channels)
	var stalled crowd // held on to: a connection that nobody has is closed by the collector
	for range silent {
		stalled = append(stalled, s.resume(t, target, channels[0], header, 4<<10).follower)
	}
	t.Cleanup(func() {
		for _, f := range stalled {
			_ = f.conn.Close()
		}
	})
	testkit.Eventually(t, func() bool { return s.gauge(t, budgetUsed) > each*size }, "what they missed to be held")
	var all []*resumer
	var reading crowd
	for range readers {
		r := s.resume(t, target, channels[0], header, 0)
		all, reading = append(all, r), append(reading, r.follower)
		go r.read(nil)
	}
	t.Cleanup(reading.close)
	s.expectRecovered(t, all, each, total, acks)
	testkit.Eventually(t, func() bool { return s.gauge(t, budgetUsed) == 0 }, "the budget to come back")
}

// An EventSource that is cut at any byte of a long resume, again and again while others
// publish, gets all once and in order; so does one that takes ids early.
func TestLongResumesThatAreCutAnywhereLoseNothing(t *testing.T) {
	const each = 1500
	s := recoverableServer(t, parts{})
	for who, channels := range [][]string{{"rr:one"}, {"rr:first", "rr:second", "rr:third"}} {
		var cuts [placeCount]atomic.Int64
		b := newBrowser(s.addr, subscribeTarget(channels), uint64(who), &cuts)
		b.eager = who == 1
		b.cutAt, b.cutAfter = behindBlankLine, 1
		require.NoError(t, b.session(0))
		publishNumbers(t, s, channels, each-200).Wait()
		publishing := publishNumbersFrom(t, s, channels, each-200, each)
		all := each * len(channels)
		for b.count < all {
			b.cutAt, b.cutAfter = place(1+b.rnd.IntN(int(placeCount)-1)), b.rnd.IntN(200)
			if b.cutAt == inConnectPush {
				b.cutAfter = 0
			}
			require.NoError(t, b.session(all))
		}
		publishing.Wait()
		expectAllOnceInOrder(t, who, b.seen, channels, each)
		require.Empty(t, b.gaps)
		for _, p := range []place{inData, inIDLine, behindBlankLine} {
			require.Positive(t, cuts[p].Load(), placeNames[p])
		}
	}
	testkit.Eventually(t, func() bool { return s.sessions.Stats().Recovery.Used == 0 }, "the budget to come back")
}
