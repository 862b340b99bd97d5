package node

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/valyala/fasthttp"

	"sluice/gateway/admin"
	"sluice/gateway/api"
	"sluice/gateway/broker"
	"sluice/gateway/config"
	"sluice/gateway/console"
	"sluice/gateway/dictionary"
	"sluice/gateway/edge"
	"sluice/gateway/front"
	"sluice/gateway/front/strict"
	"sluice/gateway/sse"
)

// bodyRule says what becomes of the body of a request to a route.
type bodyRule uint8

const (
	bodyUnwanted bodyRule = iota // read only if it is small, so that the connection may go on
	bodyStream                   // read, lest it stands in the way of the stream
	bodyConnect                  // of POST a connect request; of GET nothing, but it is in the way of the stream
	bodyTicket                   // of POST credentials
	bodyCall                     // of POST a call of the API, for whoever has a key
	bodyConsole                  // of POST a login, or more for whoever is logged in
)

// route is what a path is for: whoever reads a body and whoever answers ask the
// same table, so a path cannot mean one thing to one and another to the other.
type route struct {
	owner string // what has it, in words for people: the option that names the path
	body  bodyRule
	serve func(node *Node, ctx *fasthttp.RequestCtx)
}

// routes are the paths of one listener. It is immutable after newRoutes.
type routes struct {
	exact map[string]*route
	// debug is the prefix of the profiles: every path below it that is nobody
	// else's.
	debug    []byte
	profiles *route // nil without them
	// prefix is that of the broadcast route, whose paths end with the name of a channel.
	prefix    string
	broadcast *route // nil without it
	// dictionaries are the routes of paths that end with the name of one.
	dictionaries []dictionaryRoute
}

type dictionaryRoute struct {
	dictionary.Paths
	route
}

// listener says which of the two a table is for.
type listener struct{ public, operations bool }

// newRoutes returns the table of a listener. The error joins a path that two options
// claim, by their names, of each two.
func newRoutes(c *config.Config, dev bool, l listener) (*routes, error) {
	t := &routes{exact: make(map[string]*route)}
	var errs []error
	told := map[[2]string]bool{} // two that have many paths clash in many
	add := func(path string, r route) {
		if other := t.exact[path]; other != nil {
			if pair := [2]string{other.owner, r.owner}; !told[pair] {
				told[pair] = true
				errs = append(errs, fmt.Errorf("gateway: %s and %s both have the path %q: give one of them another", other.owner, r.owner, path))
			}
			return
		}
		t.exact[path] = &r
	}
	if l.public && c.UniSSE.Enabled {
		const owner = "uni_sse.handler_prefix"
		serve := func(path, owner string, body bodyRule, serve func(node *Node, ctx *fasthttp.RequestCtx)) {
			add(path, route{owner, body, withoutLogin(c, path, serve)})
		}
		serve(Root(c.UniSSE.HandlerPrefix), owner, bodyConnect, func(node *Node, ctx *fasthttp.RequestCtx) { node.sse.Handle(ctx) })
		serve(c.UniSSE.HandlerPrefix+sse.TicketPath, owner+" (its tickets)", bodyTicket, func(node *Node, ctx *fasthttp.RequestCtx) { node.sse.HandleTicket(ctx) })
	}
	if l.public {
		t.addDictionaries(c)
	}
	if l.public && c.Broadcast.Enabled {
		t.addBroadcast(c.Broadcast.HandlerPrefix, add)
	}
	if l.public && dev {
		for _, path := range admin.LivePaths() {
			add(path, route{"the live page of --dev", bodyUnwanted, func(node *Node, ctx *fasthttp.RequestCtx) { node.live.Handle(ctx) }})
		}
	}
	if !c.HTTPAPI.Disabled && (l.operations || c.HTTPAPI.External) {
		for _, path := range api.Paths(c.HTTPAPI.HandlerPrefix) {
			add(path, route{"http_api.handler_prefix", bodyCall, serveCall})
		}
	}
	if c.Admin.Enabled && (l.operations || c.Admin.External) {
		for _, path := range console.Paths(c.Admin.HandlerPrefix) {
			add(path, route{"admin.handler_prefix", bodyConsole, serveConsole})
		}
	}
	if l.operations {
		t.addOperations(c, add)
	}
	for path, r := range t.exact {
		if t.ownsRaw([]byte(path)) {
			errs = append(errs, fmt.Errorf("gateway: %s has the path %q, which is a channel of broadcast.handler_prefix: give one of them another", r.owner, path))
		}
	}
	return t, errors.Join(errs...)
}

// addBroadcast adds the broadcast route and its script.
func (t *routes) addBroadcast(prefix string, add func(string, route)) {
	const owner = "broadcast.handler_prefix"
	t.prefix = prefix
	t.broadcast = &route{owner, bodyStream, func(node *Node, ctx *fasthttp.RequestCtx) {
		node.edge.Handle(ctx, fromPath(ctx.Request.Header.RequestURI()))
	}}
	add(prefix+edge.ScriptMark, route{owner + " (its script)", bodyUnwanted, func(node *Node, ctx *fasthttp.RequestCtx) { node.edge.HandleScript(ctx) }})
}

// addDictionaries adds the dictionaries of namespaces beside the streams that may refer to
// them: what a browser has of one host it names to that host alone.
func (t *routes) addDictionaries(c *config.Config) {
	add := func(owner, prefix, match string) {
		p := dictionary.Paths{Prefix: prefix, Match: match}
		t.dictionaries = append(t.dictionaries, dictionaryRoute{p, route{owner + " (its dictionaries)", bodyUnwanted,
			func(node *Node, ctx *fasthttp.RequestCtx) { node.dictionaries.Handle(ctx, &p) }}})
	}
	if c.UniSSE.Enabled {
		add("uni_sse.handler_prefix", c.UniSSE.HandlerPrefix+"/dictionary/", Root(c.UniSSE.HandlerPrefix))
	}
	if c.Broadcast.Enabled {
		add("broadcast.handler_prefix", c.Broadcast.HandlerPrefix+".dictionary/", c.Broadcast.HandlerPrefix)
	}
}

// ownsRaw reports whether a path, as it was sent, is one of the broadcast route.
func (t *routes) ownsRaw(raw []byte) bool { return t.broadcast != nil && edge.Owns(t.prefix, raw) }

// serveCall answers a call of the API. Whoever has shown its key is not taken for a
// stranger when connections have to make room for others.
func serveCall(node *Node, ctx *fasthttp.RequestCtx) {
	if c := ctx.Conn(); !front.Known(c) && node.api.Keyed(&ctx.Request.Header) {
		front.SetKnown(c)
	}
	node.api.Handle(ctx)
}

// addOperations adds what an operator looks at.
func (t *routes) addOperations(c *config.Config, add func(string, route)) {
	answer := func(owner string, serve fasthttp.RequestHandler) route {
		return route{owner, bodyUnwanted, func(_ *Node, ctx *fasthttp.RequestCtx) { serve(ctx) }}
	}
	if c.Health.Enabled {
		const owner = "health.handler_prefix"
		add(Root(c.Health.HandlerPrefix), answer(owner, admin.Health))
		add(ReadyPath(c.Health.HandlerPrefix), route{owner + " (its /ready)", bodyUnwanted,
			func(node *Node, ctx *fasthttp.RequestCtx) { admin.Ready(ctx, node.notReady()) }})
	}
	if c.Prometheus.Enabled {
		add(Root(c.Prometheus.HandlerPrefix), route{"prometheus.handler_prefix", bodyUnwanted,
			func(node *Node, ctx *fasthttp.RequestCtx) { apart(ctx, node.metrics.Handle) }})
	}
	if c.Init.Enabled {
		add(Root(c.Init.HandlerPrefix), answer("init.handler_prefix", admin.Init))
	}
	if c.Debug.Enabled {
		prefix := c.Debug.HandlerPrefix
		t.debug = []byte(prefix + "/")
		profiles := answer("debug.handler_prefix", func(ctx *fasthttp.RequestCtx) {
			apart(ctx, func(ctx *fasthttp.RequestCtx) {
				admin.Profile(ctx, strings.TrimPrefix(string(ctx.Path()), prefix))
			})
		})
		t.profiles = &profiles
	}
}

// apart serves what takes long, or waits: no other request is to wait behind it.
func apart(ctx *fasthttp.RequestCtx, serve fasthttp.RequestHandler) {
	if w, ok := ctx.Conn().(broker.Waiter); ok && w.BeginWait() {
		defer w.EndWait()
	}
	serve(ctx)
}

// checkRoutes reports paths that two options claim on a listener.
func checkRoutes(c *config.Config, dev bool) error {
	var errs []error
	_, separate := c.HTTPServer.Internal()
	for _, l := range listeners(separate) {
		_, err := newRoutes(c, dev, l)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// listeners returns what the listeners serve, the public one first; separate says that the
// internal endpoints have one of their own.
func listeners(separate bool) []listener {
	if separate {
		return []listener{{public: true}, {operations: true}}
	}
	return []listener{{public: true, operations: true}}
}

// nowhere is the route of paths that are nobody's.
var nowhere = &route{serve: func(_ *Node, ctx *fasthttp.RequestCtx) { NotFound(ctx) }}

// find returns what a path is for, as it was sent.
func (t *routes) find(path []byte) *route {
	r := t.exact[string(path)]
	switch {
	case t.ownsRaw(path):
		return t.broadcast
	case r != nil:
		return r
	case t.profiles != nil && bytes.HasPrefix(path, t.debug):
		return t.profiles
	}
	for i := range t.dictionaries {
		if d := &t.dictionaries[i]; bytes.HasPrefix(path, []byte(d.Prefix)) {
			return &d.route
		}
	}
	return nowhere
}

// handler answers the requests to a table.
func (node *Node) handler(t *routes) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) { t.find(targetPath(ctx.Request.Header.RequestURI())).serve(node, ctx) }
}

// Root returns the path that a prefix is: an empty one is "/" (PROTOCOL 1.1).
func Root(prefix string) string {
	if prefix == "" {
		return "/"
	}
	return prefix
}

// ReadyPath is where the ready check is: beside the health check.
func ReadyPath(health string) string {
	health = Root(health)
	return health[:strings.LastIndexByte(health, '/')+1] + "ready"
}

// bodyLimit gives each route the body that it may have, and each body its time.
// One that no route wants is not read, or only if it is small: the answer is the
// route's own.
func (node *Node) bodyLimit(h *fasthttp.RequestHeader, t *routes) fasthttp.RequestConfig {
	strict.Prepare(h)
	limit := fasthttp.RequestConfig{ReadTimeout: node.cfg.HTTPServer.ReadTimeout, MaxRequestBodySize: otherBody}
	rule := t.find(targetPath(h.RequestURI())).body
	wanted := false
	switch {
	case h.IsGet() && (rule == bodyConnect || rule == bodyStream):
		wanted = true // to be read, lest it stands in the way of the stream
	case h.IsGet() || h.IsHead():
		limit.MaxRequestBodySize = 0
	case !h.IsPost():
	case rule == bodyConnect:
		limit.MaxRequestBodySize, wanted = node.cfg.UniSSE.MaxRequestBodySize, true
	case rule == bodyTicket:
		wanted = true
	case rule == bodyConsole:
		limit.MaxRequestBodySize, wanted = node.consoleBody(h)
	case rule == bodyCall && node.api.Allows(h):
		// Only with a key: the HTTP server allocates the whole
		// Content-Length before the first byte of a body.
		limit.MaxRequestBodySize, wanted = node.cfg.HTTPAPI.MaxBodySize, true
		node.bodies.letIn(h, limit.MaxRequestBodySize)
	}
	switch n := h.ContentLength(); {
	case n == 0 || n == noBody:
		limit.ReadTimeout = 0 // there is nothing to wait for
	case !wanted && (n > limit.MaxRequestBodySize || n == chunkedBody):
		strict.SkipBody(h)
	}
	return limit
}

// targetPath returns the path of a request target, which may name a host before
// it (RFC 9112 section 3.2.2).
func targetPath(target []byte) []byte {
	path, _, _ := bytes.Cut(target, []byte("?"))
	return fromPath(path)
}

// fromPath returns a request target from its path on.
func fromPath(target []byte) []byte {
	if bytes.HasPrefix(target, slash) {
		return target
	}
	if _, rest, ok := bytes.Cut(target, []byte("://")); ok {
		if i := bytes.IndexByte(rest, '/'); i >= 0 {
			return rest[i:]
		}
		return slash
	}
	return target
}

var slash = []byte("/")

// chunkedBody is what fasthttp gives as the length of a chunked body, noBody as that of one
// that no header speaks of.
const (
	chunkedBody = -1
	noBody      = -2
)
