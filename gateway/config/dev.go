package config

import (
	"time"

	"sluice/gateway/config/schema"
)

// ApplyDev turns c into what a first run on one machine needs: loopback only, SSE and health on, a log for people, anonymous clients,
// channels with history, recovery and presence, and a few namespaces to try. Options that a source set stay as they are,
// a nil Report has none set. secret signs tokens and apiKey opens the API; the caller makes them at random.
//
// Options that only make sense together (history and recovery, or Sluice's slow policies, which exclude them) are left
// alone as a whole when one of them is set.
func ApplyDev(c *schema.Config, r *Report, secret, apiKey string) {
	unless := func(key string, set func()) {
		if !r.IsSet(key) {
			set()
		}
	}
	unless("http_server.address", func() { c.HTTPServer.Address = "127.0.0.1" })
	unless("uni_sse.enabled", func() { c.UniSSE.Enabled = true })
	unless("uni_sse.bounded_streams", func() { c.UniSSE.BoundedStreams = true })
	unless("uni_sse.retry", func() { c.UniSSE.Retry = DurationRange{Min: time.Second, Max: 2 * time.Second} })
	unless("log", func() { c.Log.Format = "text" })
	unless("health.enabled", func() { c.Health.Enabled = true })
	unless("client.token.hmac_secret_key", func() { c.Client.Token.HMACSecretKey = secret })
	unless("http_api.key", func() { c.HTTPAPI.Key = apiKey })
	unless("client.allow_anonymous_connect_without_token", func() { c.Client.AllowAnonymousConnectWithoutToken = true })

	const without = "channel.without_namespace."
	o, dev := &c.Channel.WithoutNamespace, devChannel()
	unless(without+"allow_subscribe_for_client", func() { o.AllowSubscribeForClient = true })
	unless(without+"allow_subscribe_for_anonymous", func() { o.AllowSubscribeForAnonymous = true })
	unless(without+"presence", func() { o.Presence = true })
	unless(without+"join_leave", func() { o.JoinLeave = true })
	together := []string{
		"history_size", "history_ttl", "history_meta_ttl", "force_recovery", "force_recovery_mode", "slow_policy", "conflate_key", "max_rate",
	}
	metaFree := !r.IsSet("channel.history_meta_ttl")
	free := metaFree
	for _, name := range together {
		free = free && !r.IsSet(without+name)
	}
	if free {
		o.HistorySize, o.HistoryTTL, o.ForceRecovery = dev.HistorySize, dev.HistoryTTL, true
	}
	unless(schema.NamespacesKey, func() {
		if metaFree {
			c.Channel.Namespaces = devNamespaces()
		}
	})
}

// devChannel returns the options of a channel that shows everything: history, recovery, presence.
func devChannel() ChannelOptions {
	o := Default().Channel.WithoutNamespace
	o.AllowSubscribeForClient, o.AllowSubscribeForAnonymous = true, true
	o.Presence, o.JoinLeave = true, true
	o.HistorySize, o.HistoryTTL, o.ForceRecovery = 100, 300*time.Second, true
	return o
}

// devNamespaces returns one namespace for each way to use channels: chat pushes joins and leaves, cache starts with the
// latest publication, live keeps nothing and drops for slow streams.
func devNamespaces() []Namespace {
	chat := devChannel()
	chat.ForcePushJoinLeave = true

	cache := devChannel()
	cache.Presence, cache.JoinLeave = false, false
	cache.HistorySize, cache.ForceRecoveryMode, cache.AutoCacheRecover = 1, "cache", true

	live := devChannel()
	live.Presence, live.JoinLeave = false, false
	live.HistorySize, live.HistoryTTL, live.ForceRecovery = 0, 0, false
	live.SlowPolicy = "drop_oldest"

	return []Namespace{{Name: "chat", ChannelOptions: chat}, {Name: "cache", ChannelOptions: cache}, {Name: "live", ChannelOptions: live}}
}
