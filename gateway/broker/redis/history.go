package redis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"sluice/gateway/broker"
	"sluice/gateway/broker/follow"
	rds "sluice/gateway/redis"
	"sluice/gateway/reference"
)

// historiesMost is how many reads go out before the answers to them are awaited: those of
// more are in memory one after the other.
const historiesMost = 512

// Histories implements broker.Broker. A read makes the position that is not there yet, and
// extends its life.
func (e *Engine) Histories(ctx context.Context, queries []broker.HistoryQuery) []broker.History {
	answers := make([]broker.History, len(queries))
	if len(queries) == 0 {
		return answers
	}
	lists := e.byLink(len(queries), func(i int) string { return queries[i].Channel })
	_ = e.each(func(l *link) bool { return len(lists[l.index]) > 0 }, func(l *link) error {
		for list := lists[l.index]; len(list) > 0; {
			n := min(len(list), historiesMost)
			e.histories(ctx, l, queries, answers, list[:n])
			list = list[n:]
		}
		return nil
	})
	return answers
}

// histories answers those queries whose indexes are in list.
func (e *Engine) histories(ctx context.Context, l *link, queries []broker.HistoryQuery, answers []broker.History, list []int) {
	cmds := make([]rds.Cmd, len(list))
	spans := make([]*follow.Span, len(list))
	last := make([]bool, len(list)) // the last publication is asked for, wherever it is
	for k, i := range list {
		q := &queries[i]
		wants, behind, in := l.follower.Reading(q.Channel)
		last[k], spans[k] = wants && behind == 0, in
		cmds[k] = e.historyCommand(l, q, wants, behind)
	}
	ctx, cancel := context.WithTimeout(ctx, e.opt.CallWait)
	defer cancel()
	began := time.Now()
	replies := l.shard.DoMulti(ctx, cmds...)
	e.calls.took(callHistory, time.Since(began))
	for k, i := range list {
		q := &queries[i]
		answer, t, err := e.history(l, q, last[k], replies[k])
		if err != nil {
			answers[i] = broker.History{Err: e.failed("history", err)}
			continue
		}
		l.follower.Learn(q.Channel, t, spans[k])
		answers[i] = answer
	}
}

// historyCommand makes the command that reads.
func (e *Engine) historyCommand(l *link, q *broker.HistoryQuery, wants bool, behind uint64) rds.Cmd {
	with, from, limit, reverse := "1", "", "0", "0"
	if q.Limit > 0 {
		limit = strconv.Itoa(q.Limit)
	}
	if q.Reverse {
		reverse = "1"
	}
	switch {
	case q.Limit == 0:
		with = "0"
	case q.Set && q.Reverse && q.Since <= 1, q.Set && !q.Reverse && q.Since == 1<<64-1:
		with = "0" // nothing is before the first, or behind the last
	case q.Set && q.Reverse:
		from = strconv.FormatUint(q.Since-1, 10)
	case q.Set:
		from = strconv.FormatUint(q.Since+1, 10)
	}
	args := []string{with, from, limit, reverse, seconds(metaTTL(q.MetaTTL)), e.newEpoch(), ""}
	if wants {
		args[6] = strconv.FormatUint(behind, 10)
	}
	if e.opt.Lists {
		return historyList.Cmd([]string{l.keys.List(q.Channel), l.keys.ListMeta(q.Channel)}, args...).Reading()
	}
	return historyStream.Cmd([]string{l.keys.Stream(q.Channel), l.keys.StreamMeta(q.Channel)}, args...).Reading()
}

// history reads the answer to a query, and where the history ends.
func (e *Engine) history(l *link, q *broker.HistoryQuery, last bool, reply rds.Reply) (h broker.History, t follow.Tip, err error) {
	parts, err := reply.Array()
	if err != nil {
		return h, t, err
	}
	if len(parts) != 4 {
		return h, t, malformed("epoch, offset, entries and last entry", reply, nil)
	}
	if h.Top, err = position(parts[0], parts[1]); err != nil {
		return h, t, err
	}
	entries, err := e.entries(parts[2])
	if err != nil {
		return h, t, err
	}
	if e.opt.Lists && !q.Reverse {
		for i, k := 0, len(entries)-1; i < k; i, k = i+1, k-1 {
			entries[i], entries[k] = entries[k], entries[i]
		}
	}
	lim := e.limits(q.Channel, h.Top.Epoch)
	for _, en := range entries {
		if m, ok := l.decodeEntry(q.Channel, en, h.Top.Epoch, lim); ok && m.Pub != nil {
			h.Publications = append(h.Publications, m.Pub)
		}
	}
	newest, err := e.entries(parts[3])
	if err != nil {
		return h, t, err
	}
	t.Top = h.Top
	switch {
	case last && len(newest) == 0 && h.Top.Offset > 0:
		t.Proof = follow.ProofEmpty
	case len(newest) == 1:
		if m, ok := l.decodeEntry(q.Channel, newest[0], h.Top.Epoch, lim); ok && m.At.Offset == h.Top.Offset {
			t.Proof, t.Sum = follow.ProofSum, m.Sum
		}
	}
	return h, t, nil
}

// position reads epoch and top.
func position(epoch, top rds.Reply) (broker.Position, error) {
	text, err := epoch.Text()
	if err != nil || !reference.ValidEpoch(text) {
		return broker.Position{}, malformed("an epoch", epoch, err)
	}
	offset, err := number(top)
	return broker.Position{Offset: offset, Epoch: text}, err
}

// entry is a publication as a history keeps it.
type entry struct {
	id   string // of a stream: <offset>-0; "" of a list, where the data begin with it
	data string
}

// entries reads an array of [id, [field, value…]], or of texts.
func (e *Engine) entries(r rds.Reply) ([]entry, error) {
	items, err := r.Array()
	if err != nil {
		return nil, malformed("entries", r, err)
	}
	list := make([]entry, 0, len(items))
	for _, item := range items {
		var en entry
		if e.opt.Lists {
			en.data, err = item.Text()
		} else {
			en, err = streamEntry(item)
		}
		if err != nil {
			return nil, err
		}
		list = append(list, en)
	}
	return list, nil
}

func streamEntry(item rds.Reply) (en entry, err error) {
	parts, err := item.Array()
	if err != nil || len(parts) != 2 {
		return en, malformed("id and fields of an entry", item, err)
	}
	if en.id, err = parts[0].Text(); err != nil {
		return en, malformed("the id of an entry", parts[0], err)
	}
	fields, err := parts[1].Array()
	if err != nil {
		return en, malformed("the fields of an entry", parts[1], err)
	}
	for i := 0; i+1 < len(fields); i += 2 {
		if name, _ := fields[i].Text(); name == "d" {
			en.data, err = fields[i+1].Text()
		}
	}
	return en, err
}

// decodeEntry decodes a publication of a history that has the epoch. What cannot be shown has
// no pub; what has no place there is not ok. Both are counted.
func (l *link) decodeEntry(channel string, en entry, epoch string, lim reference.Limits) (m follow.Message, ok bool) {
	if en.id == "" {
		return l.decodeItem(channel, en.data, epoch, lim)
	}
	head, tail, _ := strings.Cut(en.id, "-")
	offset, err := strconv.ParseUint(head, 10, 64)
	if err != nil || offset == 0 || tail != "0" {
		l.skip(channel, skipEntry, fmt.Errorf("entry %q: expected OFFSET-0", en.id))
		return follow.Message{}, false
	}
	m.At = broker.Position{Offset: offset, Epoch: epoch}
	m.Sum = follow.Sum(rds.Bytes(en.data))
	p, left, err := reference.DecodeMessage(rds.Bytes(en.data), offset, epoch, lim)
	l.stats.left(left)
	if err != nil {
		l.skip(channel, skipFor(err), err)
		return m, true
	}
	m.Pub, m.Size = p, p.Size()
	return m, true
}

// decodeItem decodes an item of a list.
func (l *link) decodeItem(channel, data, epoch string, lim reference.Limits) (m follow.Message, ok bool) {
	out, err := reference.Decode(rds.Bytes(data), lim)
	l.stats.left(out.Left)
	if err != nil && !errors.Is(err, reference.ErrData) || out.Offset == 0 || out.Epoch != epoch {
		l.skip(channel, skipEntry, cmp.Or(err, fmt.Errorf("an item of offset %d and epoch %q in a list of epoch %q", out.Offset, out.Epoch, epoch)))
		return follow.Message{}, false
	}
	m.At = broker.Position{Offset: out.Offset, Epoch: epoch}
	m.Sum = follow.Sum(stored(rds.Bytes(data), &out))
	if err != nil {
		l.skip(channel, skipFor(err), err)
		return m, true
	}
	out.Publication.Delta = false
	m.Pub, m.Size = out.Publication, out.Publication.Size()
	return m, true
}

// RemoveHistory implements broker.Broker: the position stays.
func (e *Engine) RemoveHistory(ctx context.Context, channel string) error {
	ctx, cancel := context.WithTimeout(ctx, e.opt.CallWait)
	defer cancel()
	l := e.link(channel)
	key := l.keys.Stream(channel)
	if e.opt.Lists {
		key = l.keys.List(channel)
	}
	began := time.Now()
	err := l.shard.Do(ctx, rds.Command("DEL", []string{key}).Repeatable()).Err()
	e.calls.took(callRemove, time.Since(began))
	if err != nil {
		return e.failed("remove history", err)
	}
	return nil
}

// Follow implements source: one round trip for all that are wanted.
func (l *link) Follow(ctx context.Context, wants []follow.Want) []follow.Read {
	ctx, cancel := context.WithTimeout(ctx, l.engine.opt.CallWait)
	defer cancel()
	cmds := make([]rds.Cmd, len(wants))
	for i, w := range wants {
		script, keys := followStream, []string{l.keys.Stream(w.Channel), l.keys.StreamMeta(w.Channel)}
		if l.engine.opt.Lists {
			script, keys = followList, []string{l.keys.List(w.Channel), l.keys.ListMeta(w.Channel)}
		}
		most := followMost
		if w.One {
			most = "1"
		}
		cmds[i] = script.Cmd(keys, strconv.FormatUint(w.From, 10), most, followRoom).Reading()
	}
	began := time.Now()
	replies := l.shard.DoMulti(ctx, cmds...)
	l.engine.calls.took(callFollow, time.Since(began))
	reads := make([]follow.Read, len(wants))
	for i, r := range replies {
		reads[i] = l.followed(wants[i], r)
		if err := reads[i].Err; err != nil {
			l.engine.calls.failed(err)
			reads[i].Err = forFollower(err)
		}
	}
	return reads
}

// forFollower tells a follower which errors time does not cure.
func forFollower(err error) error {
	if errors.Is(err, rds.ErrRefused) {
		return fmt.Errorf("%w: %w", follow.ErrRefused, err)
	}
	return err
}

const (
	// followMost and followRoom bound one answer of a comparison: entries, and bytes
	// after which no further entry is read.
	followMost = "64"
	followRoom = "65536"
)

// followed reads the answer to a want.
func (l *link) followed(w follow.Want, reply rds.Reply) (r follow.Read) {
	parts, err := reply.Array()
	if err != nil {
		return follow.Read{Err: err}
	}
	if len(parts) != 3 {
		return follow.Read{Err: malformed("epoch, offset and entries", reply, nil)}
	}
	if r.Top, r.Err = position(parts[0], parts[1]); r.Err != nil {
		return r
	}
	items, err := parts[2].Array()
	if err != nil {
		return follow.Read{Err: err}
	}
	if r.Top.Epoch == w.Epoch {
		r.Top.Epoch = w.Epoch // one text for all
	}
	lim := l.engine.limits(w.Channel, r.Top.Epoch)
	for i := 0; i < len(items); i++ {
		var en entry
		if !l.engine.opt.Lists {
			if en.id, err = items[i].Text(); err != nil {
				return follow.Read{Err: err}
			}
			if i++; i == len(items) {
				return follow.Read{Err: malformed("id and data of entries", parts[2], nil)}
			}
		}
		if en.data, err = items[i].Text(); err != nil {
			return follow.Read{Err: err}
		}
		if m, ok := l.decodeEntry(w.Channel, en, r.Top.Epoch, lim); ok && m.At.Offset >= w.From {
			r.List = append(r.List, m)
		}
	}
	return r
}

// Renew implements source.
func (l *link) Renew(ctx context.Context, channel, epoch string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, l.engine.opt.CallWait)
	defer cancel()
	key := l.keys.StreamMeta(channel)
	if l.engine.opt.Lists {
		key = l.keys.ListMeta(channel)
	}
	reply := l.shard.Do(ctx, renewEpoch.Cmd([]string{key}, epoch, l.engine.newEpoch()).Reading())
	if err := reply.Err(); err != nil {
		l.engine.calls.failed(err)
		return "", forFollower(err)
	}
	return reply.Text()
}
