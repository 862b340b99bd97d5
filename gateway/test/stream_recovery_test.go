package test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// Many clients come back at once, each having missed more than all of them may
// be sent at a time: they wait for each other. Some do not read, and hold their
// share until they are slow; some leave while they wait. Everybody else is told
// everything.
func TestAStormOfResumesStaysWithinTheBudget(t *testing.T) {
	const each, size, total, silent, impatient = 60, 20_000, 3_600_000, 3, 5
	readers := scaled(25)
	s := startBurst(t, parts{
		sse:     fmt.Sprintf(`, "recovery_max_total": %d`, total),
		client:  `, "recovery_max_publication_limit": 0, "queue_max_age": "2s"`,
		channel: `, "namespaces": [{"name": "rr", ` + recoverable + `}]`,
	})
	const ch = "rr:a"
	id := s.cursor(t, ch)
	acks := s.burst(t, burst{1, each, false, func(int, int) put { return put{channel: ch, size: size} }})
	expectTaken(t, acks)
	require.EqualValues(t, total, s.gauge(t, budgetSize))
	require.Zero(t, s.gauge(t, budgetUsed))

	plain := subscribeTarget([]string{ch})
	asking := connectTarget(map[string]any{"subs": map[string]any{
		ch: map[string]any{"recover": true, "offset": 0, "epoch": acks[0].epoch},
	}})
	byID := lastEventID(id)
	var quiet crowd
	for range silent {
		quiet = append(quiet, s.resume(t, plain, ch, byID, 4<<10).follower)
	}
	testkit.Eventually(t, func() bool { return s.gauge(t, budgetUsed) > total/2 }, "those that do not read to take the budget")
	for range impatient {
		require.NoError(t, s.resume(t, plain, ch, byID, 0).conn.Close())
	}
	all := make([]*resumer, readers)
	var reading crowd
	for i := range all {
		if all[i] = s.resume(t, plain, ch, byID, 0); i%2 == 1 {
			_ = all[i].conn.Close()
			all[i] = s.resume(t, asking, ch, "", 0)
		}
		reading = append(reading, all[i].follower)
		go all[i].read(nil)
	}
	t.Cleanup(reading.close)
	s.expectRecovered(t, all, each, total, acks)
	testkit.Eventually(t, func() bool { return s.gauge(t, budgetUsed) == 0 }, "the budget to come back")
	testkit.Eventually(t, func() bool {
		return s.closes()["slow_age"]+s.closes()["slow_bytes"]+s.closes()["slow_resume"] == silent
	}, "those that do not read to be slow")

	// What comes next reaches them, and the budget is there for others.
	acks = append(acks, s.publishAs(t, 2, 3, put{channel: ch, size: 100})...)
	s.expectAll(t, reading, acks)
	again := s.resume(t, plain, ch, byID, 0)
	go again.read(nil)
	t.Cleanup(crowd{again.follower}.close)
	s.expectAll(t, append(reading, again.follower), acks)
	s.expectSettled(t, "stream_queue_bytes", budgetUsed)
	for _, f := range quiet {
		_ = f.conn.Close()
	}
}

// One resume that is larger than the whole budget either gets it all or is told
// that it was not recovered; it does not wait for what will never come.
func TestAResumeAboveTheBudgetIsAnswered(t *testing.T) {
	s := startBurst(t, parts{
		sse:     `, "recovery_max_total": 1048576`,
		client:  `, "recovery_max_publication_limit": 0`,
		channel: `, "namespaces": [{"name": "rr", ` + recoverable + `}]`,
	})
	const ch = "rr:a"
	id := s.cursor(t, ch)
	acks := s.publishAs(t, 1, 100, put{channel: ch, size: 20_000})
	require.EqualValues(t, 1<<20, s.gauge(t, budgetSize))
	for range 4 {
		r := s.resume(t, subscribeTarget([]string{ch}), ch, lastEventID(id), 0)
		go r.read(nil)
		t.Cleanup(crowd{r.follower}.close)
		select {
		case <-r.opened:
		case <-r.done:
			t.Fatalf("the stream %v", r)
		}
		require.True(t, r.result.WasRecovering)
		if r.result.Recovered {
			s.expectAll(t, crowd{r.follower}, acks)
		} else {
			require.EqualValues(t, len(acks), r.result.Offset)
		}
	}
	s.expectSettled(t, "stream_queue_bytes", budgetUsed)
}

// addedTo is the stream of a user whom the backend adds to a channel.
type addedTo struct {
	*resumer          // its result is that of the subscribe push
	offsets  []uint64 // of the channel, in order of arrival
}

// added opens the stream of a user with subs and reads it.
func (s *server) added(t *testing.T, user, channel string, subs []string) *addedTo {
	t.Helper()
	a := &addedTo{resumer: s.resume(t, connectTarget(map[string]any{
		"token": testkit.HS256(t, testSecret, map[string]any{"sub": user}), "subs": asking(subs...),
	}), "", "", 0)}
	a.push = func(p *said) error {
		switch {
		case p.kind == "pub" && p.channel == channel:
			a.offsets = append(a.offsets, p.offset)
		case p.kind == "subscribe":
			body, err := p.decode()
			if err != nil {
				return err
			}
			a.result = body.Subscribe
		}
		return nil
	}
	go a.read(nil)
	t.Cleanup(crowd{a.follower}.close)
	select {
	case <-a.opened:
	case <-a.done:
		t.Fatalf("the stream %v", a)
	}
	return a
}

// A backend that subscribes a stream may ask for more than a queue takes: it gets
// all, then what is published meanwhile and from then on.
func TestASubscriptionRecoversMoreThanAQueueTakes(t *testing.T) {
	const missed, size = 200, 16 << 10
	s := startBurst(t, parts{
		client:  `, "recovery_max_publication_limit": 0, "queue_max_age": "2m"`,
		channel: `, "namespaces": [{"name": "rr", ` + recoverable + `}]`,
	})
	f := func(name string, subs ...string) {
		t.Run(name, func(t *testing.T) {
			ch := "rr:" + name
			acks := s.publishAs(t, 1, missed, put{channel: ch, size: size})
			r := s.added(t, name, ch, subs)
			c := crowd{r.follower}
			meanwhile := make(chan []acked, 1)
			go func() {
				b := &publisher{addr: s.addr, p: 2}
				acks, err := b.publish(20, false, func(int) put { return put{channel: ch, size: 150} })
				if err != nil {
					t.Errorf("publisher: %v", err)
				}
				meanwhile <- acks
			}()
			s.api.MustResult(t, "subscribe", map[string]any{
				"user": name, "channel": ch,
				"recover_since": map[string]any{"offset": 0, "epoch": acks[0].epoch},
			})
			acks = append(acks, <-meanwhile...)
			acks = append(acks, s.publishAs(t, 3, 5, put{channel: ch, size: size})...)
			s.expectAll(t, c, acks)
			c.close()
			require.True(t, r.result.Recoverable)
			require.Zero(t, r.result.Offset, "what was missed comes behind the push")
			for i, got := range r.offsets {
				require.EqualValues(t, i+1, got)
			}
			require.Len(t, r.offsets, len(acks))
		})
	}
	f("alone")
	f("beside", "rr:other", "news")
	require.Zero(t, s.closes()["slow_bytes"])
	s.expectSettled(t, "stream_queue_bytes", "streams_blocked")
}

// A client that does not read what it was resumed with is slow by age, and only
// it is.
func TestAResumeThatIsNotReadEndsByAge(t *testing.T) {
	s := startBurst(t, parts{
		client:  `, "recovery_max_publication_limit": 0, "queue_max_age": "1s"`,
		channel: `, "namespaces": [{"name": "rr", ` + recoverable + `}]`,
	})
	const ch = "rr:a"
	id := s.cursor(t, ch)
	acks := s.publishAs(t, 1, 100, put{channel: ch, size: 40_000})
	quiet := s.resume(t, subscribeTarget([]string{ch}), ch, lastEventID(id), 4<<10)
	reads := s.resume(t, subscribeTarget([]string{ch}), ch, lastEventID(id), 0)
	go reads.read(nil)
	t.Cleanup(crowd{reads.follower}.close)
	s.expectAll(t, crowd{reads.follower}, acks)
	testkit.Eventually(t, func() bool { return s.closes()["slow_age"] == 1 }, "the one that does not read to be slow")
	require.NoError(t, quiet.conn.SetReadDeadline(time.Now().Add(time.Minute)))
	crowd{quiet.follower}.expectSlow(t)
	acks = append(acks, s.publishAs(t, 2, 1, put{channel: ch, size: 100})...)
	s.expectAll(t, crowd{reads.follower}, acks)
}
