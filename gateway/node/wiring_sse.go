package node

import (
	"sluice/codec"
	"sluice/gateway/config"
	"sluice/gateway/edge"
	"sluice/gateway/metrics"
	"sluice/gateway/origin"
	"sluice/gateway/sse"
)

// sseLive returns what the endpoint takes over from a reload.
func sseLive(c *config.Client) sse.Live {
	return sse.Live{
		AllowAnonymous: c.AllowAnonymousConnectWithoutToken, Insecure: c.Insecure,
		UserIDHeader: c.UserIDHTTPHeader, ConnectionRate: c.ConnectionRateLimit,
	}
}

func (node *Node) sseOptions() (opt sse.Options, err error) {
	opt = sseSettings(node.cfg)
	opt.Verifier, opt.Log = node.verifier.Load, node.log
	opt.Origins, err = origin.NewList(node.cfg.Client.AllowedOrigins)
	return opt, err
}

// sseSettings are the options that are settings.
func sseSettings(cfg *config.Config) sse.Options {
	c, u := &cfg.Client, &cfg.UniSSE
	opt := sse.Options{
		Live:     sseLive(c),
		HookWait: c.StaleCloseDelay, TokenCookie: c.TokenCookie, TerminalStatus: u.TerminalStatus,
		Limits:   codec.Limits{Depth: cfg.HTTPAPI.MaxDepth, Number: cfg.HTTPAPI.MaxNumberSize},
		RetryMin: u.Retry.Min, RetryMax: u.Retry.Max, LastEventID: u.LastEventID,
		BoundedStreams: u.BoundedStreams, Incremental: u.Incremental, Padding: u.Padding, PaddingMax: u.PaddingMax,
		ShedByStatus: u.Shed == "status", ShedMax: u.ShedRetryMax,
	}
	if u.Framing == "close" {
		opt.Framing = codec.FramingClose
	}
	opt.Responses.Enabled = u.ConnectCodeToHTTPResponse.Enabled
	for _, t := range u.ConnectCodeToHTTPResponse.Transforms {
		opt.Responses.Transforms = append(opt.Responses.Transforms, sse.Response{
			Code: uint32(t.Code), Status: t.To.StatusCode, Body: t.To.Body,
		})
	}
	opt.Disconnects.Enabled = c.ConnectCodeToUnidirectionalDisconnect.Enabled
	for _, t := range c.ConnectCodeToUnidirectionalDisconnect.Transforms {
		opt.Disconnects.Transforms = append(opt.Disconnects.Transforms, sse.DisconnectTransform{
			Code: uint32(t.Code), To: codec.Disconnect{Code: uint32(t.To.Code), Reason: t.To.Reason},
		})
	}
	return opt
}

// newEdge makes the broadcast route. What the kernel is told of its sockets is as
// on the subscribe endpoint.
func (node *Node) newEdge() *edge.Server {
	b := &node.cfg.Broadcast
	return edge.New(node.sessions, node.hub, node.broker, edge.Options{
		Prefix: b.HandlerPrefix, VaryLastEventID: b.VaryLastEventID, MaxStreams: b.MaxOriginStreams, Retry: b.Retry,
		MaxTotal: node.broadcastStreams,
		Rules:    node.rules.Load, Node: node.id.String(),
		Address: node.clientAddress, Log: node.log,
	})
}

// broadcastStreams returns how many streams the broadcast route may have, 0 for no limit.
// Why half: anybody may open one, of a channel that does not exist before.
func (node *Node) broadcastStreams() int {
	if most := node.cfg.Broadcast.MaxStreams; most > 0 {
		return most
	}
	all, _ := node.sessions.StreamLimit()
	if !node.cfg.UniSSE.Enabled {
		return all
	}
	return (all + 1) / 2
}

// addEdge adds what the broadcast route counts.
func (c counters) addEdge(n *metrics.Node) {
	if c.node.edge != nil {
		n.Broadcast = metrics.Broadcast(c.node.edge.Stats())
	}
}
