package check

import (
	"time"

	"sluice/gateway/config/schema"
	"sluice/gateway/problem"
)

// backlogSlack is what the backlog of a broadcast stream reaches back beyond its freshness and the reconnect delay.
const backlogSlack = 5 * time.Second

// broadcast compares what a namespace keeps with what viewers of its broadcast streams come back for. How its options fit together
// is for package channel to say.
func (v *checker) broadcast(at string, o *schema.ChannelOptions) {
	const delay, enabled = "broadcast.retry", "broadcast.enabled"
	if !o.Broadcast {
		return
	}
	freshness, ttl := at+".broadcast_freshness", at+".history_ttl"
	if !v.c.Broadcast.Enabled {
		v.Idle(at+".broadcast", enabled)
		return
	}
	if v.c.Broadcast.Retry < o.BroadcastFreshness/2 {
		v.Fail(delay, "%s is less than half of %s (%s): viewers of a stream that was cut would come back to its recording again and again; allowed %s or more",
			v.c.Broadcast.Retry, freshness, o.BroadcastFreshness, o.BroadcastFreshness/2).With(freshness)
	}
	if reach := o.BroadcastFreshness + v.c.Broadcast.Retry + backlogSlack; o.HistoryTTL > 0 && o.HistoryTTL < reach {
		v.Fail(ttl, "%s is less than the backlog of a broadcast stream reaches back (%s: broadcast_freshness, %s and %s): allowed that or more",
			o.HistoryTTL, reach, delay, backlogSlack).With(freshness, delay)
	}
}

// route notes a broadcast route that serves no channel, or not as many streams of one as a single point of presence asks for.
func (v *checker) route() {
	const on, most = "broadcast.enabled", "broadcast.max_origin_streams"
	if !v.c.Broadcast.Enabled {
		return
	}
	serves := false
	for _, ns := range v.namespaces() {
		if !ns.options.Broadcast {
			serves = serves || !v.sound(ns.key+".broadcast")
			continue
		}
		serves = true
		limit, freshness, lifetime := v.c.Broadcast.MaxOriginStreams, ns.options.BroadcastFreshness, ns.options.BroadcastLifetime
		if limit > 0 && freshness > 0 && lifetime/freshness > time.Duration(limit) {
			v.warn(most, "%d are fewer than one point of presence asks for of a channel of %s, broadcast_lifetime / broadcast_freshness = %d: viewers are told "+
				"to come back; set it to that, times the points of presence, or to 0", limit, ns.key, lifetime/freshness).With(ns.key)
		}
	}
	if !serves && v.sound(schema.NamespacesKey) {
		v.Note(on, problem.Unusable, "true, and no namespace has broadcast: every channel is answered by 404; set broadcast, history_size and history_ttl "+
			"of a namespace, or of channel.without_namespace")
	}
}

// edge looks whether what stands in front does what the broadcast route is for.
func (v *checker) edge() {
	profile := v.c.Edge.Profile
	if !v.c.Broadcast.Enabled || profile == "" || profile == "fastly" {
		return
	}
	what := "is not known to share a stream among viewers: each has one of its own here"
	if profile == "cloudflare" {
		what = "holds back what may be cached, and shares no stream: viewers of the broadcast route see no event"
	}
	v.warn("edge.profile", "%s %s; serve them at broadcast.handler_prefix past it, or by a front that does (docs: edge)", profile, what).With("broadcast.enabled")
}
