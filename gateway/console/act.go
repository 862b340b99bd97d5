package console

import (
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
)

// methodNeeds says who may call each method of the API: viewers those that change nothing
// and tell nothing to anybody. What is not here nobody may.
var methodNeeds = map[string]need{
	"history": needsViewer, "presence": needsViewer, "presence_stats": needsViewer, "channels": needsViewer, "info": needsViewer,
	"publish": needsAdmin, "broadcast": needsAdmin, "subscribe": needsAdmin, "unsubscribe": needsAdmin, "disconnect": needsAdmin,
	"refresh": needsAdmin, "history_remove": needsAdmin, "rpc": needsAdmin, "batch": needsAdmin,
}

// call answers POST P/api/METHOD.
func (s *Server) call(r *request) {
	if methodNeeds[r.method] == needsAdmin {
		s.audit(r, r.method, targetsOf(r.method, r.ctx.Request.Body())...)
	}
	if r.method == "channels" {
		s.walk(r)
		return
	}
	s.serveCall(r, r.method)
}

// walk answers a call that walks over all channels of all nodes: one at a time, whoever asks,
// and with a glob that costs little for each.
func (s *Server) walk(r *request) {
	if t := targetsIn(r.ctx.Request.Body()); strings.Count(t.Pattern, "*") > StarsMost {
		sendError(r.ctx, fasthttp.StatusBadRequest, fmt.Sprintf("pattern: at most %d * expected", StarsMost))
		return
	}
	s.opt.Apart(r.ctx, func(ctx *fasthttp.RequestCtx) {
		select {
		case s.walks <- struct{}{}:
			defer func() { <-s.walks }()
			s.serveCall(r, r.method)
		case <-time.After(watchTime):
			sendError(ctx, fasthttp.StatusServiceUnavailable, "others look at all channels: try again")
		}
	})
}

// commands answers POST P/api, as the reference does: a sequence of commands.
func (s *Server) commands(r *request) {
	s.audit(r, "commands", targetsOf("", r.ctx.Request.Body())...)
	s.serveCall(r, "")
}

// serveCall has the API answer. Where it answers with a text, as the reference does what is
// no call, the pages get it as they get all errors.
func (s *Server) serveCall(r *request, method string) {
	if !s.opt.Calls.Call(r.ctx, method) {
		sendError(r.ctx, fasthttp.StatusNotFound, "there is no such method")
		return
	}
	resp := &r.ctx.Response
	if resp.StatusCode() == fasthttp.StatusBadRequest && !isJSON(resp.Header.ContentType()) {
		why := "a request of this method expected"
		if detail := resp.Header.Peek("X-Sluice-Detail"); len(detail) > 0 {
			why = string(detail)
		}
		sendError(r.ctx, fasthttp.StatusBadRequest, "bad request: "+why)
	}
}

// Bounds of P/stream.
const (
	tailMost = 32
	nameMost = 1024
)

// stream answers POST P/stream.
func (s *Server) stream(r *request) {
	var body struct {
		Channels []string `json:"channels"`
	}
	if !r.readBody(&body) {
		return
	}
	slices.Sort(body.Channels)
	names := slices.Compact(body.Channels)
	if len(names) == 0 || len(names) > tailMost || slices.ContainsFunc(names, func(n string) bool { return n == "" || len(n) > nameMost }) {
		sendError(r.ctx, fasthttp.StatusBadRequest, "channels: 1 to "+strconv.Itoa(tailMost)+" names expected")
		return
	}
	t := &Tail{Who: r.session.Who, Channels: names}
	if !s.opt.Insecure {
		t.ExpireAt = r.session.Expires.Unix()
		if !s.tails.add(t.Who) {
			sendError(r.ctx, fasthttp.StatusServiceUnavailable, "too many people have had streams of the console: log in with a name that has had one")
			return
		}
	}
	s.audit(r, actionStream, slog.Any("channels", shortened(names)))
	s.opt.Streams.Tail(r.ctx, t)
}

// connect answers POST P/connect.
func (s *Server) connect(r *request) {
	if s.opt.About().Endpoint == "" {
		sendError(r.ctx, fasthttp.StatusNotFound, "there is no subscribe endpoint: switch uni_sse.enabled on")
		return
	}
	s.audit(r, actionConnect)
	h := &r.ctx.Request.Header
	Strip(h)
	h.Del(fasthttp.HeaderAuthorization)
	h.Del(ownHeader)
	s.opt.Streams.Connect(r.ctx)
}

// tokenMostLife bounds how long a token of P/token is valid.
const tokenMostLife = 7 * 24 * time.Hour

// token answers POST P/token, in development.
func (s *Server) token(r *request) {
	if s.opt.Token == nil {
		sendError(r.ctx, fasthttp.StatusNotFound, "tokens are made in development only: start with --dev and an HMAC key")
		return
	}
	var body struct {
		User   string         `json:"user"`
		Claims map[string]any `json:"claims"`
		TTL    int64          `json:"ttl_s"`
	}
	if !r.readBody(&body) {
		return
	}
	ttl := time.Duration(body.TTL) * time.Second
	if body.TTL < 1 || body.TTL > int64(tokenMostLife/time.Second) {
		sendError(r.ctx, fasthttp.StatusBadRequest, fmt.Sprintf("ttl_s: 1 to %d seconds expected", int64(tokenMostLife/time.Second)))
		return
	}
	s.audit(r, actionToken, slog.String("user", short(body.User)))
	token, err := s.opt.Token(body.User, body.Claims, ttl)
	if err != nil {
		sendError(r.ctx, fasthttp.StatusBadRequest, err.Error())
		return
	}
	sendJSON(r.ctx, fasthttp.StatusOK, struct {
		Token string `json:"token"`
	}{token})
}
