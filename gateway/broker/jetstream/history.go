package jetstream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"sluice/codec"
	"sluice/gateway/broker"
	"sluice/gateway/broker/follow"
	"sluice/gateway/nats"
	"sluice/gateway/pause"
)

// Histories implements broker.Broker. A read makes the position that is not there yet, and extends its life in the second half of
// it.
func (e *Engine) Histories(ctx context.Context, queries []broker.HistoryQuery) []broker.History {
	answers := make([]broker.History, len(queries))
	if len(queries) == 0 {
		return answers
	}
	ctx, cancel := context.WithTimeout(ctx, e.opt.CallWait+time.Duration(len(queries))*callEach)
	defer cancel()
	began := time.Now()
	var now, later []int // those of streams that are known to be what they were come first
	for i := range queries {
		if e.shardOf(queries[i].Channel).knows() {
			now = append(now, i)
		} else {
			later = append(later, i)
		}
	}
	later = append(later, e.readAll(ctx, queries, now, answers)...)
	sideBySide(len(later), func(k int) {
		i := later[k]
		for again := true; again; again = len(e.readAll(ctx, queries, []int{i}, answers)) > 0 && pause.For(ctx, awayPause) {
			if err := e.shardOf(queries[i].Channel).awaitKnown(ctx); err != nil {
				answers[i] = broker.History{Err: e.failed("history", err)}
				return
			}
		}
	})
	e.calls.took(callHistory, time.Since(began))
	return answers
}

// readAll answers some of the queries. It returns those whose connection broke: a read may be made again.
func (e *Engine) readAll(ctx context.Context, queries []broker.HistoryQuery, which []int, answers []broker.History) (broken []int) {
	spans := make([]*follow.Span, len(which))
	wanted := make([]nats.Wanted, len(which))
	for k, i := range which {
		_, _, spans[k] = e.follow.Reading(queries[i].Channel)
		wanted[k] = e.wanted(queries[i].Channel)
	}
	lasts := e.api.Lasts(ctx, wanted)
	cut := make([]bool, len(which))
	sideBySide(len(which), func(k int) {
		q := &queries[which[k]]
		answer, tip, err := e.history(ctx, q, &lasts[k])
		if err != nil {
			e.shardOf(q.Channel).missing(err)
			answers[which[k]] = broker.History{Err: e.failed("history", err)}
			reason := nats.ReasonOf(err)
			cut[k] = reason == nats.ReasonBroken || reason == nats.ReasonDial
			return
		}
		e.follow.Learn(q.Channel, tip, spans[k])
		answers[which[k]] = answer
	})
	for k, i := range which {
		if cut[k] {
			broken = append(broken, i)
		}
	}
	return broken
}

// history answers a query by the last message of its channel.
func (e *Engine) history(ctx context.Context, q *broker.HistoryQuery, last *nats.Last) (h broker.History, t follow.Tip, err error) {
	if last.Err != nil {
		return h, t, last.Err
	}
	s := e.shardOf(q.Channel)
	st, foreign := s.stateOf(&last.Stored)
	if foreign {
		e.stats.skipped(skipForeign)
	}
	if st.old {
		if st, err = e.renewed(ctx, q.Channel, st); err != nil {
			return h, t, err
		}
		last = &nats.Last{}
	}
	if st.epoch == "" {
		if st, err = e.enter(ctx, s, q, st); err != nil {
			return h, t, err
		}
		last = &nats.Last{}
	} else {
		e.prolong(ctx, s, q.Channel, st, q.MetaTTL)
	}
	h.Top = st.position()
	t = e.tip(q.Channel, &last.Stored, &st)
	lo, hi, most := window(q, &st, e.now())
	if lo > hi || most == 0 {
		return h, t, nil
	}
	list, err := e.list(ctx, s, q.Channel, &st, lo)
	if err != nil {
		return h, t, err
	}
	h.Publications = choose(list, lo, hi, most, q.Reverse)
	return h, t, nil
}

// window says which offsets a query asks for, and how many at the most.
func window(q *broker.HistoryQuery, st *state, now time.Time) (lo, hi uint64, most int) {
	lo, hi, most = st.kept(now), st.top, q.Limit
	switch {
	case q.Set && q.Reverse && q.Since == 0, q.Set && !q.Reverse && q.Since == 1<<64-1:
		return 1, 0, 0
	case q.Set && q.Reverse:
		hi = min(hi, q.Since-1)
	case q.Set:
		lo = max(lo, q.Since+1)
	}
	if most < 0 {
		most = int(min(st.top, 1<<31))
	}
	if n := uint64(most); q.Reverse && hi >= n {
		lo = max(lo, hi-n+1) // no more is asked for
	}
	return max(lo, 1), hi, most
}

// choose takes those of a window, in the order that is asked for.
func choose(list []follow.Message, lo, hi uint64, most int, reverse bool) []*codec.Publication {
	var all []*codec.Publication
	for i := range list {
		if m := &list[i]; m.Pub != nil && m.At.Offset >= lo && m.At.Offset <= hi {
			m.Pub.Delta = false
			all = append(all, m.Pub)
		}
	}
	if !reverse {
		return all[:min(most, len(all))]
	}
	some := make([]*codec.Publication, min(most, len(all)))
	for i := range some {
		some[i] = all[len(all)-1-i]
	}
	return some
}

// tip is where a history ends.
func (e *Engine) tip(channel string, m *nats.Stored, st *state) follow.Tip {
	t := follow.Tip{Top: st.position()}
	switch {
	case st.kind == kindPublication && m.Seq != 0:
		t.Proof, t.Sum, t.Ref = follow.ProofSum, follow.Sum(m.Data), m.Seq
	case st.top > 0:
		t.Proof = follow.ProofNone
	}
	return t
}

// enter gives a channel a position that has none.
func (e *Engine) enter(ctx context.Context, s *shard, q *broker.HistoryQuery, before state) (state, error) {
	for {
		st := state{meta: metaTTL(q.MetaTTL), at: e.now()}
		st.begin(newEpoch)
		_, err := e.mark(ctx, s, q.Channel, st, before.seq)
		switch {
		case err == nil:
			st.kind = kindState
			return st, nil
		case !nats.Outrun(err):
			return state{}, err
		}
		if before, err = e.state(ctx, q.Channel); err != nil || before.epoch != "" {
			return before, err
		}
	}
}

const (
	// readMost and readRoom bound one direct get, in messages and bytes.
	readMost = 512
	readRoom = 1 << 20
	// readTries is how often a list is read that does not reach the top; readPause is between tries.
	readTries = 20
	readPause = 10 * time.Millisecond
)

// list reads the publications of a channel from an offset on, up to the top, as far as they are kept.
func (e *Engine) list(ctx context.Context, s *shard, channel string, st *state, from uint64) ([]follow.Message, error) {
	begin := guess(st, from)
	list, err := e.lagging(ctx, func() (list []follow.Message, reached bool, err error) {
		list, reached, err = e.read(ctx, s, channel, st, from, begin, 0)
		if err == nil && begin > 1 && (len(list) == 0 || list[0].At.Offset > from) {
			begin = 1 // it may begin before
			list, reached, err = e.read(ctx, s, channel, st, from, begin, 0)
		}
		return list, reached, err
	})
	return whole(list), err
}

// lagging reads again what has not reached the top: servers that answer may be behind.
func (e *Engine) lagging(ctx context.Context, read func() (list []follow.Message, reached bool, err error)) ([]follow.Message, error) {
	for try := range readTries {
		if list, reached, err := read(); err != nil || reached {
			return list, err
		}
		e.stats.readsAgain.Add(1)
		if !pause.For(ctx, readPause<<min(try, 4)) {
			break
		}
	}
	return nil, &nats.Error{Kind: nats.ErrUnavailable, Reason: nats.ReasonTimeout, Err: errors.New("the servers that answer have not got all of the history yet")}
}

// guessMost is how many messages of other channels are guessed to be between two of one.
const guessMost = 16

// guess is from where on a stream is read that has an offset of a channel not far from the top: from its first message on
// all of a channel would have to be read.
func guess(st *state, from uint64) uint64 {
	if n := guessMost * (st.top - min(from, st.top) + 1); from > st.floor && n < st.seq {
		return st.seq - n
	}
	return 1
}

// whole leaves out what is before a gap: it was trimmed while the rest was read.
func whole(list []follow.Message) []follow.Message {
	for i := len(list) - 1; i > 0; i-- {
		if list[i].At.Offset != list[i-1].At.Offset+1 {
			return list[i:]
		}
	}
	return list
}

// read reads publications from an offset on by direct gets, most of them if that is above 0, beginning at a sequence
// of the stream. reached says that the top is among them, or that it is none any more that could be, or that most were read.
func (e *Engine) read(ctx context.Context, s *shard, channel string, st *state, from, seq uint64, most int) (list []follow.Message, reached bool, err error) {
	r := nats.Range{Stream: s.stream, Subject: e.subj.kept(s.index, channel), From: max(seq, 1), Most: readMost, Room: readRoom}
	if most > 0 {
		r.Most, r.Room = most, followRoom
	}
	for {
		got, more, err := e.api.Read(ctx, r)
		if err != nil {
			return nil, false, err
		}
		for i := range got {
			m := &got[i]
			r.From = m.Seq + 1
			reached = reached || m.Seq >= st.seq
			of, ok := readState(m)
			if !ok || of.kind != kindPublication || of.epoch != st.epoch || of.top < from || of.top > st.top {
				continue
			}
			if msg, ok := e.publication(channel, m, &of, st.epoch); ok {
				list = append(list, msg)
			}
		}
		switch {
		case reached, most > 0 && len(list) > 0:
			return list, true, nil
		case !more || len(got) == 0:
			return list, false, nil
		}
	}
}

// followMost and followRoom bound one answer of a comparison: publications, and bytes after which no
// further one is read.
const (
	followMost = 64
	followRoom = 64 << 10
	// readsAtOnce is how many lists are read side by side.
	readsAtOnce = 64
)

// Follow implements follow.Source: the tops in one round trip, and the lists of those that went on.
func (e *Engine) Follow(ctx context.Context, wants []follow.Want) []follow.Read {
	ctx, cancel := context.WithTimeout(ctx, e.opt.CallWait)
	defer cancel()
	began := time.Now()
	wanted := make([]nats.Wanted, len(wants))
	for i := range wants {
		wanted[i] = e.wanted(wants[i].Channel)
	}
	reads := make([]follow.Read, len(wants))
	lasts := e.api.Lasts(ctx, wanted)
	sideBySide(len(lasts), func(i int) { reads[i] = e.followed(ctx, &wants[i], &lasts[i]) })
	for i := range reads {
		if err := reads[i].Err; err != nil {
			e.calls.failed(err)
			if errors.Is(err, nats.ErrRefused) {
				reads[i].Err = fmt.Errorf("%w: %w", follow.ErrRefused, err)
			}
		}
	}
	e.calls.took(callFollow, time.Since(began))
	return reads
}

// sideBySide does n things, some at once.
func sideBySide(n int, do func(i int)) {
	if n == 1 {
		do(0)
		return
	}
	turns := make(chan struct{}, readsAtOnce)
	var wait sync.WaitGroup
	for i := range n {
		turns <- struct{}{}
		wait.Go(func() {
			defer func() { <-turns }()
			do(i)
		})
	}
	wait.Wait()
}

// followed answers a want by the last message of its channel. What is kept counts, whether the history is
// over or not.
func (e *Engine) followed(ctx context.Context, w *follow.Want, last *nats.Last) (r follow.Read) {
	if last.Err != nil {
		return follow.Read{Err: last.Err}
	}
	s := e.shardOf(w.Channel)
	st, _ := s.stateOf(&last.Stored)
	if st.old {
		if st, r.Err = e.renewed(ctx, w.Channel, st); r.Err != nil {
			return r
		}
	}
	if st.epoch == w.Epoch {
		st.epoch = w.Epoch
	}
	r.Top = st.position()
	if r.Top.Epoch != w.Epoch || r.Top.Offset < w.From {
		return r
	}
	if st.kind == kindPublication && st.top == w.From {
		if m, ok := e.publication(w.Channel, &last.Stored, &st, w.Epoch); ok {
			r.List = append(r.List, m)
		}
		return r
	}
	if w.One {
		return r
	}
	list, err := e.lagging(ctx, func() ([]follow.Message, bool, error) {
		return e.read(ctx, s, w.Channel, &st, w.From, w.Ref, followMost)
	})
	if err != nil {
		return follow.Read{Err: err}
	}
	r.List = list
	return r
}

// Renew implements follow.Source.
func (e *Engine) Renew(ctx context.Context, channel, epoch string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, e.opt.CallWait)
	defer cancel()
	s := e.shardOf(channel)
	for {
		st, err := e.state(ctx, channel)
		if err != nil || st.epoch != epoch {
			return st.epoch, err
		}
		seq := st.seq
		st.renew(newEpoch)
		st.at = e.now()
		_, err = e.mark(ctx, s, channel, st, seq)
		if nats.Outrun(err) {
			continue
		}
		if err == nil {
			e.lanes.forget(channel)
		}
		return st.epoch, err
	}
}

// RemoveHistory implements broker.Broker: the position stays.
func (e *Engine) RemoveHistory(ctx context.Context, channel string) error {
	ctx, cancel := context.WithTimeout(ctx, e.opt.CallWait)
	defer cancel()
	began := time.Now()
	defer func() { e.calls.took(callRemove, time.Since(began)) }()
	s := e.shardOf(channel)
	for {
		st, err := e.state(ctx, channel)
		if err != nil {
			return e.failed("remove history", err)
		}
		if st.epoch == "" || st.kept(e.now()) > st.top {
			return nil
		}
		seq := st.seq
		if st.old {
			st.renew(newEpoch)
		}
		st.floor, st.ttl, st.at = st.top+1, 0, e.now()
		seq, err = e.mark(ctx, s, channel, st, seq)
		switch {
		case err == nil:
			e.lanes.forget(channel)
			if err := e.api.Purge(ctx, s.stream, e.subj.kept(s.index, channel), seq); err != nil {
				e.stats.purgesFailed.Add(1) // nobody is shown what is left
			}
			return nil
		case !nats.Outrun(err):
			return e.failed("remove history", err)
		}
	}
}
