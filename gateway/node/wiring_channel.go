package node

import (
	"sluice/gateway/channel"
	"sluice/gateway/config"
)

// ChannelConfig is what the rules of channels are made from, for the node and for
// commands that check tokens.
func ChannelConfig(c *config.Channel) channel.Config {
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
		Broadcast:                  o.Broadcast,
		BroadcastFreshness:         o.BroadcastFreshness,
		BroadcastLifetime:          o.BroadcastLifetime,
	}
}
