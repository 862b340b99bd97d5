package node

import (
	"fmt"

	"sluice/codec"
	"sluice/gateway/channel"
	"sluice/gateway/config"
	"sluice/gateway/dictionary"
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
		Compression:                codings(o.Compression),
		CompressionDictionary:      o.CompressionDictionary,
		PublicationDataFormat:      channel.Format(o.PublicationDataFormat),
		SlowPolicy:                 channel.SlowPolicy(o.SlowPolicy),
		ConflateKey:                o.ConflateKey,
		MaxRate:                    o.MaxRate,
		Broadcast:                  o.Broadcast,
		BroadcastFreshness:         o.BroadcastFreshness,
		BroadcastLifetime:          o.BroadcastLifetime,
	}
}

// codings returns content codings by their names, which the schema has checked.
func codings(names []string) (all []codec.Coding) {
	for _, name := range names {
		c, _ := codec.ParseCoding(name)
		all = append(all, c)
	}
	return all
}

// dictionaryFiles are those that namespaces have dictionaries in.
func dictionaryFiles(c *channel.Config) (files []dictionary.File) {
	eachNamespace(c, func(key, name string, o *channel.Options) {
		if o.CompressionDictionary != "" {
			files = append(files, dictionary.File{Key: key + ".compression_dictionary", Namespace: name, Path: o.CompressionDictionary})
		}
	})
	return files
}

// setDictionaries gives namespaces theirs.
func setDictionaries(c *channel.Config, t *dictionary.Table) {
	eachNamespace(c, func(_, name string, o *channel.Options) { o.Dictionary = t.Of(name) })
}

func eachNamespace(c *channel.Config, f func(key, name string, o *channel.Options)) {
	f("channel.without_namespace", "", &c.WithoutNamespace)
	for i := range c.Namespaces {
		f(fmt.Sprintf("channel.namespaces[%d]", i), c.Namespaces[i].Name, &c.Namespaces[i].Options)
	}
}
