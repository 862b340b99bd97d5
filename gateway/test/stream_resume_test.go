package test

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// A plain EventSource on many channels that is cut anywhere gets every message
// once and in order; and so does a client that takes ids early.
func TestCutStreamsLoseNothing(t *testing.T) {
	const clients, nChannels, each = 100, 20, 60
	s := startServer(t, parts{
		client:  `, "recovery_max_publication_limit": 0`,
		channel: `, "namespaces": [{"name": "rr", ` + recoverable + `}]`,
	})
	var channels []string
	for i := range nChannels {
		channels = append(channels, fmt.Sprintf("rr:%d", i))
	}
	var cuts [placeCount]atomic.Int64
	browsers := make([]*browser, clients)
	var opened, reading sync.WaitGroup
	published := make(chan struct{})
	for i := range browsers {
		b := newBrowser(s.addr, subscribeTarget(channels), uint64(i), &cuts)
		b.eager = i%2 == 1
		browsers[i] = b
		opened.Add(1)
		reading.Go(func() {
			// The first stream is cut behind its connect push, so that the
			// browser has a cursor before the first message.
			b.cutAt, b.cutAfter = behindBlankLine, 1
			if err := b.session(0); err != nil {
				t.Errorf("client %d: %v", i, err)
			}
			opened.Done()
			if err := b.cutUntil(published, nChannels*each); err != nil {
				t.Errorf("client %d: %v", i, err)
			}
		})
	}
	opened.Wait()
	publishNumbers(t, s, channels, each).Wait()
	close(published)
	reading.Wait()
	for i, b := range browsers {
		require.Empty(t, b.gaps, "client %d: everything was in the history", i)
		expectAllOnceInOrder(t, i, b.seen, channels, each)
	}
	for p, name := range placeNames {
		n := cuts[p].Load()
		t.Logf("cuts: %-36s %d", name, n)
		require.Positive(t, n, "no cut %q: the test proves nothing of it", name)
	}
}

// One recoverable channel among others: its id line is shared by all streams.
func TestCutStreamOnOneRecoverableChannelLosesNothing(t *testing.T) {
	const each = 300
	s := recoverableServer(t, parts{})
	for who, eager := range []bool{false, true} {
		channels := []string{fmt.Sprint("rr:only", who)}
		var cuts [placeCount]atomic.Int64
		b := newBrowser(s.addr, subscribeTarget(append(channels, "plain")), 1, &cuts)
		b.eager = eager
		b.cutAt, b.cutAfter = behindBlankLine, 1
		require.NoError(t, b.session(0))
		publishing := publishNumbers(t, s, channels, each)
		for b.count < each {
			b.cutAt, b.cutAfter = []place{inIDLine, inData, inChunkHeader, behindBlankLine}[b.rnd.IntN(4)], b.rnd.IntN(20)
			require.NoError(t, b.session(each))
		}
		publishing.Wait()
		expectAllOnceInOrder(t, who, b.seen, channels, each)
		require.Empty(t, b.gaps)
	}
}

// A cursor over cursor_exact_bytes rides on few events: a cut may repeat
// events, it loses none, and repeats are known by their offset.
func TestThinnedCursorLosesNothing(t *testing.T) {
	const nChannels, each = 60, 20
	s := recoverableServer(t, parts{})
	channels := channelNames("rr:", nChannels)
	var cuts [placeCount]atomic.Int64
	b := newBrowser(s.addr, subscribeTarget(channels), 1, &cuts)
	b.cutAt, b.cutAfter = behindBlankLine, 1
	require.NoError(t, b.session(0))
	require.Greater(t, len(b.lastID), 512, "the cursor must be too long to ride on every event")
	distinct := func() (n int) {
		for _, got := range b.seen {
			seen := make(map[int]bool)
			for _, v := range got {
				seen[v] = true
			}
			n += len(seen)
		}
		return n
	}
	// The first stream is open before the first message, so that it is cut
	// while messages arrive. A later one may be given all that is missing with
	// its connect push: it asks for no more than that.
	const all = nChannels * each
	b.cutAt, b.cutAfter = inData, 50
	first := make(chan error, 1)
	go func() { first <- b.session(all) }()
	testkit.Eventually(t, func() bool { return s.stats().Adopted == 2 }, "the first stream behind the one that was cut")
	publishing := publishNumbers(t, s, channels, each)
	require.NoError(t, <-first)
	for distinct() < all {
		b.cutAfter = b.rnd.IntN(100)
		require.NoError(t, b.session(b.count+all-distinct()))
	}
	publishing.Wait()
	require.Positive(t, cuts[inData].Load(), "no stream was cut: the test proves nothing")
	require.Empty(t, b.gaps)
}

// What history cannot fill is told for each channel, never passed over.
func TestGapIsToldAfterRestart(t *testing.T) {
	port := testkit.FreePort(t)
	testkit.Snapshot(t, libraryGoroutines...)
	text := strings.Replace(fmt.Sprintf(baseConfig, "", "", "",
		`, "namespaces": [{"name": "rr", `+recoverable+`}]`), `"port": 0`, `"port": `+strconv.Itoa(port), 1)
	s := launch(t, text)
	var cuts [placeCount]atomic.Int64
	channels := channelNames("rr:", 3)
	b := newBrowser(s.addr, subscribeTarget(channels), 1, &cuts)
	b.cutAt, b.cutAfter = behindBlankLine, 3
	publishNumbers(t, s, channels, 2).Wait()
	done := make(chan error, 1)
	go func() { done <- b.session(0) }()
	testkit.Eventually(t, func() bool { return s.sessions.Counts().Clients == 1 }, "the browser")
	publishNumbers(t, s, channels, 2).Wait()
	require.NoError(t, <-done)
	s.stop(t)

	s = launch(t, text) // with nothing of the history
	defer s.stop(t)
	b.cutAt, b.cutAfter = behindBlankLine, 0
	require.NoError(t, b.session(0))
	require.ElementsMatch(t, channels, b.gaps)
	require.NotEmpty(t, b.lastID, "and the new position is known")
}

// A cursor is client input: whatever it is, no more is granted than without it. What
// cannot be read is told like a gap: who brings it has been somewhere before.
func TestBadCursorsGrantNothingAndAreToldLikeAGap(t *testing.T) {
	s := recoverableServer(t, parts{channel: ``})
	s.api.Publish(t, "rr:a", `1`)
	s.api.Publish(t, "other", `"not yours"`)
	first := testkit.Connect(t, s.addr, testkit.ConnectOptions{Subs: map[string]testkit.SubscribeRequest{"rr:a": {}}})
	good := first.Next(t).EventID
	require.NotEmpty(t, good)
	first.Close()
	const fresh, gap, recovered = "fresh", "gap", "recovered"
	f := func(name, id, told string) {
		t.Helper()
		c := testkit.Connect(t, s.addr, testkit.ConnectOptions{
			Subs:        map[string]testkit.SubscribeRequest{"rr:a": {}, "plain": {}},
			HTTPHeaders: [][2]string{{"Last-Event-ID", id}},
		})
		res := c.ExpectConnect(t)
		require.Len(t, res.Subs, 2, "%s: nothing more is granted", name)
		require.Equal(t, testkit.SubscribeResult{}, res.Subs["plain"], "%s: it has no position to lose", name)
		require.Equal(t, told != fresh, res.Subs["rr:a"].WasRecovering, name)
		require.Equal(t, told == recovered, res.Subs["rr:a"].Recovered, name)
		require.Empty(t, res.Subs["rr:a"].Publications, name)
		require.Equal(t, uint64(1), res.Subs["rr:a"].Offset, name)
		c.Close()
	}
	f("empty", "", fresh)
	f("nothing but a list", " , ,", fresh)
	f("malformed", "!!!", gap)
	f("foreign", "1698-0", gap)
	f("a word of JavaScript's", "undefined", gap)
	f("truncated", good[:len(good)-1], gap)
	f("doubled and cut", good+good[:5], gap)
	f("24 KiB", strings.Repeat(good, 24<<10/len(good)), recovered)
	f("over the limit of entries", strings.Repeat(good, 2049), gap)
	f("of another channel", strings.Replace(good, good[1:7], "AAAAAA", 1), fresh)
	f("of another epoch", strings.Replace(good, good[7:12], "AAAAA", 1), gap)
	f("beyond the top", good[:len(good)-1]+"_", gap)
	f("of a channel that was not asked for", "BAAAAAAAAAAAB", fresh)
}

// The names that clients use, and several values at once: of them the newest counts that
// can be read.
func TestWhereTheLastEventIDMayStand(t *testing.T) {
	s := recoverableServer(t, parts{})
	c := s.subscribe(t, "rr:a", "rr:b")
	old := c.Next(t).EventID
	s.api.Publish(t, "rr:a", `1`)
	c.NextKind(t, "pub")
	s.api.Publish(t, "rr:b", `1`)
	newer := c.NextKind(t, "pub").EventID
	require.NotEqual(t, old, newer)
	c.Close()
	query := strings.SplitN(subscribeTarget([]string{"rr:a", "rr:b"}), "?", 2)[1]
	const missed, nothing, lost = 1, 0, -1
	f := func(parameters string, want int, headers ...string) {
		t.Helper()
		o := testkit.ConnectOptions{RawQuery: query + strings.NewReplacer("OLD", old, "NEW", newer).Replace(parameters)}
		for _, h := range headers {
			o.HTTPHeaders = append(o.HTTPHeaders, [2]string{"Last-Event-ID", h})
		}
		c := testkit.Connect(t, s.addr, o)
		defer c.Close()
		for ch, res := range c.ExpectConnect(t).Subs {
			require.Len(t, res.Publications, max(want, 0), ch)
			require.True(t, res.WasRecovering, ch)
			require.Equal(t, want != lost, res.Recovered, ch)
		}
	}
	for _, name := range []string{"last_event_id", "lastEventId", "Last-Event-ID"} {
		f("&"+name+"=OLD", missed)
		f("&"+name+"=NEW", nothing)
		f("&"+name+"=junk", lost)
		f("&"+name+"=OLD", nothing, newer)
		f("&"+name+"=NEW", missed, old)
		f("&"+name+"=NEW", nothing, "junk")
		f("&"+name+"=OLD&"+name+"=junk&"+name+"=NEW", nothing)
		f("&"+name+"=NEW&"+name+"=OLD", nothing)
	}
	f("&lastEventId=OLD&last_event_id=NEW", nothing)
	f("", missed, old)
	f("", nothing, old, newer)
	f("", nothing, newer, old)
	f("", nothing, newer, "junk")
	f("", nothing, "junk, "+newer+", "+old)
	f("", missed, old+",junk")
	f("", lost, "junk", "1698-0")
	half := old[:len(old)/2] // of one channel: the other is new to it in this value
	f("", nothing, half, newer)
}

// A client of a cache channel whose position is lost gets its state.
func TestALostPositionInACacheChannelBringsTheState(t *testing.T) {
	s := startServer(t, parts{channel: `, "namespaces": [{"name": "cache", "force_recovery_mode": "cache", ` + recoverable + `}]`})
	s.api.Publish(t, "cache:a", `1`)
	c := testkit.Connect(t, s.addr, testkit.ConnectOptions{
		Subs: map[string]testkit.SubscribeRequest{"cache:a": {}}, HTTPHeaders: [][2]string{{"Last-Event-ID", "junk"}},
	})
	res := c.ExpectConnect(t).Subs["cache:a"]
	require.True(t, res.WasRecovering)
	require.True(t, res.Recovered)
	require.Len(t, res.Publications, 1)
}

// With resume and retry switched off the bytes are the reference's.
func TestReferenceBytesWithoutResume(t *testing.T) {
	s := recoverableServer(t, parts{sse: `, "last_event_id": false, "retry": "0"`})
	c := s.subscribe(t, "rr:a", "rr:b")
	connect := c.Next(t)
	require.False(t, connect.HasID)
	require.True(t, bytes.HasPrefix(connect.Frame, []byte("data: ")), "%q", connect.Frame)
	s.api.Publish(t, "rr:a", `1`)
	pub := c.Next(t)
	require.Equal(t, "data: "+string(pub.Raw)+"\n\n", string(pub.Frame))
}

func TestRetryIsToldOnceAndWithinItsRange(t *testing.T) {
	s := startServer(t, parts{sse: `, "retry": "3s-9s"`})
	told := make(map[string]bool)
	for range 20 {
		c := s.subscribe(t, "news")
		frame := string(c.Next(t).Frame)
		rest, ok := strings.CutPrefix(frame, "retry: ")
		require.True(t, ok, "%q", frame)
		ms, _, _ := strings.Cut(rest, "\n")
		n, err := strconv.Atoi(ms)
		require.NoError(t, err)
		require.True(t, n >= 3000 && n <= 9000, "%d", n)
		told[ms] = true
		s.api.Publish(t, "news", `1`)
		require.NotContains(t, string(c.NextKind(t, "pub").Frame), "retry")
		c.Close()
	}
	require.Greater(t, len(told), 1, "each stream is told another time")
}

// Channels that the server API adds and takes away change the id in mid-stream.
func TestIDFollowsSubscriptionsOfTheAPI(t *testing.T) {
	s := recoverableServer(t, parts{})
	entries := func(id string) int {
		n := 0
		for rest := id; len(rest) > 0; n++ {
			rest = rest[min(len(rest), 13):] // an entry with a position of one digit
		}
		return n
	}
	c := s.subscribe(t, "rr:a")
	require.Equal(t, 1, entries(c.Next(t).EventID))
	s.api.MustResult(t, "subscribe", map[string]any{"user": "", "channel": "rr:b"})
	require.Equal(t, 2, entries(c.NextKind(t, "subscribe").EventID))
	s.api.Publish(t, "rr:b", `1`)
	require.Equal(t, 2, entries(c.NextKind(t, "pub").EventID))
	s.api.Publish(t, "rr:a", `1`)
	both := c.NextKind(t, "pub").EventID
	require.Equal(t, 2, entries(both))
	s.api.MustResult(t, "unsubscribe", map[string]any{"user": "", "channel": "rr:b"})
	require.Equal(t, 1, entries(c.NextKind(t, "unsubscribe").EventID))
	s.api.Publish(t, "rr:a", `2`)
	require.Equal(t, 1, entries(c.NextKind(t, "pub").EventID))
	c.Close()

	// The old id still has both: each is resumed where it was.
	s.api.Publish(t, "rr:b", `2`)
	again := testkit.Connect(t, s.addr, testkit.ConnectOptions{
		Subs:        map[string]testkit.SubscribeRequest{"rr:a": {}, "rr:b": {}},
		HTTPHeaders: [][2]string{{"Last-Event-ID", both}},
	})
	res := again.ExpectConnect(t)
	require.Len(t, res.Subs["rr:a"].Publications, 1)
	require.Len(t, res.Subs["rr:b"].Publications, 1)
}

func TestCloseFramingResumesToo(t *testing.T) {
	s := recoverableServer(t, parts{sse: `, "framing": "close"`})
	c := s.subscribe(t, "rr:a", "rr:b")
	require.Equal(t, "close", c.Head().Get("Connection"))
	require.Empty(t, c.Head().Get("Transfer-Encoding"))
	c.Next(t)
	s.api.Publish(t, "rr:a", `1`)
	id := c.NextKind(t, "pub").EventID
	require.NotEmpty(t, id)
	c.Close()
	s.api.Publish(t, "rr:a", `2`)
	again := testkit.Connect(t, s.addr, testkit.ConnectOptions{
		Proto: "HTTP/1.0", Subs: map[string]testkit.SubscribeRequest{"rr:a": {}, "rr:b": {}},
		HTTPHeaders: [][2]string{{"Last-Event-ID", id}},
	})
	require.Len(t, again.ExpectConnect(t).Subs["rr:a"].Publications, 1)
}

// A connect push is exempt from the queue's limit, or a resume could be cut as
// slow for ever; it has its own, beyond which the gap is told.
func TestRecoveryHasALimitOfItsOwn(t *testing.T) {
	s := recoverableServer(t, parts{
		sse:    `, "recovery_max_bytes": 200000`,
		client: `, "queue_max_size": 20000`,
	})
	big := `"` + strings.Repeat("x", 10_000) + `"`
	c := s.subscribe(t, "rr:a", "rr:b")
	id := c.Next(t).EventID
	c.Close()
	resume := func() testkit.ConnectResult {
		c := testkit.Connect(t, s.addr, testkit.ConnectOptions{
			Subs:        map[string]testkit.SubscribeRequest{"rr:a": {}, "rr:b": {}},
			HTTPHeaders: [][2]string{{"Last-Event-ID", id}},
		})
		defer c.Close()
		r := c.ExpectConnect(t)
		if r.Subs["rr:a"].Recovered {
			c.ExpectMissed(t, &r, map[string]int{"rr:a": 10})
		}
		return r
	}
	for range 10 {
		s.api.Publish(t, "rr:a", big)
	}
	res := resume()
	require.Len(t, res.Subs["rr:a"].Publications, 10, "five times the queue's limit")
	for range 15 {
		s.api.Publish(t, "rr:b", big)
	}
	res = resume()
	recovered := 0
	for _, ch := range []string{"rr:a", "rr:b"} {
		require.True(t, res.Subs[ch].WasRecovering)
		if res.Subs[ch].Recovered {
			recovered++
		} else {
			require.Empty(t, res.Subs[ch].Publications)
		}
	}
	require.Equal(t, 1, recovered, "both together are too much for one connect push")
}
