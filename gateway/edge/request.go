package edge

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/codec"
	"sluice/gateway/broker"
	"sluice/gateway/channel"
	"sluice/gateway/hijack"
	"sluice/gateway/hub"
	"sluice/gateway/reqid"
	"sluice/gateway/session"
)

// request is what the route keeps of a request: copies only. It implements
// session.Request.
type request struct {
	server  *Server
	id      reqid.ID
	peer    netip.Addr // for logs and sessions; the zero Addr if they do not want it
	http10  bool
	bare    bool   // by the path of those whose Last-Event-ID means nothing
	raw     string // the channel as it stands in the path
	channel string
	options *channel.Options
	relay   bool
	way     []byte // by which it came, see via; until the plan is made
	private bool
	backlog session.Backlog
}

// bareMark is what the path of those has behind the prefix.
const bareMark = ".bare"

// Owns reports whether a path, as it stands in the target of a request, is one of streams
// of the route with that prefix.
func Owns(prefix string, path []byte) bool {
	rest, ok := bytes.CutPrefix(path, []byte(prefix))
	return ok && (bytes.HasPrefix(rest, []byte("/")) || bytes.HasPrefix(rest, []byte(bareMark+"/")))
}

var (
	errQuery  = errors.New("no query expected: the channel is the path, and each other query would be another object to a cache")
	errEscape = errors.New("a correctly percent-encoded path expected")
)

// read reads the target of a request that the route owns: the channel is the rest of the
// path, decoded once.
func (r *request) read(target []byte) error {
	path, query := string(target), false
	if path, _, query = strings.Cut(path, "?"); query {
		return errQuery
	}
	rest := strings.TrimPrefix(path, r.server.opt.Prefix)
	rest, r.bare = strings.CutPrefix(rest, bareMark)
	r.raw = rest[len("/"):]
	var err error
	if r.channel, err = url.PathUnescape(r.raw); err != nil {
		return errEscape
	}
	return nil
}

// position reads a Last-Event-ID as a position in the channel. brought says that there is
// one, ok that it can be read.
func (r *request) position(ctx *fasthttp.RequestCtx) (at hub.Mark, brought, ok bool) {
	var ids [1]codec.CursorEntry
	lines := ctx.Request.Header.PeekAll("Last-Event-ID")
	for _, line := range lines {
		brought = brought || len(bytes.TrimSpace(line)) > 0
	}
	if len(lines) != 1 {
		return at, brought, false
	}
	list, ok := codec.ParseCursor(ids[:0], string(bytes.TrimSpace(lines[0])), 1)
	if !ok || list[0].Channel != codec.Tag32(r.channel) {
		return at, brought, false
	}
	return hub.Mark{Offset: list[0].Offset, Epoch: list[0].Epoch}, true, true
}

// framing is by chunks whatever the subscribe endpoint has: where the end of a body is that
// of its connection, a front cannot tell a stream that was cut from one that is over.
func (r *request) framing() codec.Framing {
	if r.http10 {
		return codec.FramingClose
	}
	return codec.FramingChunked
}

// head returns the head of the stream, without its coding.
func (r *request) head() *codec.StreamHead {
	return &codec.StreamHead{
		Framing: r.framing(), HTTP10: r.http10, Close: true, Date: time.Now(),
		Broadcast: &codec.BroadcastHead{Private: r.private, MaxAge: r.options.BroadcastFreshness, VaryID: r.varies()},
	}
}

// varies reports whether the answer depends on Last-Event-ID.
func (r *request) varies() bool { return r.server.opt.VaryLastEventID && !r.bare && !r.private }

// Refusal implements session.Request: the whole answer to a stream that could not be
// opened. The failure will pass, unless there is no such channel, so its reader is to come
// back.
func (r *request) Refusal(err error) []byte {
	var resp fasthttp.Response
	switch {
	case errors.Is(err, broker.ErrNoChannel):
		r.server.notFound(&resp, r.options)
	case errors.Is(err, broker.ErrLoop):
		r.server.inLoop(&resp)
	case errors.Is(err, hijack.ErrSentMore):
		fail(&resp, fasthttp.StatusBadRequest, hijack.ErrSentMore.Error())
	default:
		r.server.refused[refusedEngine].Add(1)
		r.comeBack(&resp)
	}
	resp.SetConnectionClose()
	var b bytes.Buffer
	_, _ = resp.WriteTo(&b) // a buffer takes all
	return b.Bytes()
}

// RefusalAttrs implements session.Request.
func (r *request) RefusalAttrs(err error) []slog.Attr {
	status := fasthttp.StatusOK
	switch {
	case errors.Is(err, broker.ErrNoChannel):
		status = fasthttp.StatusNotFound
	case errors.Is(err, broker.ErrLoop):
		status = fasthttp.StatusLoopDetected
	case errors.Is(err, hijack.ErrSentMore):
		status = fasthttp.StatusBadRequest
	}
	return []slog.Attr{slog.Int("status", status), slog.String("channel", fmt.Sprintf("%.100s", r.channel))}
}

// ID implements session.Request.
func (r *request) ID() string { return r.id.String() }

// Free implements session.Request.
func (r *request) Free() {}

// Peer implements session.Request.
func (r *request) Peer() netip.Addr { return r.peer }
