package node

import (
	"bytes"
	"context"
	"errors"
	"net"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/valyala/fasthttp"

	"sluice/codec"
	"sluice/gateway/config"
	"sluice/gateway/console"
	"sluice/gateway/front"
	"sluice/gateway/session"
	"sluice/gateway/sse"
)

// newConsole makes the web console. Its streams are opened by the subscribe endpoint, or by
// one that nobody else reaches where that is off.
func (node *Node) newConsole(endpoint sse.Options, dev bool) *console.Server {
	c := &node.cfg.Admin
	if node.tails = node.sse; node.tails == nil {
		node.tails = sse.New(node.sessions, endpoint)
	}
	node.watch = node.newWatch()
	opt := console.Options{
		Prefix: c.HandlerPrefix, Live: consoleLive(c), Insecure: c.Insecure,
		Watch: node.watch, Calls: node.api, Streams: consoleStreams{node}, Settings: consoleSettings{node},
		About:   func() console.About { return node.about(dev) },
		Address: node.clientAddress, Front: node.cameBy, Apart: apart, Log: node.log,
	}
	if dev && node.cfg.Client.Token.HMACSecretKey != "" {
		opt.Token = node.consoleToken
	}
	return console.New(opt)
}

// consoleLive is what the console takes over from a reload.
func consoleLive(c *config.Admin) console.Live {
	return console.Live{Password: c.Password, ReadOnlyPassword: c.ReadOnlyPassword, Secret: c.Secret, Lifetime: c.SessionLifetime}
}

// about says what the console tells of the node.
func (node *Node) about(dev bool) console.About {
	a := console.About{
		Version: Version, Commit: Commit(), Node: console.AboutNode{UID: node.id.String(), Name: node.nodeName()},
		Dev: dev, API: !node.cfg.HTTPAPI.Disabled, Namespaces: []string{}, Ports: []int{},
	}
	if node.cfg.UniSSE.Enabled {
		a.Endpoint = Root(node.cfg.UniSSE.HandlerPrefix)
	}
	listening := node.Listening()
	a.Public = publicOf(listening[0])
	for _, at := range listening {
		if tcp, ok := at.Addr.(*net.TCPAddr); ok {
			a.Ports = append(a.Ports, tcp.Port)
		}
	}
	channel := &node.applied.Load().Channel
	a.Boundary, a.PrivatePrefix = channel.NamespaceBoundary, channel.PrivatePrefix
	for _, ns := range channel.Namespaces {
		a.Namespaces = append(a.Namespaces, ns.Name)
	}
	return a
}

// publicOf says where a listener is.
func publicOf(at Listening) console.Public {
	p := console.Public{Scheme: "http"}
	if at.TLS {
		p.Scheme = "https"
	}
	switch a := at.Addr.(type) {
	case *net.TCPAddr:
		if p.Port = a.Port; !a.IP.IsUnspecified() {
			p.Host = a.IP.String()
		}
	case *net.UnixAddr:
		p.Unix = a.Name
	}
	return p
}

// consoleToken makes a connection token, in development. What the claims say of who and
// until when does not count.
func (node *Node) consoleToken(user string, claims map[string]any, ttl time.Duration) (string, error) {
	all := jwt.MapClaims{}
	for name, value := range claims {
		all[name] = value
	}
	now := time.Now()
	all["iat"], all["exp"] = now.Unix(), now.Add(ttl).Unix()
	delete(all, "sub")
	if user != "" {
		all["sub"] = user
	}
	if name := node.cfg.Client.Token.UserIDClaim; name != "" {
		all[name] = user
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, all).SignedString([]byte(node.applied.Load().Client.Token.HMACSecretKey))
	if err != nil {
		return "", errors.New("claims: JSON expected that a token can hold")
	}
	return token, nil
}

// consoleStreams opens the streams of the console.
type consoleStreams struct{ node *Node }

var _ console.Streams = consoleStreams{}

// tailUser is who the streams of somebody at the console are of.
func tailUser(who string) string { return "console:" + who }

// Tail implements console.Streams. Why a span and no expiry: that could be put off by the
// API or by a refresh hook.
func (s consoleStreams) Tail(ctx *fasthttp.RequestCtx, t *console.Tail) {
	tail := sse.Tail{User: tailUser(t.Who), Channels: t.Channels}
	if t.ExpireAt != 0 {
		tail.For = max(time.Until(time.Unix(t.ExpireAt, 0)), time.Millisecond)
	}
	s.node.tails.Tail(ctx, &tail)
}

// Connect implements console.Streams.
func (s consoleStreams) Connect(ctx *fasthttp.RequestCtx) { s.node.sse.Handle(ctx) }

// cutWait is how long it may take until the streams of somebody who logged out are ended.
const cutWait = 5 * time.Second

// Cut implements console.Streams.
func (s consoleStreams) Cut(who string) {
	ctx, cancel := context.WithTimeout(context.Background(), cutWait)
	defer cancel()
	if err := s.node.sessions.Disconnect(ctx, session.Target{User: tailUser(who)}, nil, codec.DisconnectExpired); err != nil {
		s.node.log.Warn("streams of the console were not ended with their login: they end when that would have expired", "who", who, "error", err)
	}
}

// serveConsole answers a request to the console. Who is logged in is not taken for a stranger
// when connections have to make room for others.
func serveConsole(node *Node, ctx *fasthttp.RequestCtx) {
	if c := ctx.Conn(); !node.cfg.Admin.Insecure && !front.Known(c) && node.console.LoggedIn(&ctx.Request.Header) {
		front.SetKnown(c)
	}
	node.console.Handle(ctx)
}

// Bodies of the console.
const (
	loginBody  = 4 << 10
	callsBelow = "/api"
)

// consoleBody returns how large the body of a POST to the console may be, and whether it is
// wanted at all: more than a login only of those who are logged in.
func (node *Node) consoleBody(h *fasthttp.RequestHeader) (most int, wanted bool) {
	at := targetPath(h.RequestURI())[len(node.cfg.Admin.HandlerPrefix):]
	switch {
	case string(at) == "/login", string(at) == "/auth":
		return loginBody, true
	case !node.console.LoggedIn(h):
		return otherBody, false
	case bytes.HasPrefix(at, []byte(callsBelow)):
		node.bodies.letIn(h, node.cfg.HTTPAPI.MaxBodySize)
		return node.cfg.HTTPAPI.MaxBodySize, true
	case string(at) == "/connect":
		return node.cfg.UniSSE.MaxRequestBodySize, true
	}
	return otherBody, true
}

// withoutLogin serves a request to a path that the cookie of the console may be sent to as
// well, where nobody else is to see it.
func withoutLogin(c *config.Config, path string, serve func(node *Node, ctx *fasthttp.RequestCtx)) func(node *Node, ctx *fasthttp.RequestCtx) {
	if prefix := c.Admin.HandlerPrefix; !c.Admin.Enabled || prefix != "" && !bytes.HasPrefix([]byte(path), []byte(prefix+"/")) {
		return serve
	}
	return func(node *Node, ctx *fasthttp.RequestCtx) {
		console.Strip(&ctx.Request.Header)
		serve(node, ctx)
	}
}
