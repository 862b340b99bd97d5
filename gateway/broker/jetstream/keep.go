package jetstream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"sluice/gateway/broker"
	"sluice/gateway/nats"
	"sluice/gateway/pause"
)

const (
	// resultLife is how long the results of idempotency keys are kept.
	resultLife = 5 * time.Minute
	// conflictMin and conflictMax bound the pause after another node came before, which grows.
	conflictMin = time.Millisecond
	conflictMax = 20 * time.Millisecond
	// awayPause is between tries while a stream cannot be reached.
	awayPause = 25 * time.Millisecond
)

// keep has the stream of a channel keep a group, in order, and ends each of it.
func (e *Engine) keep(channel string, group []*waiting) {
	until := group[0].until // the earliest
	if least := time.Now().Add(e.opt.Wait / 4); until.Before(least) {
		until = least
	}
	ctx, cancel := context.WithDeadline(e.over, until)
	defer cancel()
	k := keeper{engine: e, shard: e.shardOf(channel), channel: channel, left: group}
	defer func() { // none waits for ever
		for _, w := range group {
			if !w.done {
				w.end(broker.Result{}, &nats.Error{Kind: nats.ErrUnknown, Reason: nats.ReasonBroken, Err: errors.New("it was not carried through")})
			}
		}
	}()
	fresh, wait := false, conflictMin
	for len(k.left) > 0 {
		if err := k.shard.awaitKnown(ctx); err != nil {
			k.endAll(err)
			return
		}
		err := k.try(ctx, fresh)
		switch {
		case err == nil:
			continue
		case errors.Is(err, errStale):
		case nats.Outrun(err):
			e.stats.conflicts.Add(1)
			if !pause.For(ctx, rand.N(wait)) { // #nosec: it only parts those that meet
				k.endAll(err)
				return
			}
			wait = min(2*wait, conflictMax)
		case !k.again(ctx, err):
			return
		}
		fresh = true
		if err := k.repeated(ctx); err != nil && !k.again(ctx, err) {
			return
		}
	}
}

// errStale says that what is remembered of a channel may be too old to decide by.
var errStale = errors.New("jetstream: the state of the channel has to be read")

// keeper keeps a group.
type keeper struct {
	engine  *Engine
	shard   *shard
	channel string
	left    []*waiting // not ended yet
	looked  bool       // keys were looked for
	unknown error      // of an attempt that may have kept what is left; nil: there was none
}

// endAll ends what is left with an error. What may have been kept is not told to be not.
func (k *keeper) endAll(err error) {
	if k.unknown != nil && errors.Is(err, nats.ErrUnavailable) {
		err = k.unknown
	}
	for _, w := range k.left {
		w.end(broker.Result{}, err)
	}
	k.left = nil
}

// again says whether what is left is to be tried once more after an error, for which it waits. What may have
// been carried out is, with an idempotency key only.
func (k *keeper) again(ctx context.Context, err error) bool {
	k.engine.lanes.forget(k.channel)
	k.shard.missing(err)
	switch reason := nats.ReasonOf(err); {
	case errors.Is(err, nats.ErrUnknown):
		k.unknown = err
		keyed := k.left[:0:0]
		for _, w := range k.left {
			if w.opt.IdempotencyKey == "" {
				w.end(broker.Result{}, err)
			} else {
				keyed = append(keyed, w)
			}
		}
		k.left = keyed
	case !errors.Is(err, nats.ErrUnavailable) || reason == nats.ReasonStorage || reason == nats.ReasonClosed:
		k.endAll(err)
	}
	if len(k.left) > 0 && !pause.For(ctx, awayPause) {
		k.endAll(err)
	}
	return len(k.left) > 0
}

// outcome is what becomes of one of the group once it is kept.
type outcome struct {
	w      *waiting
	result broker.Result
}

// try makes one attempt to keep what is left. fresh has the state read.
func (k *keeper) try(ctx context.Context, fresh bool) error {
	e := k.engine
	if err := k.shard.widen(ctx, k.size()); err != nil {
		return err
	}
	forgotten := e.lanes.forgotten()
	st, ok := e.lanes.remembered(k.channel)
	if !ok || fresh {
		var err error
		if st, err = e.state(ctx, k.channel); err != nil {
			return err
		}
		fresh = true
	}
	expect, now := st.seq, e.now()
	if st.old {
		st.renew(newEpoch)
	}
	st.begin(newEpoch)
	outcomes := make([]outcome, 0, len(k.left))
	var keys, pubs []nats.Request
	for _, w := range k.left {
		if st.stale(w.pub.Version, w.opt.VersionEpoch) {
			if !fresh || w.opt.IdempotencyKey != "" && !k.looked { // a key counts before a version
				return errStale
			}
			outcomes = append(outcomes, outcome{w, broker.Result{Position: st.position(), Suppressed: true}})
			continue
		}
		st = st.next(w.pub, &w.opt, now)
		outcomes = append(outcomes, outcome{w, broker.Result{Position: st.position()}})
		pub := nats.Request{Subject: e.subj.kept(k.shard.index, k.channel), Data: w.payload, Header: nats.Header{headerState: {st.header()}, nats.HeaderTTL: {st.life()}}}
		if len(pubs) == 0 {
			pub.Header[nats.HeaderExpectSubject] = []string{strconv.FormatUint(expect, 10)}
		}
		pubs = append(pubs, pub)
		if w.opt.IdempotencyKey != "" {
			keys = append(keys, e.claim(k.shard, k.channel, w.opt.IdempotencyKey, st.position()))
		}
	}
	if len(pubs) > 0 {
		ack, err := k.send(ctx, keys, pubs)
		if err != nil {
			return err
		}
		if ack.Duplicate {
			return k.duplicate(ctx, ack.Seq)
		}
		st.seq = ack.Seq
		k.shard.saw(ack.Seq)
		e.lanes.remember(k.channel, st, forgotten)
		e.janitor.kept(k.channel, &st)
		e.stats.batches.Add(1)
		e.stats.batched.Add(uint64(len(pubs)))
	}
	for _, o := range outcomes {
		if o.result.Suppressed {
			e.stats.outdated.Add(1)
		}
		o.w.end(o.result, nil)
	}
	k.left = nil
	return nil
}

// size is that of the longest history that is asked for.
func (k *keeper) size() (size int) {
	for _, w := range k.left {
		size = max(size, w.opt.History.Size)
	}
	return size
}

// claim is the message that keeps the result of an idempotency key.
func (e *Engine) claim(s *shard, channel, key string, at broker.Position) nats.Request {
	return nats.Request{
		Subject: e.subj.result(s.index, channel, key), Data: appendResult(nil, at),
		Header: nats.Header{nats.HeaderExpectSubject: {"0"}, nats.HeaderTTL: {strconv.Itoa(int(resultLife / time.Second))}},
	}
}

// send has the stream keep all or nothing. Without batches there is one publication, whose key is the id
// of its message.
func (k *keeper) send(ctx context.Context, keys, pubs []nats.Request) (nats.Ack, error) {
	if k.engine.level.Load() < nats.LevelBatch {
		if len(keys) > 0 {
			pubs[0].Header[nats.HeaderMsgID] = []string{keys[0].Subject}
		}
		return k.engine.api.Publish(ctx, pubs[0])
	}
	return k.engine.api.Batch(ctx, k.engine.batchID(), append(keys, pubs...))
}

// repeated ends those whose idempotency key was seen before.
func (k *keeper) repeated(ctx context.Context) error {
	e := k.engine
	k.looked = true
	if e.level.Load() < nats.LevelBatch {
		return nil // the stream says so itself
	}
	var of []nats.Wanted
	var keyed []*waiting
	for _, w := range k.left {
		if w.opt.IdempotencyKey != "" {
			of = append(of, nats.Wanted{Stream: k.shard.stream, Subject: e.subj.result(k.shard.index, k.channel, w.opt.IdempotencyKey)})
			keyed = append(keyed, w)
		}
	}
	if len(of) == 0 {
		return nil
	}
	for i, last := range e.api.Lasts(ctx, of) {
		switch {
		case last.Err != nil:
			return last.Err
		case last.Seq != 0:
			e.stats.repeated.Add(1)
			keyed[i].end(broker.Result{Position: readResult(last.Data), Suppressed: true}, nil)
		}
	}
	left := k.left[:0:0]
	for _, w := range k.left {
		if !w.done {
			left = append(left, w)
		}
	}
	k.left = left
	return nil
}

// duplicate ends the only one that is left, whose message the stream has already.
func (k *keeper) duplicate(ctx context.Context, seq uint64) error {
	m, err := k.engine.api.Message(ctx, k.shard.stream, seq)
	if err != nil {
		return err
	}
	st, ok := readState(&m)
	if !ok { // it is not kept any more: where the channel is now
		if st, err = k.engine.state(ctx, k.channel); err != nil {
			return err
		}
	}
	k.engine.stats.repeated.Add(1)
	k.left[0].end(broker.Result{Position: st.position(), Suppressed: true}, nil)
	k.left = nil
	return nil
}

// appendResult writes the result of a key: the epoch, "-" for none, and the offset.
func appendResult(dst []byte, at broker.Position) []byte {
	if at.Epoch == "" {
		dst = append(dst, '-')
	}
	return strconv.AppendUint(append(append(dst, at.Epoch...), ' '), at.Offset, 10)
}

// readResult reads it; what is none is no position.
func readResult(data []byte) broker.Position {
	epoch, offset, _ := strings.Cut(string(data), " ")
	n, err := strconv.ParseUint(offset, 10, 64)
	if err != nil || !validEpoch(epoch) {
		return broker.Position{}
	}
	return broker.Position{Offset: n, Epoch: epoch}
}

// publishOnce publishes past the streams what has a key: the stream keeps that alone. A connection that is lost
// between the two loses the publication.
func (e *Engine) publishOnce(ctx context.Context, channel string, payload []byte, key string) (broker.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, e.opt.Wait)
	defer cancel()
	s := e.shardOf(channel)
	claim := e.claim(s, channel, key, broker.Position{})
	_, err := e.api.Publish(ctx, claim)
	switch {
	case nats.Outrun(err):
		last := e.api.Lasts(ctx, []nats.Wanted{{Stream: s.stream, Subject: claim.Subject}})[0]
		if last.Err != nil {
			return broker.Result{}, e.failed("publish", last.Err)
		}
		e.stats.repeated.Add(1)
		return broker.Result{Position: readResult(last.Data), Suppressed: true}, nil
	case err != nil:
		s.missing(err)
		if errors.Is(err, nats.ErrUnknown) {
			e.release(s, claim.Subject)
		}
		return broker.Result{}, e.failed("publish", err)
	}
	if err := e.nats.Calls().Send(ctx, nats.Request{Subject: e.subj.live(channel), Data: payload}); err != nil {
		e.release(s, claim.Subject)
		return broker.Result{}, e.failed("publish", err)
	}
	return broker.Result{}, nil
}

// release frees a key whose publication was not made, as far as that is possible.
func (e *Engine) release(s *shard, subject string) {
	e.done.Go(func() {
		ctx, cancel := context.WithTimeout(e.over, e.opt.CallWait)
		defer cancel()
		for e.api.Purge(ctx, s.stream, subject, 0) != nil && pause.For(ctx, awayPause) {
		}
	})
}

// wanted is the last message of a channel, which says where it is.
func (e *Engine) wanted(channel string) nats.Wanted {
	s := e.shardOf(channel)
	return nats.Wanted{Stream: s.stream, Subject: e.subj.kept(s.index, channel)}
}

// state reads where a channel is, from the leader of its stream.
func (e *Engine) state(ctx context.Context, channel string) (state, error) {
	last := e.api.Lasts(ctx, []nats.Wanted{e.wanted(channel)})[0]
	if last.Err != nil {
		return state{}, last.Err
	}
	st, foreign := e.shardOf(channel).stateOf(&last.Stored)
	if foreign {
		e.stats.skipped(skipForeign)
	}
	return st, nil
}

// batchID names a batch.
func (e *Engine) batchID() string {
	return e.idPrefix + strconv.FormatUint(e.batches.Add(1), 36)
}

// mark writes a message that says no more than where a channel is, unless another came before.
func (e *Engine) mark(ctx context.Context, s *shard, channel string, st state, expect uint64) (seq uint64, err error) {
	st.kind = kindState
	ack, err := e.api.Publish(ctx, nats.Request{Subject: e.subj.kept(s.index, channel), Header: nats.Header{
		headerState: {st.header()}, nats.HeaderTTL: {st.life()}, nats.HeaderExpectSubject: {strconv.FormatUint(expect, 10)},
	}})
	return ack.Seq, err
}

// prolong gives a position another life whose history is over, once half of it has passed. What fails is tried by the next
// read.
func (e *Engine) prolong(ctx context.Context, s *shard, channel string, st state, meta time.Duration) {
	now := e.now()
	if st.epoch == "" || st.kept(now) <= st.top || now.Sub(st.at) < st.meta/2 {
		return
	}
	expect := st.seq
	st.floor, st.ttl, st.meta, st.at = st.top+1, 0, max(st.meta, metaTTL(meta)), now
	if seq, err := e.mark(ctx, s, channel, st, expect); err == nil {
		e.lanes.forget(channel)
		_ = e.api.Purge(ctx, s.stream, e.subj.kept(s.index, channel), seq) // nobody is shown what is left
	}
}

// tooLarge says that a payload does not fit the server's max_payload.
func (e *Engine) tooLarge(payload []byte) error {
	server, ok := e.nats.Server()
	if size := int64(len(payload) + headerRoom); ok && size > server.MaxPayload {
		return &nats.Error{Kind: nats.ErrRefused, Reason: nats.ReasonPayload, Err: fmt.Errorf("%d bytes with headers, max_payload is %d", size, server.MaxPayload)}
	}
	return nil
}

// headerRoom is what headers take at the most, about.
const headerRoom = 2048
