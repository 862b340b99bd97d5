package brokertest

import (
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/broker"
	"sluice/gateway/testkit"
)

func (s *suite) idempotencyKeys() {
	s.subscribe(s.ch)
	for _, opt := range []broker.PublishOptions{{History: keep}, {}} {
		opt.IdempotencyKey = fmt.Sprint("key", opt.History.Size)
		first := s.publish(s.first(), s.ch, "once", opt)
		for range 3 {
			res := s.result(s.last(), s.ch, pub("again"), opt)
			require.Equal(s.t, broker.Result{Position: first, Suppressed: true}, res)
		}
		// A key belongs to its channel.
		s.publish(s.last(), s.ch+"-other", "once", opt)
	}
	require.NoError(s.t, s.last().Barrier(s.ctx()))
	require.Equal(s.t, []string{`"once"`, `"once"`}, texts(s.last().sink.Await(s.t, s.ch, 2)))
	offsets, _ := s.read(s.ch, broker.HistoryQuery{Limit: -1})
	require.Equal(s.t, []uint64{1}, offsets)
}

// idempotencyKeysRace: of many that try one key at once, one publishes and all hear the
// same.
func (s *suite) idempotencyKeysRace() {
	s.subscribe(s.ch)
	var mu sync.Mutex
	positions := make(map[broker.Position]int)
	made := 0
	var wait sync.WaitGroup
	for i := range 16 {
		wait.Go(func() {
			res, err := s.nodes[i%len(s.nodes)].Publish(s.ctx(), s.ch, pub("x"), broker.PublishOptions{History: keep, IdempotencyKey: "k"})
			if err != nil {
				s.t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			positions[res.Position]++
			if !res.Suppressed {
				made++
			}
		})
	}
	wait.Wait()
	require.Equal(s.t, 1, made)
	require.Len(s.t, positions, 1)
	require.NoError(s.t, s.last().Barrier(s.ctx()))
	s.last().sink.Await(s.t, s.ch, 1)
}

func (s *suite) versions() {
	if s.f.Unversioned {
		s.t.Skip("does not compare them")
	}
	s.subscribe(s.ch)
	f := func(version uint64, epoch string, suppressed bool) {
		s.t.Helper()
		p := pub(fmt.Sprint(version, epoch))
		p.Version = version
		res := s.result(s.last(), s.ch, p, broker.PublishOptions{History: keep, VersionEpoch: epoch})
		require.Equal(s.t, suppressed, res.Suppressed, "version %d of %q", version, epoch)
	}
	f(5, "", false)
	f(5, "", true)
	f(4, "", true)
	f(0, "", false) // without a version: the guard stays
	f(5, "", true)
	f(6, "", false)
	f(1, "a", false) // another epoch of versions
	f(1, "a", true)
	f(2, "a", false)
	f(1, "", true) // none named: any stored one is compared
	f(1, "b", false)
	f(1<<53, "b", false)
	f(1<<53-1, "b", true)
	_, top := s.read(s.ch, broker.HistoryQuery{})
	require.EqualValues(s.t, 7, top.Offset, "what is suppressed takes no offset")
	whole(s.t, s.first().sink.Await(s.t, s.ch, 7), 1, top.Epoch)
}

// suppressedChangesNothing: neither position nor history, and what follows is the next
// one (centrifuge #549).
func (s *suite) suppressedChangesNothing() {
	if s.f.Unversioned {
		s.t.Skip("does not compare them")
	}
	s.subscribe(s.ch)
	p := pub("x")
	p.Version = 9
	before := s.result(s.first(), s.ch, p, broker.PublishOptions{History: keep})
	for range 3 {
		old := pub("old")
		old.Version = 8
		res := s.result(s.last(), s.ch, old, broker.PublishOptions{History: keep, IdempotencyKey: "later"})
		require.Equal(s.t, broker.Result{Position: before.Position, Suppressed: true}, res)
	}
	// It was not published, so its key is free.
	after := s.publish(s.first(), s.ch, "next", broker.PublishOptions{History: keep, IdempotencyKey: "later"})
	require.Equal(s.t, before.Offset+1, after.Offset)
	whole(s.t, s.last().sink.Await(s.t, s.ch, 2), 1, before.Epoch)
}

func (s *suite) histories() {
	const top = 7
	s.fill(s.ch, top)
	f := func(q broker.HistoryQuery, want ...uint64) {
		s.t.Helper()
		got, at := s.read(s.ch, q)
		require.ElementsMatch(s.t, want, got, "%+v", q)
		if len(want) > 0 {
			require.Equal(s.t, want, got, "%+v", q)
		}
		require.EqualValues(s.t, top, at.Offset)
	}
	f(broker.HistoryQuery{})
	f(broker.HistoryQuery{Limit: -1}, 1, 2, 3, 4, 5, 6, 7)
	f(broker.HistoryQuery{Limit: 2}, 1, 2)
	f(broker.HistoryQuery{Limit: 100}, 1, 2, 3, 4, 5, 6, 7)
	f(broker.HistoryQuery{Set: true, Since: 5, Limit: -1}, 6, 7)
	f(broker.HistoryQuery{Set: true, Since: 5, Limit: 1}, 6)
	f(broker.HistoryQuery{Set: true, Since: 0, Limit: 3}, 1, 2, 3)
	f(broker.HistoryQuery{Set: true, Since: 7, Limit: -1})
	f(broker.HistoryQuery{Set: true, Since: 1000, Limit: -1})
	f(broker.HistoryQuery{Set: true, Since: math.MaxUint64, Limit: -1})
	f(broker.HistoryQuery{Set: true, Since: 5})
	if s.f.OneWay {
		_, _, err := broker.Read(s.ctx(), s.last(), broker.HistoryQuery{Channel: s.ch, Limit: 1, Reverse: true, Set: true, Since: 4})
		require.Error(s.t, err)
		return
	}
	f(broker.HistoryQuery{Limit: 1, Reverse: true}, 7)
	f(broker.HistoryQuery{Limit: -1, Reverse: true}, 7, 6, 5, 4, 3, 2, 1)
	f(broker.HistoryQuery{Set: true, Since: 4, Limit: -1, Reverse: true}, 3, 2, 1)
	f(broker.HistoryQuery{Set: true, Since: 4, Limit: 2, Reverse: true}, 3, 2)
	f(broker.HistoryQuery{Set: true, Since: 1, Limit: -1, Reverse: true})
}

func (s *suite) historiesAreBounded() {
	opt := broker.PublishOptions{History: broker.HistoryOptions{Size: 3, TTL: time.Minute, MetaTTL: time.Hour}}
	for i := range 10 {
		s.publish(s.first(), s.ch, fmt.Sprint(i), opt)
	}
	offsets, top := s.read(s.ch, broker.HistoryQuery{Limit: -1})
	require.Equal(s.t, []uint64{8, 9, 10}, offsets)
	require.EqualValues(s.t, 10, top.Offset)
}

// historiesOfMany: each query is answered, in its place.
func (s *suite) historiesOfMany() {
	const many = 300
	queries := make([]broker.HistoryQuery, many)
	for i := range queries {
		queries[i] = broker.HistoryQuery{Channel: fmt.Sprint(s.ch, i), Limit: -1, MetaTTL: time.Hour}
		if i%10 == 0 {
			s.publish(s.first(), queries[i].Channel, fmt.Sprint(i), broker.PublishOptions{History: keep})
		}
	}
	queries = append(queries, queries[0]) // the same twice
	answers := s.last().Histories(s.ctx(), queries)
	require.Len(s.t, answers, len(queries))
	epochs := make(map[string]bool)
	for i, a := range answers {
		require.NoError(s.t, a.Err, "query %d", i)
		require.NotEmpty(s.t, a.Top.Epoch)
		epochs[a.Top.Epoch] = true
		want := 0
		if i%10 == 0 {
			want = 1
			require.Equal(s.t, fmt.Sprintf(`"%d"`, i%many), a.Publications[0].Data.String())
		}
		require.Len(s.t, a.Publications, want, "query %d", i)
		require.EqualValues(s.t, want, a.Top.Offset)
	}
	require.Len(s.t, epochs, many, "an epoch for each channel")
	require.Empty(s.t, s.last().Histories(s.ctx(), nil))
}

// historyExpires: the publications go, the position stays.
func (s *suite) historyExpires() {
	opt := broker.PublishOptions{History: broker.HistoryOptions{Size: 10, TTL: time.Second, MetaTTL: time.Hour}}
	before := s.publish(s.first(), s.ch, "x", opt)
	testkit.Eventually(s.t, func() bool {
		offsets, _ := s.read(s.ch, broker.HistoryQuery{Limit: -1})
		return len(offsets) == 0
	}, "the history to expire")
	_, top := s.read(s.ch, broker.HistoryQuery{})
	require.Equal(s.t, before, top)
	after := s.publish(s.last(), s.ch, "y", opt)
	require.Equal(s.t, broker.Position{Offset: before.Offset + 1, Epoch: before.Epoch}, after)
	offsets, _ := s.read(s.ch, broker.HistoryQuery{Limit: -1})
	require.Equal(s.t, []uint64{after.Offset}, offsets)
}

// positionExpires: what comes behind it is another epoch. A read would keep it, so it is
// tried by publications of other channels, each left alone a little longer.
func (s *suite) positionExpires() {
	opt := broker.PublishOptions{History: broker.HistoryOptions{Size: 10, TTL: time.Second, MetaTTL: time.Second}}
	type tried struct {
		ch     string
		before broker.Position
		due    time.Time
	}
	var all []tried
	for i := range 40 {
		ch := fmt.Sprint(s.ch, i)
		all = append(all, tried{ch, s.publish(s.first(), ch, "x", opt), time.Now().Add(time.Duration(i) * 250 * time.Millisecond)})
	}
	testkit.Eventually(s.t, func() bool {
		now := time.Now()
		for len(all) > 0 && all[0].due.Before(now) {
			try := all[0]
			all = all[1:]
			if after := s.publish(s.last(), try.ch, "y", opt); after.Epoch != try.before.Epoch {
				require.EqualValues(s.t, 1, after.Offset, "a new epoch begins at 1")
				return true
			}
		}
		require.NotEmpty(s.t, all, "a position of a second's life is left after ten")
		return false
	}, "a position to expire")
}

func (s *suite) removeHistory() {
	s.subscribe(s.ch)
	before := s.fill(s.ch, 3)
	require.NoError(s.t, s.last().RemoveHistory(s.ctx(), s.ch))
	require.NoError(s.t, s.last().RemoveHistory(s.ctx(), s.ch+"-never"))
	offsets, top := s.read(s.ch, broker.HistoryQuery{Limit: -1})
	require.Empty(s.t, offsets)
	require.Equal(s.t, before, top)
	s.fill(s.ch, 1)
	offsets, _ = s.read(s.ch, broker.HistoryQuery{Limit: -1})
	require.Equal(s.t, []uint64{4}, offsets)
	whole(s.t, s.last().sink.Await(s.t, s.ch, 4), 1, before.Epoch)
}
