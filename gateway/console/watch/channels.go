package watch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"sluice/gateway/cluster"
	"sluice/gateway/console"
)

// looksBetween is how many names are matched before it is looked whether anybody still waits:
// a glob may take a millisecond for each.
const looksBetween = 64

// listMost is how many channels one search looks at: above, a list is truncated.
const listMost = 1_000_000

// channelRow is a channel that was found: 24 bytes, for the text is the hub's.
type channelRow struct {
	name    string
	clients uint32
	rate    float32 // where the list is in that order
}

// listing is what a search for channels found.
type listing struct {
	q, order  string
	desc      bool
	rows      []channelRow // in order
	silent    []string
	truncated bool
	at        time.Time // the zero time for none
}

// Channels implements console.Watch.
func (w *Watch) Channels(ctx context.Context, q *console.ChannelsQuery) (*console.Channels, error) {
	if err := w.channelsKey.take(ctx); err != nil {
		return nil, err
	}
	l, err := w.listed(ctx, q)
	if err != nil {
		w.channelsKey.back()
		return nil, err
	}
	from, to := bounds(&q.Page, len(l.rows))
	rows := slices.Clone(l.rows[from:to])
	page := &console.Channels{
		Total: len(l.rows), Rows: make([]console.ChannelRow, len(rows)), Silent: nonNil(l.silent), Truncated: l.truncated,
	}
	w.channelsKey.back()
	for i, r := range rows {
		page.Rows[i] = console.ChannelRow{Channel: r.name, Subscribers: int(r.clients), Rate: short(r.rate)}
	}
	if q.Order == console.OrderRate {
		return page, nil
	}
	return page, w.addRates(ctx, page)
}

func bounds(p *console.Page, n int) (from, to int) {
	from = min(max(p.Offset, 0), n)
	return from, min(from+max(p.Limit, 0), n)
}

// nonNil returns the names, an empty list for none: it is to be one in JSON, too.
func nonNil(names []string) []string {
	slices.Sort(names)
	return append([]string{}, slices.Compact(names)...)
}

// addRates adds the rates of the rows.
func (w *Watch) addRates(ctx context.Context, page *console.Channels) error {
	names := make([]string, len(page.Rows))
	for i := range page.Rows {
		names[i] = page.Rows[i].Channel
	}
	rates, silent, err := w.rates(ctx, names)
	if err != nil {
		return err
	}
	for i := range page.Rows {
		page.Rows[i].Rate = rates.Rates[i]
	}
	page.Silent = nonNil(append(page.Silent, silent...))
	return nil
}

// ratesAnswer has the rates of channels, in the order in which they were asked for, and how
// many subscribers they have on the node.
type ratesAnswer struct {
	Rates   []float64 `json:"rates"`
	Clients []int     `json:"clients"`
}

func (w *Watch) ratesHere(ctx context.Context, names []string) (*ratesAnswer, error) {
	rates, err := w.opt.Hub.Rates(ctx, names)
	if err != nil {
		return nil, err
	}
	a := &ratesAnswer{Rates: make([]float64, len(rates)), Clients: make([]int, len(rates))}
	for i, r := range rates {
		a.Rates[i], a.Clients[i] = short(r), w.opt.Hub.Count(names[i])
	}
	return a, nil
}

// rates returns those of some channels, as the node counts them that saw most, and their
// subscribers on all nodes together.
func (w *Watch) rates(ctx context.Context, names []string) (all *ratesAnswer, silent []string, err error) {
	all, err = w.ratesHere(ctx, names)
	if err != nil || len(names) == 0 {
		return all, nil, err
	}
	silent = ask(ctx, w, &question{Op: opRates, Names: names}, func(_, _ string, a *ratesAnswer) {
		if len(a.Rates) != len(names) || len(a.Clients) != len(names) {
			return
		}
		for i := range names {
			all.Rates[i] = max(all.Rates[i], a.Rates[i])
			all.Clients[i] += max(a.Clients[i], 0)
		}
	})
	return all, silent, nil
}

// listed returns the list that a query is a page of. Caller has channelsKey.
func (w *Watch) listed(ctx context.Context, q *console.ChannelsQuery) (*listing, error) {
	l := &w.channels
	same := l.q == q.Q && !l.at.IsZero() && time.Since(l.at) < fresh
	if !same || q.Order == console.OrderRate && l.order != q.Order {
		*l = listing{}
		made, err := w.list(ctx, q)
		if err != nil {
			return nil, err
		}
		*l = *made
	} else if l.order != q.Order || l.desc != q.Desc {
		l.order, l.desc = q.Order, q.Desc
		l.sort()
	}
	return l, nil
}

// sort puts the rows in order.
func (l *listing) sort() {
	slices.SortFunc(l.rows, func(a, b channelRow) int {
		by := 0
		switch l.order {
		case console.OrderSubscribers:
			by = cmp.Compare(a.clients, b.clients)
		case console.OrderRate:
			by = cmp.Compare(a.rate, b.rate)
		default:
			by = cmp.Compare(a.name, b.name)
		}
		if l.desc {
			by = -by
		}
		return cmp.Or(by, cmp.Compare(a.name, b.name))
	})
}

// list searches for channels on all nodes.
func (w *Watch) list(ctx context.Context, q *console.ChannelsQuery) (*listing, error) {
	pattern, err := w.pattern(q.Q)
	if err != nil {
		return nil, err
	}
	l := &listing{q: q.Q, order: q.Order, desc: q.Desc}
	found, silent, err := w.opt.Cluster.Channels(ctx, pattern)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		w.opt.Log.Debug("the channels of other nodes could not be listed", "error", err)
		l.truncated = true
		if found, err = w.listHere(ctx, pattern); err != nil {
			return nil, err
		}
	}
	if len(found) > listMost {
		found, l.truncated = found[:listMost], true
	}
	l.silent = silent
	l.rows = make([]channelRow, len(found))
	for i, ch := range found {
		l.rows[i] = channelRow{name: ch.Name, clients: uint32(max(ch.Clients, 0))}
	}
	if l.order == console.OrderRate {
		if err := w.rateAll(ctx, l, q); err != nil {
			return nil, err
		}
	}
	l.sort()
	l.at = time.Now()
	return l, nil
}

// listHere lists the channels of this node alone.
func (w *Watch) listHere(ctx context.Context, pattern string) (found []cluster.Channel, err error) {
	match := func(string) bool { return true }
	if pattern != "" {
		if match, err = w.opt.Match(pattern); err != nil {
			return nil, err
		}
	}
	looked := 0
	w.opt.Hub.Channels(func(ch string, n int) bool {
		if match(ch) {
			found = append(found, cluster.Channel{Name: ch, Clients: n})
		}
		looked++
		return len(found) < listMost && (looked%looksBetween != 0 || ctx.Err() == nil)
	})
	return found, context.Cause(ctx)
}

// rateAll gives the rows their rates: of this node all, of others the highest ones.
func (w *Watch) rateAll(ctx context.Context, l *listing, q *console.ChannelsQuery) error {
	names, at := make([]string, len(l.rows)), make(map[string]int)
	for i := range l.rows {
		names[i] = l.rows[i].name
	}
	rates, err := w.opt.Hub.Rates(ctx, names)
	if err != nil {
		return err
	}
	for i, r := range rates {
		l.rows[i].rate = r
	}
	var tops []topAnswer
	l.silent = append(l.silent, ask(ctx, w, &question{Op: opTop, Q: q.Q, Most: portion(q.Offset + q.Limit)}, func(_, _ string, a *topAnswer) {
		tops = append(tops, *a)
	})...)
	if len(tops) == 0 {
		return nil
	}
	for i, name := range names {
		at[name] = i
	}
	for _, top := range tops {
		for _, t := range top.Top {
			if i, ok := at[t.Channel]; ok {
				l.rows[i].rate = max(l.rows[i].rate, float32(t.Rate))
			}
		}
	}
	return nil
}

// topAnswer has the channels of a node with the highest rates.
type topAnswer struct {
	Top []topChannel `json:"top"`
}

type topChannel struct {
	Channel string  `json:"c"`
	Rate    float64 `json:"r"`
}

// topSize bounds an answer with names, in bytes, so that it fits into a message.
const topSize = 512 << 10

func (w *Watch) topHere(ctx context.Context, q string, most int) (*topAnswer, error) {
	if err := w.answersKey.take(ctx); err != nil {
		return nil, err
	}
	defer w.answersKey.back()
	pattern, err := w.pattern(q)
	if err != nil {
		return nil, err
	}
	found, err := w.listHere(ctx, pattern)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(found))
	for i := range found {
		names[i] = found[i].Name
	}
	rates, err := w.opt.Hub.Rates(ctx, names)
	if err != nil {
		return nil, err
	}
	l := listing{order: console.OrderRate, desc: true}
	for i, r := range rates {
		if r > 0 {
			l.rows = append(l.rows, channelRow{name: names[i], rate: r})
		}
	}
	l.sort()
	a, size := &topAnswer{}, 0
	for _, r := range l.rows[:min(most, len(l.rows))] {
		if size += len(r.name)*2 + 32; size > topSize {
			break
		}
		a.Top = append(a.Top, topChannel{r.name, short(r.rate)})
	}
	return a, nil
}

// globSigns make a text a glob, as in the server API.
const globSigns = "*?[]{}"

// pattern returns the glob of what was searched for: a text without signs is a part of a
// name; "" for all. The error is a console.BadQuery.
func (w *Watch) pattern(q string) (string, error) {
	switch {
	case q == "":
		return "", nil
	case len(q) > textMost:
		return "", console.BadQuery(fmt.Sprintf("q: at most %d bytes expected", textMost))
	case !utf8.ValidString(q):
		return "", console.BadQuery("q: UTF-8 expected")
	case strings.Count(q, "*") > console.StarsMost:
		return "", console.BadQuery(fmt.Sprintf("q: at most %d * expected", console.StarsMost))
	case !strings.ContainsAny(q, globSigns):
		return "*" + escape(q) + "*", nil
	}
	if _, err := w.opt.Match(q); err != nil {
		return "", console.BadQuery("q: " + err.Error())
	}
	return q, nil
}

// escape returns the glob that matches a text and nothing else.
func escape(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		if strings.IndexByte(globSigns+`\`, c) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
	return b.String()
}

// Channel implements console.Watch.
func (w *Watch) Channel(ctx context.Context, name string) (*console.Channel, error) {
	if name == "" || len(name) > 2*textMost || !utf8.ValidString(name) {
		return nil, console.BadQuery("name: the name of a channel expected")
	}
	namespace, rules, history, err := w.opt.Rules(name)
	if err != nil {
		return nil, console.BadQuery("name: " + err.Error())
	}
	c := &console.Channel{Channel: name, Namespace: namespace, Rules: rules}
	seen, silent, err := w.rates(ctx, []string{name})
	if err != nil {
		return nil, err
	}
	c.Rate, c.Subscribers, c.Silent = seen.Rates[0], seen.Clients[0], nonNil(silent)
	if len(silent) > 0 || len(w.opt.Cluster.References()) > 0 {
		// Nodes without a console are asked as the API asks: they walk over all channels.
		if found, _, err := w.opt.Cluster.Channels(ctx, escape(name)); err == nil && len(found) == 1 {
			c.Subscribers = max(c.Subscribers, found[0].Clients)
		}
	}
	if !history {
		return c, nil
	}
	if c.Position, err = w.opt.Position(ctx, name); err != nil {
		if errors.Is(err, context.Canceled) {
			return nil, err
		}
		w.opt.Log.Debug("the position of a channel could not be read", "error", err)
		c.Position = nil
	}
	return c, nil
}
