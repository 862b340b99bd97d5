package node

import (
	"time"

	"sluice/gateway/config"
	"sluice/gateway/session"
)

// This file turns the configuration into the options of each package.

// sessionLive returns what sessions take over from a reload. How many streams
// there may be for the sake of descriptors stays as it was at the start.
func (node *Node) sessionLive(c *config.Client) session.Live {
	limit, by := node.cfg.UniSSE.MaxStreams, "uni_sse.max_streams"
	if most := node.files.streams; most > 0 && (limit <= 0 || limit > most) {
		limit, by = most, session.ByDescriptors
	}
	if c.ConnectionLimit > 0 && (limit <= 0 || c.ConnectionLimit < limit) {
		limit, by = c.ConnectionLimit, "client.connection_limit"
	}
	return session.Live{
		Insecure: c.Insecure, StreamLimit: limit, LimitedBy: by, UserConnectionLimit: c.UserConnectionLimit,
		RecoveryLimit: c.RecoveryMaxPublicationLimit,
		Personal: session.Personal{
			Enabled:          c.SubscribeToUserPersonalChannel.Enabled,
			Namespace:        c.SubscribeToUserPersonalChannel.PersonalChannelNamespace,
			SingleConnection: c.SubscribeToUserPersonalChannel.SingleConnection,
		},
	}
}

func (node *Node) sessionOptions() session.Options {
	c := &node.cfg.Client
	opt := session.Options{
		Live:    node.sessionLive(c),
		Version: Version + " OSS", PingInterval: c.PingInterval, Rules: node.rules.Load,
		Cursors: node.cfg.UniSSE.LastEventID, TerminalIDs: node.cfg.UniSSE.TerminalStatus, ServerTime: c.ConnectIncludeServerTime,
		ChannelLimit: c.ChannelLimit, RecoveryMaxBytes: node.cfg.UniSSE.RecoveryMaxBytes, RecoveryMaxTotal: node.cfg.UniSSE.RecoveryMaxTotal,
		MaxLifetime: node.cfg.UniSSE.MaxLifetime, RetryMin: node.cfg.UniSSE.Retry.Min, RetryMax: node.cfg.UniSSE.Retry.Max,
		StaleCloseDelay: c.StaleCloseDelay, KeeperBacklog: c.PresenceBacklogMax,
		ExpiredCloseDelay: c.ExpiredCloseDelay, ExpiredSubDelay: c.ExpiredSubCloseDelay,
		PresenceUpdateInterval: c.PresenceUpdateInterval, PositionCheckDelay: c.ChannelPositionCheckDelay,
		Addresses: node.limits, Calls: node.calls, Log: node.log,
	}
	if c.Proxy.Refresh.Enabled {
		opt.Refresh = node.proxy
	}
	return opt
}

// watchClock has the sessions look whether the wall clock was set, until done is
// closed.
func (node *Node) watchClock(done <-chan struct{}) {
	tick := time.NewTicker(session.ClockLook)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			node.sessions.CheckClock()
		}
	}
}
