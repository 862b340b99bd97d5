package console

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
)

// This file reads the queries of what can be looked at.

// textMost bounds a parameter, in bytes.
const textMost = 1024

// query are the parameters of a request; the first that is wrong is kept.
type query struct {
	args *fasthttp.Args
	err  error
}

func (r *request) query() *query { return &query{args: r.ctx.QueryArgs()} }

func (q *query) fail(name, want string) {
	if q.err == nil {
		q.err = BadQuery(name + ": " + want + " expected")
	}
}

// text returns a parameter, "" if it is not there.
func (q *query) text(name string) string {
	v := q.args.Peek(name)
	if len(v) > textMost {
		q.fail(name, fmt.Sprintf("at most %d bytes", textMost))
		return ""
	}
	return string(v)
}

// one returns a parameter that is one of some, the first if it is not there.
func (q *query) one(name string, of ...string) string {
	v := q.text(name)
	if v == "" {
		return of[0]
	}
	if !slices.Contains(of, v) {
		q.fail(name, strings.Join(of, ", "))
	}
	return v
}

func (q *query) number(name string, otherwise, least, most int) int {
	v := q.text(name)
	if v == "" {
		return otherwise
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < least || n > most {
		q.fail(name, fmt.Sprintf("a number from %d to %d", least, most))
	}
	return n
}

func (q *query) page() Page {
	return Page{
		Desc: q.one("desc", "0", "1") == "1", Offset: q.number("offset", 0, 0, MaxOffset), Limit: q.number("limit", DefaultLimit, 1, MaxLimit),
	}
}

// ranges are what figures there are of.
var ranges = map[string]time.Duration{"30m": 30 * time.Minute, "6h": 6 * time.Hour, "24h": 24 * time.Hour}

func (s *Server) now(r *request) {
	q := r.query()
	ask := NowQuery{Range: ranges[q.one("range", "30m", "6h", "24h")], Node: q.text("node")}
	s.watch(r, q, func(ctx context.Context) (any, error) { return s.opt.Watch.Now(ctx, &ask) })
}

func (s *Server) channels(r *request) {
	q := r.query()
	ask := ChannelsQuery{Q: q.text("q"), Order: q.one("order", OrderName, OrderSubscribers, OrderRate), Page: q.page()}
	s.watch(r, q, func(ctx context.Context) (any, error) { return s.opt.Watch.Channels(ctx, &ask) })
}

func (s *Server) channel(r *request) {
	q := r.query()
	name := q.text("name")
	if name == "" {
		q.fail("name", "the name of a channel")
	}
	s.watch(r, q, func(ctx context.Context) (any, error) { return s.opt.Watch.Channel(ctx, name) })
}

func (s *Server) clients(r *request) {
	q := r.query()
	ask := ClientsQuery{
		Q: q.text("q"), By: q.one("by", ByAny, ByUser, ByClient, BySession, ByAddress),
		Order: q.one("order", OrderAge, OrderQueue, OrderLag, OrderSubscriptions), Page: q.page(),
	}
	s.watch(r, q, func(ctx context.Context) (any, error) { return s.opt.Watch.Clients(ctx, &ask) })
}

func (s *Server) client(r *request) {
	q := r.query()
	id := q.text("client")
	if id == "" {
		q.fail("client", "the id of a client")
	}
	s.watch(r, q, func(ctx context.Context) (any, error) { return s.opt.Watch.Client(ctx, id) })
}

func (s *Server) config(r *request) {
	s.watch(r, r.query(), func(context.Context) (any, error) { return s.opt.Settings.Config(), nil })
}

// watch answers what was asked, or what is wrong with the question.
func (s *Server) watch(r *request, q *query, serve func(ctx context.Context) (any, error)) {
	if q.err != nil {
		s.failed(r.ctx, q.err)
		return
	}
	s.look(r, serve)
}
