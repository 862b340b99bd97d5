package config

import (
	"time"

	"sluice/gateway/config/schema"
)

// Of what a relay keeps unless told: enough for viewers and relays that come back, within
// relay.channel_max_bytes.
const relaySize, relayTTL = 10_000, 2 * time.Minute

// ApplyRelay turns c into what a node needs that has every channel from an origin and hands it on: the broadcast route, without a limit
// of streams and for all channels, which keep some history, whatever their names; a health check, and no API. Options that a source set
// stay as they are, a nil Report has none set.
func ApplyRelay(c *schema.Config, r *Report) {
	unless := func(key string, set func()) {
		if !r.IsSet(key) {
			set()
		}
	}
	o := &c.Channel.WithoutNamespace
	unless("broadcast.enabled", func() { c.Broadcast.Enabled = true })
	unless("broadcast.max_origin_streams", func() { c.Broadcast.MaxOriginStreams = 0 })
	unless("http_api.disabled", func() { c.HTTPAPI.Disabled = true })
	unless("health.enabled", func() { c.Health.Enabled = true })
	if !r.IsSet(schema.NamespacesKey) {
		unless("channel.namespace_boundary", func() { c.Channel.NamespaceBoundary = "" })
	}
	const without = "channel.without_namespace."
	unless(without+"broadcast", func() { o.Broadcast = true })
	if !r.IsSet(without+"history_size") && !r.IsSet(without+"history_ttl") {
		o.HistorySize, o.HistoryTTL = relaySize, relayTTL
	}
}
