package check

import (
	"slices"
	"strings"
	"time"

	"sluice/gateway/config/report"
	"sluice/gateway/config/schema"
)

var natsSchemes = []string{"nats", "tls", "ws", "wss"}

// nats checks what package nats does not: it sees no files.
func (v *checker) nats(key string, n *schema.NATS) {
	v.addresses(key+".url", strings.Split(n.URL, ","), natsSchemes)
	if n.Prefix == "" {
		v.Fail(key+".prefix", "empty: allowed a name, the same on all nodes of a fleet")
	}
	v.tls(key+".tls", &n.TLS, false)
}

// brokerNATS checks what only publications and history have a use for.
func (v *checker) brokerNATS(key string, n *schema.NATS) {
	enabled := key + ".jetstream.enabled"
	if !n.JetStream.Enabled {
		v.withoutJetStream(enabled)
		for _, name := range []string{"domain", "shards", "replicas", "storage", "max_bytes"} {
			if at := key + ".jetstream." + name; v.rep.Of(at) != (report.Origin{}) {
				v.warn(at, "has no effect: %s is false", enabled).With(enabled)
			}
		}
	} else {
		for at, on := range map[string]bool{key + ".allow_wildcards": n.AllowWildcards, key + ".raw_mode.enabled": n.RawMode.Enabled} {
			if on {
				v.Fail(at, "true with %s: patterns and the subjects of others have no history: allowed one of the two", enabled).With(enabled)
			}
		}
		v.withJetStream()
	}
	if raw := key + ".raw_mode.enabled"; n.RawMode.Enabled {
		for _, o := range v.namespaces() {
			if o.options.JoinLeave {
				v.warn(o.key+".join_leave", "true has no effect with %s: subjects of others carry no joins and leaves", raw).With(raw)
			}
		}
	}
}

// withoutJetStream tells of what NATS alone cannot give. Nodes of the reference start with that, too.
func (v *checker) withoutJetStream(enabled string) {
	for _, o := range v.namespaces() {
		for name, on := range map[string]bool{"force_recovery": o.options.ForceRecovery, "force_positioning": o.options.ForcePositioning} {
			if on {
				v.warn(o.key+"."+name, "true with a NATS broker that keeps no history: every connect with such a channel is refused (3004); set %s to true, or this to false", enabled).With(enabled)
			}
		}
		if o.options.HistorySize > 0 && !o.options.ForceRecovery && !o.options.ForcePositioning {
			v.warn(o.key+".history_size", "%d has no effect with a NATS broker that keeps no history; set %s to true for it", o.options.HistorySize, enabled).With(enabled)
		}
	}
}

// withJetStream refuses what streams cannot give: they let go of a position by whole seconds.
func (v *checker) withJetStream() {
	const enabled = "broker.nats.jetstream.enabled"
	if ttl := v.c.Channel.HistoryMetaTTL; ttl < time.Second {
		v.Fail(metaTTL, "%s with %s: allowed 1s or more, for JetStream counts in seconds", ttl, enabled).With(enabled)
	}
	for _, o := range v.namespaces() {
		if ttl := o.options.HistoryMetaTTL; ttl != 0 && ttl < time.Second {
			v.Fail(o.key+".history_meta_ttl", "%s with %s: allowed 1s or more, for JetStream counts in seconds", ttl, enabled).With(enabled)
		}
		if size := o.options.HistorySize; size > natsHistoryMost {
			v.Fail(o.key+".history_size", "%d with %s: allowed %d or less, for a stream is read from its first message of a channel on", size, enabled, natsHistoryMost).With(enabled)
		}
	}
}

// natsHistoryMost is the longest history of a channel in JetStream.
const natsHistoryMost = 100_000

// presenceNATS checks what only presence has a use for.
func (v *checker) presenceNATS(key string, n *schema.NATS) {
	if ttl := n.PresenceTTL; ttl < time.Second || ttl%time.Second != 0 {
		v.Fail(key+".presence_ttl", "%s: JetStream is told whole seconds: allowed one or more of them", ttl)
	}
	if key == "broker.nats" {
		return
	}
	for _, name := range []string{"allow_wildcards", "raw_mode", "reference_control", "jetstream.enabled", "jetstream.shards", "jetstream.storage", "jetstream.max_bytes", "probe_interval"} {
		if at := key + "." + name; slices.ContainsFunc([]string{at, at + ".enabled"}, func(k string) bool { return v.rep.Of(k) != (report.Origin{}) }) {
			v.warn(at, "has no effect here: it is of publications and history")
		}
	}
}
