package node

import (
	"context"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/codec"
	"sluice/gateway/api"
	"sluice/gateway/auth"
	"sluice/gateway/channel"
	"sluice/gateway/cluster"
	"sluice/gateway/session"
)

// newCluster makes what joins this node with the others of its engine; with an engine
// that has none it is alone, which costs nothing.
func (node *Node) newCluster() *cluster.Cluster {
	opt := cluster.Options{
		UID: node.id.String(), Name: node.nodeName(), Version: Version, Local: localNode{node},
		SurveyTimeout: node.cfg.Cluster.SurveyTimeout, JSON: node.jsonLimits(), Log: node.log,
		Reference: node.mixed(),
	}
	if node.cfg.Admin.Enabled {
		opt.Inspect = node.inspected
	}
	if carrier, ok := node.broker.(cluster.Carrier); ok && node.broker.Abilities().Nodes {
		opt.Carrier = carrier
	}
	return cluster.New(opt)
}

// mixed reports whether nodes of the reference are part of the fleet.
func (node *Node) mixed() bool {
	half := node.cfg.BrokerHalf()
	return half.Type == "redis" && half.Redis.ReferenceControl || half.Type == "nats" && half.NATS.ReferenceControl
}

// localNode carries out on this node what is asked of all.
type localNode struct{ node *Node }

var _ cluster.Local = localNode{}

// Subscribe implements cluster.Local.
func (l localNode) Subscribe(ctx context.Context, cmd *cluster.Subscribe) error {
	o := &cmd.Override
	return l.node.sessions.Subscribe(ctx, session.Target(cmd.Target), session.SubscribeCommand{
		Channel: cmd.Channel, ExpireAt: cmd.ExpireAt, Info: cmd.Info, Data: cmd.Data, Since: cmd.Since,
		Override: auth.Override{
			Presence: toggle(o.Presence), JoinLeave: toggle(o.JoinLeave), ForcePushJoinLeave: toggle(o.ForcePushJoinLeave),
			ForcePositioning: toggle(o.ForcePositioning), ForceRecovery: toggle(o.ForceRecovery),
		},
	})
}

func toggle(b *bool) auth.Toggle {
	switch {
	case b == nil:
		return auth.Unset
	case *b:
		return auth.On
	}
	return auth.Off
}

func untoggle(t auth.Toggle) *bool {
	if t == auth.Unset {
		return nil
	}
	on := t == auth.On
	return &on
}

// Unsubscribe implements cluster.Local.
func (l localNode) Unsubscribe(ctx context.Context, cmd *cluster.Unsubscribe) error {
	return l.node.sessions.Unsubscribe(ctx, session.Target(cmd.Target), cmd.Channel)
}

// Disconnect implements cluster.Local.
func (l localNode) Disconnect(ctx context.Context, cmd *cluster.Disconnect) error {
	return l.node.sessions.Disconnect(ctx, session.Target(cmd.Target), cmd.Whitelist, &codec.Disconnect{Code: cmd.Code, Reason: cmd.Reason})
}

// Refresh implements cluster.Local.
func (l localNode) Refresh(ctx context.Context, cmd *cluster.Refresh) error {
	return l.node.sessions.Refresh(ctx, session.Target(cmd.Target), session.RefreshCommand{Expired: cmd.Expired, ExpireAt: cmd.ExpireAt, Info: cmd.Info})
}

// Evict implements cluster.Local.
func (l localNode) Evict(ctx context.Context, cmd *cluster.Evict) error {
	return l.node.sessions.EvictOlder(ctx, cmd.User, cmd.Keep, cmd.Claim)
}

// looksBetween is how many names are matched before it is looked whether anybody still waits:
// a glob may take a millisecond for each.
const looksBetween = 64

// Channels implements cluster.Local.
func (l localNode) Channels(ctx context.Context, pattern string) (found []cluster.Channel, err error) {
	match := func(string) bool { return true }
	if pattern != "" {
		if match, err = api.CompilePattern(pattern); err != nil {
			return nil, err
		}
	}
	n := 0
	l.node.hub.Channels(func(ch string, subscribers int) bool {
		if match(ch) {
			found = append(found, cluster.Channel{Name: ch, Clients: subscribers})
		}
		n++
		return n%looksBetween != 0 || ctx.Err() == nil
	})
	return found, context.Cause(ctx)
}

// Info implements cluster.Local.
func (l localNode) Info() cluster.Info {
	return cluster.Info{
		Name: l.node.nodeName(), Version: Version, Counts: cluster.Counts(l.node.sessions.Counts()),
		Uptime: int(time.Since(l.node.began) / time.Second), Metrics: l.node.lastInterval.Load(),
	}
}

// evictElsewhere has the other nodes end the older connections of a user.
func (node *Node) evictElsewhere(ctx context.Context, user, keep string, claim uint64) error {
	return node.cluster.Evict(ctx, &cluster.Evict{User: user, Keep: keep, Claim: claim})
}

// apiSessions is the sessions of all nodes, as the server API asks for them.
type apiSessions struct{ node *Node }

var _ api.Sessions = apiSessions{}

// Subscribe implements api.Sessions.
func (s apiSessions) Subscribe(ctx context.Context, t session.Target, cmd session.SubscribeCommand) ([]string, error) {
	o := &cmd.Override
	return s.node.cluster.Subscribe(ctx, &cluster.Subscribe{
		Target: cluster.Target(t), Channel: cmd.Channel, ExpireAt: cmd.ExpireAt, Info: cmd.Info, Data: cmd.Data, Since: cmd.Since,
		Effective: s.node.effective(cmd.Channel, o),
		Override: cluster.Override{
			Presence: untoggle(o.Presence), JoinLeave: untoggle(o.JoinLeave), ForcePushJoinLeave: untoggle(o.ForcePushJoinLeave),
			ForcePositioning: untoggle(o.ForcePositioning), ForceRecovery: untoggle(o.ForceRecovery),
		},
	})
}

// effective is what the rules of a channel and an override come to.
func (node *Node) effective(channel string, o *auth.Override) cluster.Features {
	rules, err := node.rules.Load().Lookup(channel)
	if err != nil || !node.mixed() {
		return cluster.Features{}
	}
	return cluster.Features{
		Presence: o.Presence.Or(rules.Presence), JoinLeave: o.JoinLeave.Or(rules.JoinLeave), PushJoinLeave: o.ForcePushJoinLeave.Or(rules.ForcePushJoinLeave),
		Positioning: o.ForcePositioning.Or(rules.ForcePositioning), Recovery: o.ForceRecovery.Or(rules.ForceRecovery),
	}
}

// Unsubscribe implements api.Sessions.
func (s apiSessions) Unsubscribe(ctx context.Context, t session.Target, channel string) ([]string, error) {
	return s.node.cluster.Unsubscribe(ctx, &cluster.Unsubscribe{Target: cluster.Target(t), Channel: channel})
}

// Disconnect implements api.Sessions.
func (s apiSessions) Disconnect(ctx context.Context, t session.Target, whitelist []string, d *codec.Disconnect) ([]string, error) {
	return s.node.cluster.Disconnect(ctx, &cluster.Disconnect{Target: cluster.Target(t), Whitelist: whitelist, Code: d.Code, Reason: d.Reason})
}

// Refresh implements api.Sessions.
func (s apiSessions) Refresh(ctx context.Context, t session.Target, cmd session.RefreshCommand) ([]string, error) {
	return s.node.cluster.Refresh(ctx, &cluster.Refresh{Target: cluster.Target(t), Expired: cmd.Expired, ExpireAt: cmd.ExpireAt, Info: cmd.Info})
}

// Channels implements api.Sessions.
func (s apiSessions) Channels(ctx context.Context, pattern string) (found []api.ChannelInfo, silent []string, err error) {
	channels, silent, err := s.node.cluster.Channels(ctx, pattern)
	if err != nil {
		return nil, silent, err
	}
	found = make([]api.ChannelInfo, len(channels))
	for i, ch := range channels {
		found[i] = api.ChannelInfo{Channel: ch.Name, Clients: ch.Clients}
	}
	return found, silent, nil
}

// Nodes implements api.Sessions.
func (s apiSessions) Nodes(ctx context.Context) (nodes []api.NodeInfo, silent []string, err error) {
	infos, silent, err := s.node.cluster.Nodes(ctx)
	for _, n := range infos {
		nodes = append(nodes, api.NodeInfo{UID: n.UID, Name: n.Name, Version: n.Version, Counts: session.Counts(n.Counts), Uptime: n.Uptime, Metrics: n.Metrics})
	}
	return nodes, silent, err
}

// newAPI makes the server API; tellKeys logs calls without the key.
func (node *Node) newAPI(tellKeys bool) *api.Server {
	c := &node.cfg.HTTPAPI
	return api.New(api.Options{
		Prefix: c.HandlerPrefix, Rules: func() *channel.Rules { return node.rules.Load() },
		Broker: node.broker, Credit: node.hub, Presence: node.presence, Sessions: apiSessions{node},
		Keys:   func() *auth.APIKeys { return node.keys.Load() },
		Unread: node.bodies.unread, Waits: node.bodies.calls, Front: node.cameBy, Fronts: node.mayHaveCome,
		Decoded: func(r *fasthttp.Request, copied bool) {
			n := len(r.Body())
			switch {
			case copied && n >= hugeBody:
				r.SwapBody(nil) // garbage by the next collection
			case copied && n >= largeBody:
				r.ResetBody() // for the next body
			}
			node.bodies.read(&r.Header, n)
		},
		Limits: codec.Limits{Depth: c.MaxDepth, Number: c.MaxNumberSize}, MaxBody: c.MaxBodySize, MaxPublication: c.MaxPublicationSize,
		MaxCommands: c.MaxBatchCommands, MaxNames: c.MaxBroadcastChannels, MaxWork: c.WorkMaxBytes, ErrorMode: c.ErrorMode, TellKeys: tellKeys, Log: node.log,
	})
}
