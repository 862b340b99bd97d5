package gateway

import (
	"context"
	"crypto/rand"
	"sort"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/valyala/fasthttp"

	"sluice/codec"
	"sluice/gateway/admin"
	"sluice/gateway/api"
	"sluice/gateway/auth"
	"sluice/gateway/channel"
	"sluice/gateway/session"
)

// node is the gateway as the server API sees it: its sessions, and what other
// nodes would be asked.
type node struct {
	*session.Manager
	g *Gateway
}

var _ api.Sessions = node{}

// Channels implements api.Sessions.
func (n node) Channels(_ context.Context, match func(string) bool) ([]api.ChannelInfo, error) {
	var out []api.ChannelInfo
	n.g.hub.Channels(func(ch string, subscribers int) bool {
		if match == nil || match(ch) {
			out = append(out, api.ChannelInfo{Channel: ch, Clients: subscribers})
		}
		return true
	})
	sort.Slice(out, func(i, j int) bool { return out[i].Channel < out[j].Channel })
	return out, nil
}

// Nodes implements api.Sessions.
func (n node) Nodes(context.Context) ([]api.NodeInfo, error) {
	return []api.NodeInfo{{
		UID: n.g.id.String(), Name: n.g.nodeName(), Version: Version,
		Counts: n.Counts(), Uptime: int(time.Since(n.g.began) / time.Second),
		Metrics: n.g.lastInterval.Load(),
	}}, nil
}

// newAPI makes the server API; tellKeys logs calls without the key.
func (g *Gateway) newAPI(tellKeys bool) *api.Server {
	c := &g.cfg.HTTPAPI
	return api.New(api.Options{
		Prefix: c.HandlerPrefix, Rules: func() *channel.Rules { return g.rules.Load() },
		Broker: g.broker, Credit: g.hub, Presence: g.presence, Sessions: node{g.sessions, g},
		Keys:   func() *auth.APIKeys { return g.keys.Load() },
		Unread: g.bodies.unread, Waits: g.bodies.calls, Front: g.cameBy, Fronts: g.mayHaveCome,
		Decoded: func(r *fasthttp.Request, copied bool) {
			n := len(r.Body())
			switch {
			case copied && n >= hugeBody:
				r.SwapBody(nil) // garbage by the next collection
			case copied && n >= largeBody:
				r.ResetBody() // for the next body
			}
			g.bodies.read(&r.Header, n)
		},
		Limits: codec.Limits{Depth: c.MaxDepth, Number: c.MaxNumberSize}, MaxBody: c.MaxBodySize, MaxPublication: c.MaxPublicationSize,
		MaxCommands: c.MaxBatchCommands, MaxNames: c.MaxBroadcastChannels, MaxWork: c.WorkMaxBytes, ErrorMode: c.ErrorMode, TellKeys: tellKeys, Log: g.log,
	})
}

// devUser is who the live page connects as.
const devUser = "dev"

// devTokenLife is how long a token of the live page is valid.
const devTokenLife = 12 * time.Hour

// devToken makes a token for the live page and the curl commands.
func (g *Gateway) devToken() (token, user string, err error) {
	claims := jwt.MapClaims{
		"sub": devUser, "exp": time.Now().Add(devTokenLife).Unix(), "info": map[string]string{"name": "Live page"},
	}
	token, err = jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(g.cfg.Client.Token.HMACSecretKey))
	return token, devUser, err
}

// devChannels are what the live page opens with.
var devChannels = []string{"news", "chat:lobby"}

func (g *Gateway) newLive() *admin.Live {
	g.liveKey = rand.Text()
	return admin.NewLive(admin.Options{
		Key: g.liveKey, Proxied: g.cfg.HTTPServer.ProxyProtocol,
		Endpoint: g.cfg.UniSSE.HandlerPrefix, API: g.cfg.HTTPAPI.HandlerPrefix, APIKey: g.cfg.HTTPAPI.Key,
		Version: Version, Channels: devChannels, Token: g.devToken,
	})
}
