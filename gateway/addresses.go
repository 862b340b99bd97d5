package gateway

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/valyala/fasthttp"

	"sluice/gateway/config"
	"sluice/gateway/front"
)

// newAddresses makes what tells clients' addresses, and their limits.
func newAddresses(cfg *config.Config) (*front.Proxies, *front.Limits, error) {
	proxies, err := front.NewProxies(cfg.HTTPServer.TrustedProxies, cfg.HTTPServer.ForwardedHeader)
	if err != nil {
		return nil, nil, fmt.Errorf("gateway: http_server.trusted_proxies: %w", err)
	}
	return proxies, front.NewLimits(addressLimits(&cfg.Client)), nil
}

func addressLimits(c *config.Client) front.LimitOptions {
	return front.LimitOptions{Streams: c.AddressConnectionLimit, Rate: c.AddressConnectionRateLimit}
}

// clientAddress returns the address of the client behind a request.
func (g *Gateway) clientAddress(ctx *fasthttp.RequestCtx) netip.Addr {
	peer, ok := ctx.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{} // a Unix socket: no address, no limits
	}
	return g.proxies.Client(peer.AddrPort().Addr(), &ctx.Request.Header)
}
