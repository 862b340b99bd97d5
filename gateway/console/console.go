package console

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/gateway/origin"
)

// Options of a [Server]. All but Token and Log must be set.
type Options struct {
	// Prefix is the path of the console, without a slash at its end; "" is the root.
	Prefix string
	Live   // what is in force until Server.Set
	// Insecure lets everybody in, as an admin.
	Insecure bool

	Watch    Watch
	Calls    Calls
	Streams  Streams
	Settings Settings
	// About says what GET P/me tells of the node; any goroutine.
	About func() About
	// Token makes a connection token, for development; nil: nobody may have one.
	Token func(user string, claims map[string]any, ttl time.Duration) (string, error)

	// Address says where a request comes from; the zero Addr if nobody knows.
	Address func(ctx *fasthttp.RequestCtx) netip.Addr
	// Front says how a request came here.
	Front func(ctx *fasthttp.RequestCtx) origin.Front
	// Apart runs what takes long, or waits for other nodes, so that no other request waits
	// behind it.
	Apart func(ctx *fasthttp.RequestCtx, serve fasthttp.RequestHandler)
	Log   *slog.Logger // nothing is logged without it
}

// About is what GET P/me tells of the node.
type About struct {
	Version  string    `json:"version"`
	Commit   string    `json:"commit"`
	Node     AboutNode `json:"node"`
	Dev      bool      `json:"dev"`
	Endpoint string    `json:"endpoint"` // path of the subscribe endpoint, "" without one
	Public   Public    `json:"public"`   // where that is
	// Ports are those of all listeners: a page from another one came through a proxy.
	Ports      []int    `json:"ports"`
	API        bool     `json:"api"` // the server API is served over HTTP, too
	Namespaces []string `json:"namespaces"`
	// Boundary ends the namespace in the name of a channel, "": there are none.
	// PrivatePrefix may stand before it.
	Boundary      string `json:"boundary"`
	PrivatePrefix string `json:"private_prefix"`
}

// Public is the public listener: at a port, or at a Unix socket.
type Public struct {
	Scheme string `json:"scheme"` // http or https
	Host   string `json:"host"`   // "": all addresses of the machine
	Port   int    `json:"port"`
	Unix   string `json:"unix"` // a path
}

// AboutNode is the node that answers.
type AboutNode struct {
	UID  string `json:"uid"`
	Name string `json:"name"`
}

// Live is what a reload may change. A changed password or secret ends all sessions.
type Live struct {
	Password         string // of admins; "": nobody can log in with it
	ReadOnlyPassword string // of viewers, the same
	// Secret signs sessions and login tokens. "": a random one, and no login tokens.
	Secret string
	// Lifetime is how long a session lasts without being used.
	Lifetime time.Duration
}

const (
	// SessionMost is how long a session lasts at most, however much it is used.
	SessionMost = 12 * time.Hour
	// watchTime is how long what is looked at may take.
	watchTime = 8 * time.Second
	// watchesAtOnce bounds how many look at once: each may walk all channels.
	watchesAtOnce = 4
)

// Server answers the paths of the console. Make it with [New]; its methods may be called
// from any goroutine.
type Server struct {
	// Immutable after New.
	opt       Options
	files     map[string]file      // by path below the prefix
	endpoints map[string]*endpoint // the same
	process   []byte               // the key of a process without a secret
	watches   chan struct{}        // one for each that looks
	walks     chan struct{}        // one for who walks over all channels

	// Atomic.
	live atomic.Pointer[inForce]

	// With locks of their own.
	throttle               throttle
	revokedAdmins          revoked
	revokedViewers         revoked
	tails                  tails
	tellRefused, tellToken teller
}

// New returns a server over o.
func New(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		opt: o, files: mustFiles(), endpoints: endpoints(), process: randomKey(),
		watches: make(chan struct{}, watchesAtOnce), walks: make(chan struct{}, 1),
	}
	began := time.Now()
	s.throttle.init(func() time.Duration { return time.Since(began) })
	s.live.Store(newInForce(&o.Live, s.process))
	return s
}

// Set takes over what a reload may change. With another password or secret nobody is
// logged in any more.
func (s *Server) Set(l Live) {
	next := newInForce(&l, s.process)
	if was := s.live.Swap(next); !was.sameKeys(next) {
		for _, who := range s.tails.all() {
			s.opt.Streams.Cut(who)
		}
	}
}

// Paths returns every path of a console with a prefix, in order.
func Paths(prefix string) []string {
	var paths []string
	if prefix != "" {
		paths = append(paths, prefix)
	}
	for at := range mustFiles() {
		paths = append(paths, prefix+at)
	}
	for at := range endpoints() {
		paths = append(paths, prefix+at)
	}
	slices.Sort(paths)
	return paths
}

// endpoint is one path that is no file.
type endpoint struct {
	method string // GET or POST
	needs  need
	// script: programs that bring no header of ours may call it, and it takes no JSON.
	script bool
	serve  func(s *Server, r *request)
}

// need says who may have an endpoint.
type need uint8

const (
	needsNothing need = iota
	needsViewer
	needsAdmin
)

// request is a request in hand. It belongs to its handler.
type request struct {
	ctx  *fasthttp.RequestCtx
	from origin.Front
	// session is who is logged in; nil: nobody is.
	session *session
	// by says that the session came in Authorization, which no browser adds on its own.
	byHeader bool
	// method is that of the API, for its endpoints.
	method string
}

// endpoints returns those there are, by path below the prefix.
func endpoints() map[string]*endpoint {
	const get, post = fasthttp.MethodGet, fasthttp.MethodPost
	all := map[string]*endpoint{
		"/login":    {method: post, serve: (*Server).login},
		"/logout":   {method: post, needs: needsViewer, serve: (*Server).logout},
		"/auth":     {method: post, script: true, serve: (*Server).authForm},
		"/init":     {method: get, serve: (*Server).initial},
		"/me":       {method: get, needs: needsViewer, serve: (*Server).me},
		"/now":      {method: get, needs: needsViewer, serve: (*Server).now},
		"/channels": {method: get, needs: needsViewer, serve: (*Server).channels},
		"/channel":  {method: get, needs: needsViewer, serve: (*Server).channel},
		"/clients":  {method: get, needs: needsViewer, serve: (*Server).clients},
		"/client":   {method: get, needs: needsViewer, serve: (*Server).client},
		"/config":   {method: get, needs: needsViewer, serve: (*Server).config},
		"/stream":   {method: post, needs: needsViewer, serve: (*Server).stream},
		"/connect":  {method: post, needs: needsAdmin, serve: (*Server).connect},
		"/token":    {method: post, needs: needsAdmin, serve: (*Server).token},
		"/api":      {method: post, needs: needsAdmin, serve: (*Server).commands},
	}
	for method, needs := range methodNeeds {
		all["/api/"+method] = &endpoint{method: post, needs: needs, serve: func(s *Server, r *request) { r.method = method; s.call(r) }}
	}
	return all
}

// Handle answers a request to one of [Paths].
func (s *Server) Handle(ctx *fasthttp.RequestCtx) {
	setSecurityHeaders(&ctx.Response.Header)
	at := string(ctx.Path())[len(s.opt.Prefix):]
	if f, ok := s.files[at]; ok || at == "" {
		s.sendFile(ctx, f, at)
		return
	}
	ctx.Response.Header.Set(fasthttp.HeaderCacheControl, "no-store")
	e := s.endpoints[at]
	if e == nil {
		sendError(ctx, fasthttp.StatusNotFound, "there is no such path of the console")
		return
	}
	if method := string(ctx.Method()); method != e.method {
		ctx.Response.Header.Set(fasthttp.HeaderAllow, e.method)
		sendError(ctx, fasthttp.StatusMethodNotAllowed, "method not allowed: use "+e.method)
		return
	}
	r := &request{ctx: ctx, from: s.opt.Front(ctx)}
	s.identify(r)
	if why := s.foreign(r, e); why != "" {
		sendError(ctx, fasthttp.StatusForbidden, why)
		return
	}
	switch {
	case e.needs == needsNothing:
	case r.session == nil:
		ctx.Response.Header.Set(fasthttp.HeaderWWWAuthenticate, "Bearer")
		sendError(ctx, fasthttp.StatusUnauthorized, "log in")
		return
	case e.needs == needsAdmin && r.session.Role != RoleAdmin:
		sendError(ctx, fasthttp.StatusForbidden, "your role may look, but not act: log in as an admin")
		return
	}
	if why := s.unmarked(r, e); why != "" {
		sendError(ctx, fasthttp.StatusForbidden, why)
		return
	}
	s.renew(r)
	e.serve(s, r)
}

// address returns where a request comes from.
func (s *Server) address(r *request) netip.Addr { return s.opt.Address(r.ctx).Unmap() }

// LoggedIn reports whether a request is of somebody who is logged in, as its head says: so
// whether it may have a body of more than a login. For the goroutine that owns the head.
func (s *Server) LoggedIn(h *fasthttp.RequestHeader) bool {
	if s.opt.Insecure {
		return true
	}
	session, _ := s.sessionOf(h, anyCookie)
	return session != nil
}

// look runs what may take long, and bounds how many do.
func (s *Server) look(r *request, serve func(ctx context.Context) (any, error)) {
	s.opt.Apart(r.ctx, func(ctx *fasthttp.RequestCtx) {
		within, cancel := context.WithTimeout(context.Background(), watchTime)
		defer cancel()
		select {
		case s.watches <- struct{}{}:
			defer func() { <-s.watches }()
		case <-within.Done():
			sendError(ctx, fasthttp.StatusServiceUnavailable, "too many look at once: try again")
			return
		}
		answer, err := serve(within)
		if err != nil {
			s.failed(ctx, err)
			return
		}
		sendJSON(ctx, fasthttp.StatusOK, answer)
	})
}

// tails are who has, or had, streams of the console: few people, so nobody is forgotten
// before there are very many.
type tails struct {
	// Guarded by mu.
	mu  sync.Mutex
	who map[string]struct{}
}

// tailsMost bounds them: with login tokens there may be many names.
const tailsMost = 4096

// add notes who opens a stream, and reports whether that could be noted.
func (t *tails) add(who string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.who[who]; !known && len(t.who) >= tailsMost {
		return false
	}
	if t.who == nil {
		t.who = make(map[string]struct{})
	}
	t.who[who] = struct{}{}
	return true
}

// all returns everybody, and forgets them.
func (t *tails) all() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	names := make([]string, 0, len(t.who))
	for who := range t.who {
		names = append(names, who)
	}
	t.who = nil
	return names
}

// String keeps a password out of logs that print the options.
func (l Live) String() string { return fmt.Sprintf("lifetime %s, the rest is hidden", l.Lifetime) }
