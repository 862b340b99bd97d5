package console

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"sluice/gateway/origin"
)

const (
	adminPassword  = "the password of admins"
	viewerPassword = "the password of viewers"
	testSecret     = "a secret of thirty-two bytes, or more"
)

// rig is a console with everything behind it made up.
type rig struct {
	*Server
	log  bytes.Buffer
	cut  []string
	tail *Tail
	// seen is the head of the last P/connect, called the methods of the API that were.
	seen   string
	called []string
}

func newRig(change func(o *Options)) *rig {
	r := &rig{}
	o := Options{
		Prefix: "/admin", Live: Live{Password: adminPassword, ReadOnlyPassword: viewerPassword, Secret: testSecret},
		Watch: r, Calls: r, Streams: r, Settings: r,
		About:   func() About { return About{Endpoint: "/connection/uni_sse"} },
		Address: func(ctx *fasthttp.RequestCtx) netip.Addr { return ctx.RemoteAddr().(*net.TCPAddr).AddrPort().Addr() },
		Front: func(ctx *fasthttp.RequestCtx) origin.Front {
			return origin.Front{Host: string(ctx.Request.Header.Host()), Scheme: string(ctx.Request.Header.Peek("X-Test-Scheme"))}
		},
		Apart: func(ctx *fasthttp.RequestCtx, serve fasthttp.RequestHandler) { serve(ctx) },
		Log:   slog.New(slog.NewJSONHandler(&r.log, nil)),
	}
	if change != nil {
		change(&o)
	}
	r.Server = New(o)
	return r
}

func (r *rig) Now(_ context.Context, q *NowQuery) (*Now, error) {
	return &Now{StepMS: q.Range.Milliseconds()}, nil
}

func (r *rig) Channels(_ context.Context, q *ChannelsQuery) (*Channels, error) {
	return &Channels{Total: q.Limit, Rows: []ChannelRow{{Channel: q.Q + "/" + q.Order}}}, nil
}

func (r *rig) Channel(context.Context, string) (*Channel, error) {
	return nil, BadQuery("name: too long")
}
func (r *rig) Clients(context.Context, *ClientsQuery) (*Clients, error) { return &Clients{}, nil }
func (r *rig) Client(context.Context, string) (*Client, error)          { return nil, ErrNotFound }
func (r *rig) Config() *Config                                          { return &Config{} }
func (r *rig) Cut(who string)                                           { r.cut = append(r.cut, who) }
func (r *rig) Tail(_ *fasthttp.RequestCtx, t *Tail)                     { r.tail = t }
func (r *rig) Connect(ctx *fasthttp.RequestCtx)                         { r.seen = ctx.Request.Header.String() }

func (r *rig) Call(ctx *fasthttp.RequestCtx, method string) bool {
	r.called = append(r.called, method)
	ctx.SetContentType("application/json")
	ctx.SetBodyString(`{"result":{}}`)
	return true
}

// ask sends a request: "POST /admin/login", a body, and headers as "Name: value".
func (r *rig) ask(target, body string, headers ...string) *fasthttp.Response {
	return r.askFrom("192.0.2.1", target, body, headers...)
}

func (r *rig) askFrom(address, target, body string, headers ...string) *fasthttp.Response {
	var req fasthttp.Request
	method, uri, _ := strings.Cut(target, " ")
	req.Header.SetMethod(method)
	req.SetRequestURI(uri)
	req.Header.SetHost("gateway.example:8000")
	req.SetBodyString(body)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			req.Header.SetHost(value)
			continue
		}
		req.Header.Add(name, value)
	}
	var ctx fasthttp.RequestCtx
	ctx.Init(&req, &net.TCPAddr{IP: net.ParseIP(address), Port: 1}, nil)
	r.Handle(&ctx)
	return &ctx.Response
}

// ours are the headers of the pages.
var ours = []string{"X-Sluice-Console: 1", "Content-Type: application/json", "Origin: http://gateway.example:8000"}

// post is ask as the pages do it.
func (r *rig) post(path, body string, headers ...string) *fasthttp.Response {
	return r.ask("POST /admin"+path, body, append(headers, ours...)...)
}

// login returns the header with the cookie of a login.
func (r *rig) login(t *testing.T, body string) string {
	t.Helper()
	resp := r.post("/login", body)
	require.Equal(t, 200, resp.StatusCode(), "%s", resp.Body())
	return "Cookie: " + cookieOf(t, resp)
}

func cookieOf(t *testing.T, resp *fasthttp.Response) string {
	t.Helper()
	set := string(resp.Header.Peek("Set-Cookie"))
	require.NotEmpty(t, set)
	pair, _, _ := strings.Cut(set, ";")
	return pair
}

func asAdmin(t *testing.T, r *rig) string { return r.login(t, `{"password":"`+adminPassword+`"}`) }

func asViewer(t *testing.T, r *rig) string { return r.login(t, `{"password":"`+viewerPassword+`"}`) }

// lines returns the lines of the log with a message.
func (r *rig) lines(t *testing.T, msg string) (all []map[string]any) {
	t.Helper()
	for line := range strings.Lines(r.log.String()) {
		var entry map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &entry))
		if entry["msg"] == msg {
			all = append(all, entry)
		}
	}
	return all
}

func decoded(t *testing.T, resp *fasthttp.Response) (v map[string]any) {
	t.Helper()
	require.NoError(t, json.Unmarshal(resp.Body(), &v), "%s", resp.Body())
	return v
}

var someTime = time.Unix(1_800_000_000, 0)
