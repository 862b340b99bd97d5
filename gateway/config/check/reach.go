package check

import (
	"fmt"
	"sluice/gateway/config/report"
	"time"

	"sluice/gateway/config/schema"
)

// This file notes limits that another one keeps from ever being reached, and times that end before what needs them.

func (v *checker) reach() {
	v.connectionLimits()
	v.hookTimes()
	v.positionTimes()
	v.publicationSizes()
	for _, ns := range v.namespaces() {
		v.recoveryReach(ns.key, ns.options)
	}
}

// namedOptions are the options of a namespace, or of none, with the key that they stand under.
type namedOptions struct {
	key     string
	options *schema.ChannelOptions
}

func (v *checker) namespaces() []namedOptions {
	ch := &v.c.Channel
	all := []namedOptions{{"channel.without_namespace", &ch.WithoutNamespace}}
	for i := range ch.Namespaces {
		all = append(all, namedOptions{fmt.Sprintf("%s[%d]", schema.NamespacesKey, i), &ch.Namespaces[i].ChannelOptions})
	}
	return all
}

// connectionLimits compares the limits of a part of the connections with those of all. 0 is none.
func (v *checker) connectionLimits() {
	type limit struct {
		key string
		n   int
	}
	c := &v.c.Client
	streams, node := limit{"uni_sse.max_streams", v.c.UniSSE.MaxStreams}, limit{"client.connection_limit", c.ConnectionLimit}
	user, address := limit{"client.user_connection_limit", c.UserConnectionLimit}, limit{"client.address_connection_limit", c.AddressConnectionLimit}
	rate, addressRate := limit{"client.connection_rate_limit", c.ConnectionRateLimit}, limit{"client.address_connection_rate_limit", c.AddressConnectionRateLimit}
	for _, pair := range [][2]limit{{node, streams}, {user, node}, {user, streams}, {address, node}, {address, streams}, {addressRate, rate}} {
		part, all := pair[0], pair[1]
		if all.n > 0 && part.n > all.n && v.sound(part.key, all.key) {
			v.warn(part.key, "%d is more than %s (%d), so that it is never reached; set it to less", part.n, all.key, all.n)
		}
	}
}

// hookTimes compares the times of hooks with those of the connections that wait for them.
func (v *checker) hookTimes() {
	c := &v.c.Client
	const timeout, stale = "client.proxy.connect.timeout", "client.stale_close_delay"
	if h := &c.Proxy.Connect; h.Enabled && h.Timeout > c.StaleCloseDelay && v.sound(timeout, stale) {
		v.warn(timeout, "%s is more than %s (%s), in which a connect must finish, so that it is never reached; set it to less", h.Timeout, stale, c.StaleCloseDelay)
	}
	const expired = "client.expired_close_delay"
	if c.Proxy.Refresh.Enabled && v.chosen(expired, c.ExpiredCloseDelay, schema.Default().Client.ExpiredCloseDelay) {
		v.warn(expired, "%s has no effect with client.proxy.refresh, which is asked at the expiry", c.ExpiredCloseDelay)
	}
}

// positionTimes compares the checks of positions with the looks at which they happen.
func (v *checker) positionTimes() {
	c := &v.c.Client
	const check, look = "client.channel_position_check_delay", "client.presence_update_interval"
	if c.ChannelPositionCheckDelay < c.PresenceUpdateInterval && v.sound(check, look) &&
		c.ChannelPositionCheckDelay != schema.Default().Client.ChannelPositionCheckDelay {
		v.warn(check, "%s is less than %s (%s), at which checks happen, so that it means that", c.ChannelPositionCheckDelay, look, c.PresenceUpdateInterval)
	}
	const empty, retry = "channel.history_empty_ttl", "uni_sse.retry"
	if ttl, away := v.c.Channel.HistoryEmptyTTL, v.c.UniSSE.Retry.Max; ttl < away && v.sound(empty, retry) {
		v.warn(empty, "%s is less than the longest of %s (%s): a client that comes back after that is told of a gap in a channel where nothing happened; set it to more", ttl, retry, away)
	}
}

// checkInterval is the longest time between two checks of a position: they happen at the first look at which one is due.
func checkInterval(c *schema.Client) time.Duration {
	look := c.PresenceUpdateInterval
	if look <= 0 {
		return c.ChannelPositionCheckDelay
	}
	return (c.ChannelPositionCheckDelay + look - 1) / look * look
}

// publicationSizes compares the largest publication with what else bounds one. Why only where a size was chosen: by default it
// is what fits into a call, and that is fine for whoever publishes nothing large.
func (v *checker) publicationSizes() {
	const size, recovery, hold = "http_api.max_publication_size", "uni_sse.recovery_max_bytes", "client.hold_max_bytes"
	largest, _ := largestPublication(&v.c.HTTPAPI)
	if v.c.HTTPAPI.Disabled || v.c.HTTPAPI.MaxPublicationSize == 0 || !v.sound(size, "http_api.max_body_size") {
		return
	}
	if most := v.c.UniSSE.RecoveryMaxBytes; largest > most && v.sound(recovery) {
		v.warn(recovery, "%d is less than %s (%d): who misses such a publication recovers nothing; set it to more, or %s to less", most, size, largest, size)
	}
	if most := v.c.Client.HoldMaxBytes; largest > most && v.sound(hold) {
		v.warn(hold, "%d is less than %s (%d): such a publication ends the connects that are reading history; set it to more, or %s to less", most, size, largest, size)
	}
}

// recoveryReach compares what a namespace keeps with what clients that come back can have of it.
func (v *checker) recoveryReach(at string, o *schema.ChannelOptions) {
	size, ttl := at+".history_size", at+".history_ttl"
	const limit, retry = "client.recovery_max_publication_limit", "uni_sse.retry"
	away := v.c.UniSSE.Retry.Max
	if !o.ForceRecovery || !v.sound(at+".force_recovery") {
		v.positionReach(at, o)
		return
	}
	if most := v.c.Client.RecoveryMaxPublicationLimit; most > 0 && o.HistorySize > most && o.ForceRecoveryMode != "cache" && v.sound(size, limit) {
		v.warn(size, "%d is more than %s (%d): who missed more than that recovers nothing; set that to as much, or this to less", o.HistorySize, limit, most)
	}
	if o.HistoryTTL > 0 && o.HistoryTTL < away && v.sound(ttl, retry) {
		v.warn(ttl, "%s is less than the longest of %s (%s): who comes back after that recovers nothing; set it to more", o.HistoryTTL, retry, away)
	}
	v.positionReach(at, o)
}

// positionReach compares how long positions live with what keeps them alive.
func (v *checker) positionReach(at string, o *schema.ChannelOptions) {
	if !o.ForceRecovery && !o.ForcePositioning {
		return
	}
	key, ttl := at+".history_meta_ttl", o.HistoryMetaTTL
	if ttl == 0 {
		key, ttl = "channel.history_meta_ttl", v.c.Channel.HistoryMetaTTL
	}
	const check, retry = "client.channel_position_check_delay", "uni_sse.retry"
	if !v.sound(key, check, retry, "client.presence_update_interval") {
		return
	}
	if interval := checkInterval(&v.c.Client); ttl < interval {
		v.warn(key, "%s is less than the time between two checks of a position (%s, %s in steps of client.presence_update_interval), which keep it alive in %s; set it to more",
			ttl, interval, check, at)
		return
	}
	if away := v.c.UniSSE.Retry.Max; o.ForceRecovery && ttl < away {
		v.warn(key, "%s is less than the longest of %s (%s): who comes back to %s after that is told of a gap; set it to more", ttl, retry, away, at)
	}
}

// chosen reports whether a source gave the option another value than its default.
func (v *checker) chosen(key string, value, def any) bool {
	given := v.rep.Of(key) != (report.Origin{})
	return given && value != def && v.sound(key)
}
