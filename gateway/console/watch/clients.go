package watch

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"sluice/gateway/console"
	"sluice/gateway/hub"
	"sluice/gateway/loop"
	"sluice/gateway/session"
)

// ref names a stream of a node: loop, slot and generation.
type ref [3]uint32

func refOf(r session.ClientRef) ref { return ref{uint32(r.Loop), r.Slot, r.Gen} }

func (r ref) session() session.ClientRef {
	return session.ClientRef{Loop: int(r[0]), Ref: loop.Ref{Slot: r[1], Gen: r[2]}}
}

// found is a client of some node, and what it is ordered by.
type found struct {
	Key int64 `json:"k"`
	Ref ref   `json:"r"`
	uid string
}

// finding is what a search for clients found.
type finding struct {
	q      question
	first  []found
	total  int
	silent []string
	at     time.Time // the zero time for none
}

// findAnswer is what one node found.
type findAnswer struct {
	Total int     `json:"total"`
	First []found `json:"first"`
}

var (
	clientsBy = map[string]session.ClientBy{
		console.ByAny: session.ByAny, console.ByUser: session.ByUser, console.ByClient: session.ByClient,
		console.BySession: session.BySession, console.ByAddress: session.ByAddress,
	}
	clientsOrder = map[string]session.ClientOrder{
		console.OrderAge: session.OrderAge, console.OrderQueue: session.OrderQueue,
		console.OrderLag: session.OrderLag, console.OrderSubscriptions: session.OrderSubscriptions,
	}
)

// findHere finds clients of this node for another one.
func (w *Watch) findHere(ctx context.Context, q *question) (*findAnswer, error) {
	if err := w.answersKey.take(ctx); err != nil {
		return nil, err
	}
	defer w.answersKey.back()
	return w.find(ctx, q)
}

// find finds clients of this node.
func (w *Watch) find(ctx context.Context, q *question) (*findAnswer, error) {
	total, first, err := w.opt.Sessions.FindClients(ctx, &session.ClientQuery{
		By: clientsBy[q.By], Text: q.Q, Order: clientsOrder[q.Order], Desc: q.Desc, Most: q.Most,
	})
	var wrong session.QueryError
	if errors.As(err, &wrong) {
		return nil, console.BadQuery("q: " + wrong.Error())
	}
	if err != nil {
		return nil, err
	}
	a := &findAnswer{Total: total, First: make([]found, len(first))}
	for i := range first {
		a.First[i] = found{Key: first[i].Key, Ref: refOf(first[i].Ref)}
	}
	return a, nil
}

// Clients implements console.Watch.
func (w *Watch) Clients(ctx context.Context, q *console.ClientsQuery) (*console.Clients, error) {
	if len(q.Q) > textMost {
		return nil, console.BadQuery("q: a shorter text expected")
	}
	if err := w.clientsKey.take(ctx); err != nil {
		return nil, err
	}
	f, err := w.foundFor(ctx, q)
	if err != nil {
		w.clientsKey.back()
		return nil, err
	}
	from, to := bounds(&q.Page, len(f.first))
	page := &console.Clients{Total: f.total, Truncated: q.Offset+q.Limit > findMost && f.total > findMost}
	wanted, silent := slices.Clone(f.first[from:to]), f.silent
	w.clientsKey.back()
	rows, more, err := w.rows(ctx, wanted)
	if err != nil {
		return nil, err
	}
	page.Rows, page.Silent = rows, nonNil(append(slices.Clone(silent), more...))
	return page, nil
}

// foundFor returns what a query finds, as it was up to two seconds ago. Caller has clientsKey.
func (w *Watch) foundFor(ctx context.Context, q *console.ClientsQuery) (*finding, error) {
	ask1 := question{Op: opFind, Q: q.Q, By: q.By, Order: q.Order, Desc: q.Desc, Most: portion(q.Offset + q.Limit)}
	f := &w.clients
	if !f.at.IsZero() && time.Since(f.at) < fresh && f.q.answers(&ask1) {
		return f, nil
	}
	*f = finding{}
	here, err := w.find(ctx, &ask1)
	if err != nil {
		return nil, err
	}
	made := finding{q: ask1, first: here.First, total: here.Total}
	for i := range made.first {
		made.first[i].uid = w.opt.UID
	}
	made.silent = ask(ctx, w, &ask1, func(uid, _ string, a *findAnswer) {
		made.total += max(a.Total, 0)
		for _, x := range a.First[:min(len(a.First), findMost)] {
			x.uid = uid
			made.first = append(made.first, x)
		}
	})
	slices.SortFunc(made.first, func(a, b found) int {
		by := cmp.Compare(a.Key, b.Key)
		if q.Desc {
			by = -by
		}
		return cmp.Or(by, cmp.Compare(a.uid, b.uid), slices.Compare(a.Ref[:], b.Ref[:]))
	})
	made.first = slices.Clip(slices.Clone(made.first[:min(len(made.first), ask1.Most)]))
	made.at = time.Now()
	*f = made
	return f, nil
}

// answers reports whether what was found by q has what another question asks.
func (q *question) answers(other *question) bool {
	return q.Q == other.Q && q.By == other.By && q.Order == other.Order && q.Desc == other.Desc && q.Most >= other.Most
}

// rowsAnswer has the rows that were asked for, nil for a client that has gone.
type rowsAnswer struct {
	Rows []*console.ClientRow `json:"rows"`
}

func (w *Watch) rowsHere(ctx context.Context, refs []ref) (*rowsAnswer, error) {
	if len(refs) > console.MaxLimit {
		return nil, errors.New("watch: fewer clients expected")
	}
	all := make([]session.ClientRef, len(refs))
	for i, r := range refs {
		all[i] = r.session()
	}
	clients, err := w.opt.Sessions.Clients(ctx, all, false)
	if err != nil {
		return nil, err
	}
	a := &rowsAnswer{Rows: make([]*console.ClientRow, len(clients))}
	for i, c := range clients {
		if c != nil {
			row := w.row(c)
			a.Rows[i] = &row
		}
	}
	return a, nil
}

func (w *Watch) row(c *session.Client) console.ClientRow {
	row := console.ClientRow{
		Client: c.ID.String(), User: c.User, UserAgent: c.Agent.String(), AgeS: int64(c.Age / time.Second),
		Subscriptions: c.Subscriptions, QueueBytes: int64(c.Queued), LagMS: c.Lag.Milliseconds(),
		Coding: c.Coding.String(), Node: w.opt.Name,
	}
	if c.Address.IsValid() {
		row.Address = c.Address.String()
	}
	return row
}

// rows describes clients, of whatever nodes, in their order; those that have gone are left
// out.
func (w *Watch) rows(ctx context.Context, wanted []found) (rows []console.ClientRow, silent []string, err error) {
	of, places := make(map[string][]ref), make(map[string][]int)
	for i, f := range wanted {
		of[f.uid], places[f.uid] = append(of[f.uid], f.Ref), append(places[f.uid], i)
	}
	all := make([]*console.ClientRow, len(wanted))
	take := func(uid string, a *rowsAnswer) {
		if len(a.Rows) != len(places[uid]) {
			return
		}
		for i, row := range a.Rows {
			all[places[uid][i]] = row
		}
	}
	here, err := w.rowsHere(ctx, of[w.opt.UID])
	if err != nil {
		return nil, nil, err
	}
	take(w.opt.UID, here)
	delete(of, w.opt.UID)
	if len(of) > 0 {
		silent = ask(ctx, w, &question{Op: opRows, Of: of}, func(uid, name string, a *rowsAnswer) {
			for _, row := range a.Rows {
				if row != nil {
					row.Node = name
				}
			}
			take(uid, a)
		})
	}
	rows = make([]console.ClientRow, 0, len(all))
	for _, row := range all {
		if row != nil {
			rows = append(rows, *row)
		}
	}
	return rows, silent, nil
}

// clientAnswer has a client, nil where it is not.
type clientAnswer struct {
	Client *console.Client `json:"client"`
}

func (w *Watch) clientHere(ctx context.Context, id string) (*clientAnswer, error) {
	_, first, err := w.opt.Sessions.FindClients(ctx, &session.ClientQuery{By: session.ByClient, Text: id, Most: 1})
	if err != nil || len(first) == 0 {
		return &clientAnswer{}, err
	}
	all, err := w.opt.Sessions.Clients(ctx, []session.ClientRef{first[0].Ref}, true)
	if err != nil || all[0] == nil {
		return &clientAnswer{}, err
	}
	return &clientAnswer{Client: w.whole(all[0])}, nil
}

const (
	// subsSize bounds the subscriptions in an answer, in bytes, so that it fits into a message.
	subsSize = 512 << 10
	// subSize is what one takes beside the name of its channel.
	subSize = 160
)

// whole is all that is told of a client.
func (w *Watch) whole(c *session.Client) *console.Client {
	out := &console.Client{ClientRow: w.row(c), ExpiresAt: c.ExpireAt, Subs: make([]console.ClientSub, 0, len(c.Channels))}
	if !c.Info.IsZero() {
		out.Info = json.RawMessage(c.Info.String())
	}
	out.Truncated = len(c.Channels) < c.Subscriptions
	size := 0
	for i := range c.Channels {
		ch := &c.Channels[i]
		if size += len(ch.Channel)*2 + subSize; size > subsSize {
			out.Truncated = true
			break
		}
		sub := console.ClientSub{
			Channel: ch.Channel, Positioned: ch.Features.Has(hub.Positioned), Recoverable: ch.Features.Has(hub.Recoverable),
			Delta: ch.Features.Has(hub.Delta), Presence: ch.Presence, JoinLeave: ch.JoinLeave, ExpiresAt: ch.ExpireAt,
		}
		if ch.Known {
			offset := ch.Offset
			sub.Offset = &offset
		}
		out.Subs = append(out.Subs, sub)
	}
	slices.SortFunc(out.Subs, func(a, b console.ClientSub) int { return cmp.Compare(a.Channel, b.Channel) })
	return out
}

// Client implements console.Watch.
func (w *Watch) Client(ctx context.Context, id string) (*console.Client, error) {
	if len(id) != len(session.ID{}.String()) {
		return nil, console.ErrNotFound
	}
	here, err := w.clientHere(ctx, id)
	if err != nil {
		return nil, err
	}
	if here.Client != nil {
		return here.Client, nil
	}
	var there *console.Client
	silent, _ := askApart(ctx, w, &question{Op: opClient, Client: id}, func(_, name string, a *clientAnswer) {
		if a.Client != nil {
			there = a.Client
			there.Node = name
		}
	})
	switch {
	case there != nil:
		return there, nil
	case len(silent) > 0:
		return nil, console.NotAnswered(nonNil(silent))
	}
	return nil, console.ErrNotFound
}
