package gateway

import (
	"errors"
	"fmt"
	"time"

	"sluice/codec"
	"sluice/gateway/auth"
	brokermemory "sluice/gateway/broker/memory"
	"sluice/gateway/channel"
	"sluice/gateway/config"
	"sluice/gateway/hub"
	"sluice/gateway/loop"
	"sluice/gateway/origin"
	"sluice/gateway/session"
	"sluice/gateway/sse"
)

// This file turns the configuration into the options of each package.

func channelConfig(c *config.Channel) channel.Config {
	out := channel.Config{
		Separators: channel.Separators{
			NamespaceBoundary: c.NamespaceBoundary, PrivatePrefix: c.PrivatePrefix,
			UserBoundary: c.UserBoundary, UserSeparator: c.UserSeparator,
		},
		MaxLength:             c.MaxLength,
		ServerMaxLength:       c.ServerMaxLength,
		WithoutNamespace:      channelOptions(&c.WithoutNamespace),
		HistoryMetaTTL:        c.HistoryMetaTTL,
		PublicationDataFormat: channel.Format(c.PublicationDataFormat),
	}
	for i := range c.Namespaces {
		ns := &c.Namespaces[i]
		out.Namespaces = append(out.Namespaces, channel.Namespace{
			Name: ns.Name, Options: channelOptions(&ns.ChannelOptions),
		})
	}
	return out
}

func channelOptions(o *config.ChannelOptions) channel.Options {
	return channel.Options{
		AllowSubscribeForClient:    o.AllowSubscribeForClient,
		AllowSubscribeForAnonymous: o.AllowSubscribeForAnonymous,
		AllowUserLimitedChannels:   o.AllowUserLimitedChannels,
		SubscribeProxyEnabled:      o.SubscribeProxyEnabled,
		ChannelRegex:               o.ChannelRegex,
		SubscriptionType:           channel.SubscriptionType(o.SubscriptionType),
		Presence:                   o.Presence,
		JoinLeave:                  o.JoinLeave,
		ForcePushJoinLeave:         o.ForcePushJoinLeave,
		HistorySize:                o.HistorySize,
		HistoryTTL:                 o.HistoryTTL,
		HistoryMetaTTL:             o.HistoryMetaTTL,
		ForceRecovery:              o.ForceRecovery,
		ForcePositioning:           o.ForcePositioning,
		ForceRecoveryMode:          channel.RecoveryMode(o.ForceRecoveryMode),
		AutoCacheRecover:           o.AutoCacheRecover,
		AllowedDeltaTypes:          o.AllowedDeltaTypes,
		DeltaPublish:               o.DeltaPublish,
		PublicationDataFormat:      channel.Format(o.PublicationDataFormat),
		SlowPolicy:                 channel.SlowPolicy(o.SlowPolicy),
		ConflateKey:                o.ConflateKey,
		MaxRate:                    o.MaxRate,
	}
}

func authOptions(c *config.Client) auth.Options {
	t := &c.Token
	return auth.Options{
		HMACSecretKey:                   t.HMACSecretKey,
		HMACPreviousSecretKey:           t.HMACPreviousSecretKey,
		HMACPreviousSecretKeyValidUntil: t.HMACPreviousSecretKeyValidUntil,
		RSAPublicKey:                    t.RSAPublicKey,
		ECDSAPublicKey:                  t.ECDSAPublicKey,
		JWKSPublicEndpoint:              t.JWKSPublicEndpoint,

		InsecureSkipJWKSEndpointSafetyCheck: t.InsecureSkipJWKSEndpointSafetyChk,

		Audience:                          t.Audience,
		AudienceRegex:                     t.AudienceRegex,
		Issuer:                            t.Issuer,
		IssuerRegex:                       t.IssuerRegex,
		UserIDClaim:                       t.UserIDClaim,
		Insecure:                          c.Insecure,
		InsecureSkipTokenSignatureVerify:  c.InsecureSkipTokenSignatureVerify,
		DisallowAnonymousConnectionTokens: c.DisallowAnonymousConnectionTokens,
	}
}

// userTimeoutSlack is how much longer than a stream may be slow the kernel
// waits for acknowledgements: a mere pause of a reader must not be cut sooner.
const userTimeoutSlack = 5 * time.Second

func (g *Gateway) loopOptions() loop.Options {
	c := &g.cfg.Client
	return loop.Options{
		QueueMaxSize: c.QueueMaxSize, QueueMaxAge: c.QueueMaxAge, QueuesMaxTotal: int64(c.QueuesMaxTotal),
		SlowFrame: codec.DisconnectFrame(codec.DisconnectSlow),
		Ring:      g.cfg.Node.IOURing != "off",
		OnPanic:   g.onPanic, Verify: g.verify,
	}
}

// memoryOptions returns those of the memory engine, which is made before the hub
// that it asks, and asks nothing before it is started.
func (g *Gateway) memoryOptions() brokermemory.Options {
	return brokermemory.Options{
		Wanted:   func(ch string) bool { return g.hub.Wanted(ch) },
		EmptyTTL: g.cfg.Channel.HistoryEmptyTTL, EmptyMax: g.cfg.Channel.HistoryEmptyMax,
		ResultsMax: g.cfg.HTTPAPI.IdempotencyMaxResults,
	}
}

func (g *Gateway) hubOptions() hub.Options {
	return hub.Options{
		Lanes: g.cfg.Node.Lanes, CreditBytes: int64(g.cfg.HTTPAPI.PublishInflightMaxBytes),
		CreditWait: g.cfg.HTTPAPI.PublishWait, HoldMaxSize: g.cfg.Client.HoldMaxBytes,
		Policy:             policy(&g.cfg.Channel, g.rules.Load()),
		PositionMaxTimeLag: g.cfg.Client.ChannelPositionMaxTimeLag,
		Cursors:            g.cfg.UniSSE.LastEventID, CursorExactSize: g.cfg.UniSSE.CursorExactBytes,
		OnPanic: g.onPanic,
	}
}

// policy returns how the hub learns what may be left out, nil if no namespace
// allows anything: then nobody asks.
func policy(c *config.Channel, rules *channel.Rules) func(string) hub.Policy {
	any := lossy(&c.WithoutNamespace)
	for i := range c.Namespaces {
		any = any || lossy(&c.Namespaces[i].ChannelOptions)
	}
	if !any {
		return nil
	}
	return func(ch string) hub.Policy {
		o, err := rules.Lookup(ch)
		if err != nil {
			return hub.Policy{}
		}
		return hub.Policy{
			DropOldest: o.SlowPolicy == channel.SlowDropOldest, ConflateKey: o.ConflateKey, MaxRate: o.MaxRate,
		}
	}
}

// lossy reports whether publications of the namespace may be left out.
func lossy(o *config.ChannelOptions) bool {
	return o.SlowPolicy == string(channel.SlowDropOldest) || o.ConflateKey != "" || o.MaxRate > 0
}

// sessionLive returns what sessions take over from a reload. How many streams
// there may be for the sake of descriptors stays as it was at the start.
func (g *Gateway) sessionLive(c *config.Client) session.Live {
	limit, by := g.cfg.UniSSE.MaxStreams, "uni_sse.max_streams"
	if most := g.files.streams; most > 0 && (limit <= 0 || limit > most) {
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

// sseLive returns what the endpoint takes over from a reload.
func sseLive(c *config.Client) sse.Live {
	return sse.Live{
		AllowAnonymous: c.AllowAnonymousConnectWithoutToken, Insecure: c.Insecure,
		UserIDHeader: c.UserIDHTTPHeader, ConnectionRate: c.ConnectionRateLimit,
	}
}

func (g *Gateway) sessionOptions() session.Options {
	c := &g.cfg.Client
	opt := session.Options{
		Live:    g.sessionLive(c),
		Version: Version + " OSS", PingInterval: c.PingInterval, Rules: g.rules.Load,
		Cursors: g.cfg.UniSSE.LastEventID, TerminalIDs: g.cfg.UniSSE.TerminalStatus, ServerTime: c.ConnectIncludeServerTime,
		ChannelLimit: c.ChannelLimit, RecoveryMaxBytes: g.cfg.UniSSE.RecoveryMaxBytes, RecoveryMaxTotal: g.cfg.UniSSE.RecoveryMaxTotal,
		MaxLifetime: g.cfg.UniSSE.MaxLifetime, RetryMin: g.cfg.UniSSE.Retry.Min, RetryMax: g.cfg.UniSSE.Retry.Max,
		StaleCloseDelay: c.StaleCloseDelay, KeeperBacklog: c.PresenceBacklogMax,
		ExpiredCloseDelay: c.ExpiredCloseDelay, ExpiredSubDelay: c.ExpiredSubCloseDelay,
		PresenceUpdateInterval: c.PresenceUpdateInterval, PositionCheckDelay: c.ChannelPositionCheckDelay,
		Addresses: g.limits, Calls: g.calls, Log: g.log,
	}
	if c.Proxy.Refresh.Enabled {
		opt.Refresh = g.proxy
	}
	return opt
}

func (g *Gateway) sseOptions() (sse.Options, error) {
	c, u := &g.cfg.Client, &g.cfg.UniSSE
	origins, err := origin.NewList(c.AllowedOrigins)
	if err != nil {
		return sse.Options{}, err
	}
	opt := sse.Options{
		Live: sseLive(c), Verifier: g.verifier.Load, Origins: origins,
		HookWait: c.StaleCloseDelay, TokenCookie: c.TokenCookie, TerminalStatus: u.TerminalStatus,
		Limits: codec.Limits{Depth: g.cfg.HTTPAPI.MaxDepth, Number: g.cfg.HTTPAPI.MaxNumberSize},
		Socket: loop.SocketOptions{
			UserTimeout: c.QueueMaxAge + userTimeoutSlack, UnsentMax: u.KernelUnsentMax,
		},
		RetryMin: u.Retry.Min, RetryMax: u.Retry.Max, LastEventID: u.LastEventID, Log: g.log,
		BoundedStreams: u.BoundedStreams,
		ShedByStatus:   u.Shed == "status", ShedMax: u.ShedRetryMax,
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
	return opt, nil
}

// ErrUnsupported is wrapped by errors of New for options that are valid but not
// served by this build.
var ErrUnsupported = errors.New("not supported")

// checkSupported refuses what would open access or split nodes if it were
// ignored.
func checkSupported(c *config.Config) error {
	var errs []error
	refuse := func(key, value, use string) {
		errs = append(errs, &optionError{key, fmt.Errorf("%s is %s: %w, %s", key, value, ErrUnsupported, use)})
	}
	if c.Engine.Type != "memory" {
		refuse("engine.type", c.Engine.Type, "use memory")
	}
	if c.Broker.Enabled && c.Broker.Type != "memory" {
		refuse("broker.type", c.Broker.Type, "use memory")
	}
	if c.PresenceManager.Enabled && c.PresenceManager.Type != "memory" {
		refuse("presence_manager.type", c.PresenceManager.Type, "use memory")
	}
	if c.HTTPServer.ReusePort == "on" && c.Engine.Type == "memory" && !c.Broker.Enabled {
		refuse("http_server.reuse_port", "on with the memory engine", "publications would reach the streams of one process only; force it if that is wanted")
	}
	return errors.Join(errs...)
}
