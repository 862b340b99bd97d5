package node

import (
	"time"

	"sluice/codec"
	"sluice/gateway/config"
	"sluice/gateway/session"
)

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
		Personal:      personal(c),
	}
}

func personal(c *config.Client) session.Personal {
	p := &c.SubscribeToUserPersonalChannel
	return session.Personal{Enabled: p.Enabled, Namespace: p.PersonalChannelNamespace, SingleConnection: p.SingleConnection}
}

func (node *Node) sessionOptions() session.Options {
	opt := sessionSettings(node.cfg)
	opt.Live, opt.Rules, opt.Addresses, opt.Calls, opt.Log = node.sessionLive(&node.cfg.Client), node.rules.Load, node.limits, node.calls, node.log
	opt.Sources = node.cfg.Admin.Enabled
	if node.places != nil {
		opt.Places, opt.Evict = node.places, node.evictElsewhere
		opt.LimitNodeOnly = node.cfg.Client.UserConnectionLimitScope == "node"
	}
	if node.cfg.Client.Proxy.Refresh.Enabled {
		opt.Refresh = node.proxy
	}
	return opt
}

// watchClock has the sessions look whether the wall clock was set, make good what an outage
// left undone, and renew what has to be, until done is closed. Why as long as there are streams, and not until the shutdown
// begins: it may take longer than what is not renewed lasts.
func (node *Node) watchClock(done <-chan struct{}) {
	tick := time.NewTicker(session.ClockLook)
	defer tick.Stop()
	every := node.sessions.RenewEvery()
	renew := time.NewTimer(every)
	defer renew.Stop()
	if every == 0 {
		renew.Stop()
	}
	for {
		select {
		case <-done:
			return
		case <-renew.C:
			pause := every
			if idle := node.sessions.Renew(); idle {
				pause *= session.RenewIdle
			}
			renew.Reset(pause)
		case <-tick.C:
			node.sessions.CheckClock()
			node.sessions.Settle()
		}
	}
}

// pingStyles are the words of uni_sse.ping_style.
var pingStyles = map[string]codec.PingStyle{"data": codec.PingData, "comment": codec.PingComment, "id": codec.PingID}

// sessionSettings are the options that are settings, of the live ones the personal
// channel only.
func sessionSettings(cfg *config.Config) session.Options {
	c, u := &cfg.Client, &cfg.UniSSE
	return session.Options{
		Live:    session.Live{Personal: personal(c)},
		Version: Version + " OSS", PingInterval: c.PingInterval, PingStyle: pingStyles[u.PingStyle], TwoWrites: u.TwoWriteStart,
		Cursors: u.LastEventID, TerminalIDs: u.TerminalStatus, ServerTime: c.ConnectIncludeServerTime,
		ChannelLimit: c.ChannelLimit, RecoveryMaxBytes: u.RecoveryMaxBytes, RecoveryMaxTotal: u.RecoveryMaxTotal,
		MaxLifetime: u.MaxLifetime, RetryMin: u.Retry.Min, RetryMax: u.Retry.Max,
		StaleCloseDelay: c.StaleCloseDelay, KeeperBacklog: c.PresenceBacklogMax,
		ExpiredCloseDelay: c.ExpiredCloseDelay, ExpiredSubDelay: c.ExpiredSubCloseDelay,
		PresenceUpdateInterval: c.PresenceUpdateInterval, PositionCheckDelay: c.ChannelPositionCheckDelay,
	}
}
