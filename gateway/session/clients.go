package session

import (
	"cmp"
	"context"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"time"

	"sluice/codec"
	"sluice/gateway/hub"
	"sluice/gateway/loop"
)

// This file is for those who look at the clients of a node: walks over all sessions find
// some. Nothing of it runs unless somebody looks.

// KeepsSources reports whether connects are to say where they come from. Any goroutine.
func (m *Manager) KeepsSources() bool { return m.opt.Sources }

// ClientBy is what clients are found by.
type ClientBy uint8

// What clients are found by.
const (
	ByAny     ClientBy = iota // how a user begins, or one of the others
	ByUser                    // exactly
	ByClient                  // the id of the client
	BySession                 // that of the session
	ByAddress                 // an address, or a prefix of one such as 10.0.0.0/8
)

// ClientOrder is by what clients are put in order.
type ClientOrder uint8

// The orders.
const (
	OrderAge ClientOrder = iota
	OrderQueue
	OrderLag
	OrderSubscriptions
)

// ClientQuery asks for clients. Text "" is all of them.
type ClientQuery struct {
	By    ClientBy
	Text  string
	Order ClientOrder
	Desc  bool // the largest first
	Most  int  // how many are wanted
}

// ClientRef names a stream of a manager.
type ClientRef struct {
	Loop int
	loop.Ref
}

// ClientFound is a client that a query found, and what it is ordered by: bytes, nanoseconds
// or a number.
type ClientFound struct {
	Key int64
	Ref ClientRef
}

// QueryError is what is wrong with a query, for people.
type QueryError string

func (e QueryError) Error() string { return string(e) }

// filter is a query that was read.
type filter struct {
	ClientQuery
	id      ID // of a client or a session; the zero ID for none
	prefix  netip.Prefix
	nothing bool
}

func (q *ClientQuery) filter() (f *filter, err error) {
	f = &filter{ClientQuery: *q}
	id, isID := parseID(q.Text)
	prefix, isPrefix := parsePrefix(q.Text)
	switch {
	case q.Text == "":
		f.By = ByAny
	case q.By == ByAny:
		f.id, f.prefix = id, prefix
	case q.By == ByAddress && !isPrefix:
		return nil, errAddress
	case q.By == ByAddress:
		f.prefix = prefix
	case q.By == ByClient || q.By == BySession:
		f.id, f.nothing = id, !isID
	}
	return f, nil
}

const errAddress = QueryError("an address expected, such as 192.0.2.7 or 2001:db8::7, or a prefix such as 192.0.2.0/24")

// parseID reads an ID in its usual form.
func parseID(text string) (id ID, ok bool) {
	if len(text) != len(idText{}) {
		return ID{}, false
	}
	b, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	if err != nil || len(b) != len(id) {
		return ID{}, false
	}
	copy(id[:], b)
	return id, strings.EqualFold(id.String(), text)
}

// parsePrefix reads an address, or a prefix of addresses.
func parsePrefix(text string) (netip.Prefix, bool) {
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.Masked(), true
	}
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Zone() != "" {
		return netip.Prefix{}, false
	}
	addr = addr.Unmap()
	return netip.PrefixFrom(addr, addr.BitLen()), true
}

// fits reports whether a session is one that is looked for. On-loop only.
func (f *filter) fits(a *Agent, slot uint32, s *session) bool {
	switch {
	case !s.accepted || f.nothing:
		return false
	case f.Text == "":
		return true
	}
	switch f.By {
	case ByUser:
		return s.user == f.Text && s.kind != Broadcast
	case ByClient:
		return s.client == f.id
	case BySession:
		return s.secret == f.id
	case ByAddress:
		return f.within(a, slot)
	}
	return strings.HasPrefix(s.user, f.Text) || f.id != (ID{}) && (s.client == f.id || s.secret == f.id) || f.within(a, slot)
}

func (f *filter) within(a *Agent, slot uint32) bool {
	if !f.prefix.IsValid() {
		return false
	}
	src := a.table.source(slot)
	return f.prefix.Contains(src.address())
}

// key is what a session is ordered by. On-loop only.
func (f *filter) key(a *Agent, slot uint32, s *session) int64 {
	switch f.Order {
	case OrderQueue:
		bytes, _ := a.loop.Unwritten(slot)
		return int64(bytes)
	case OrderLag:
		_, lag := a.loop.Unwritten(slot)
		return int64(lag)
	case OrderSubscriptions:
		return int64(len(s.subs))
	}
	return a.age(slot)
}

// age is how long a stream has been open, 0 if nobody knows. On-loop only.
func (a *Agent) age(slot uint32) int64 {
	src := a.table.source(slot)
	if src.began == 0 {
		return 0
	}
	return a.loop.Now() - src.began
}

// Compare says which of two comes first.
func (q *ClientQuery) Compare(a, b *ClientFound) int {
	by := cmp.Compare(a.Key, b.Key)
	if q.Desc {
		by = -by
	}
	return cmp.Or(by, cmp.Compare(a.Ref.Loop, b.Ref.Loop), cmp.Compare(a.Ref.Slot, b.Ref.Slot))
}

// clientsOnLoop is what a walk over one loop has found: how many there are, and the first
// ones, as a heap whose root is the last of them.
type clientsOnLoop struct {
	*filter
	first []ClientFound
	total int
}

func (c *clientsOnLoop) add(x ClientFound) {
	c.total++
	switch h := c.first; {
	case c.Most <= 0:
	case len(h) < c.Most:
		c.first = append(h, x)
		for i := len(c.first) - 1; i > 0; {
			up := (i - 1) / 2
			if c.Compare(&c.first[i], &c.first[up]) <= 0 {
				break
			}
			c.first[i], c.first[up] = c.first[up], c.first[i]
			i = up
		}
	case c.Compare(&x, &h[0]) < 0:
		h[0] = x
		c.sink()
	}
}

// sink moves the root to its place.
func (c *clientsOnLoop) sink() {
	h := c.first
	for i := 0; ; {
		last := i
		for _, down := range [...]int{2*i + 1, 2*i + 2} {
			if down < len(h) && c.Compare(&h[down], &h[last]) > 0 {
				last = down
			}
		}
		if last == i {
			return
		}
		h[i], h[last] = h[last], h[i]
		i = last
	}
}

// FindClients returns how many open streams a query fits, and the first ones in its order:
// what it is by may have changed on the way. It looks at all streams, some at a time, so no turn
// is long. The error is a QueryError, or ctx's cause.
func (m *Manager) FindClients(ctx context.Context, q *ClientQuery) (total int, first []ClientFound, err error) {
	f, err := q.filter()
	if err != nil {
		return 0, nil, err
	}
	done := make(chan *clientsOnLoop, len(m.agents))
	for _, a := range m.agents {
		c := &clientsOnLoop{filter: f}
		a.loop.Post(&tableWalk{
			a: a, done: func() { done <- c },
			visit: func(slot uint32, s *session) {
				if f.fits(a, slot, s) {
					c.add(ClientFound{f.key(a, slot, s), ClientRef{a.loop.ID(), a.loop.Ref(slot)}})
				}
			},
		})
	}
	for range m.agents {
		select {
		case c := <-done:
			total += c.total
			first = append(first, c.first...)
		case <-ctx.Done():
			return 0, nil, context.Cause(ctx)
		}
	}
	slices.SortFunc(first, func(a, b ClientFound) int { return q.Compare(&a, &b) })
	return total, first[:min(len(first), max(q.Most, 0))], nil
}

// Client is an open stream as its operator sees it.
type Client struct {
	ID            ID
	User          string
	Address       netip.Addr // the zero Addr if nobody knows
	Agent         UserAgent
	Age           time.Duration
	Subscriptions int
	Queued        int           // bytes that it has yet to be written
	Lag           time.Duration // for how long its socket has taken none of them
	Coding        codec.Coding  // CodingDcz where it has a dictionary
	// What follows is there if it was asked for.
	Info     codec.JSON // conn_info
	ExpireAt int64      // Unix seconds, 0 for never
	Channels []ClientChannel
}

// ClientChannel is a subscription of a client.
type ClientChannel struct {
	hub.Subscription
	Presence, JoinLeave bool
	ExpireAt            int64 // Unix seconds, 0 for never
}

// channelsMost is how many subscriptions of one client are told.
const channelsMost = 4096

// Clients returns what the streams are that refs name, nil in the place of those that have
// ended; with their channels and all if whole is set. The error is ctx's cause.
func (m *Manager) Clients(ctx context.Context, refs []ClientRef, whole bool) ([]*Client, error) {
	byLoop := make([]*clientsTask, len(m.agents))
	done := make(chan *clientsTask, len(m.agents))
	for i, r := range refs {
		if r.Loop < 0 || r.Loop >= len(byLoop) {
			continue
		}
		if byLoop[r.Loop] == nil {
			byLoop[r.Loop] = &clientsTask{a: m.agents[r.Loop], whole: whole, done: done}
		}
		t := byLoop[r.Loop]
		t.refs, t.at = append(t.refs, r.Ref), append(t.at, i)
	}
	all, asked := make([]*Client, len(refs)), 0
	for _, t := range byLoop {
		if t != nil {
			asked++
			t.a.loop.Post(t)
		}
	}
	for range asked {
		select {
		case t := <-done:
			for i, c := range t.found {
				all[t.at[i]] = c
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return all, nil
}

// clientsTask describes streams of one loop. It implements loop.Task.
type clientsTask struct {
	a     *Agent
	whole bool
	refs  []loop.Ref
	at    []int // of each, its place among all
	found []*Client
	done  chan<- *clientsTask
}

// Run implements loop.Task.
func (t *clientsTask) Run(l *loop.Loop) {
	defer func() { t.done <- t }()
	t.found = make([]*Client, len(t.refs))
	for i, ref := range t.refs {
		if s := t.a.table.get(ref); s != nil && s.accepted && l.Live(ref) {
			t.found[i] = t.a.describe(ref.Slot, s, t.whole)
		}
	}
}

// describe says what a stream is. On-loop only.
func (a *Agent) describe(slot uint32, s *session, whole bool) *Client {
	src := a.table.source(slot)
	c := &Client{
		ID: s.client, User: s.user, Address: src.address(), Agent: src.agent,
		Age: time.Duration(a.age(slot)), Subscriptions: len(s.subs), Coding: a.loop.Coding(slot),
	}
	if a.loop.Dictionary(slot) != nil {
		c.Coding = codec.CodingDcz
	}
	c.Queued, c.Lag = a.loop.Unwritten(slot)
	if !whole {
		return c
	}
	c.Info, c.ExpireAt = s.info, s.expireAt
	at := make(map[string]int)
	for i, sub := range a.shard.Subscriptions(slot, channelsMost) {
		at[sub.Channel] = i
		c.Channels = append(c.Channels, ClientChannel{Subscription: sub})
	}
	for i := range s.subs {
		if k, ok := at[s.subs[i].channel]; ok {
			ch, sub := &c.Channels[k], &s.subs[i]
			ch.Presence, ch.JoinLeave, ch.ExpireAt = sub.flags&subPresence != 0, sub.flags&subJoinLeave != 0, sub.expireAt
		}
	}
	return c
}
