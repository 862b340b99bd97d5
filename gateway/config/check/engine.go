package check

import (
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"sluice/gateway/config/report"
	"sluice/gateway/config/schema"
	"sluice/gateway/problem"
)

func (v *checker) engines() {
	c := v.c
	broker, presence := c.BrokerHalf(), c.PresenceHalf()
	brokerOK, presenceOK := v.sound(broker.Section+".type"), v.sound(presence.Section+".type")
	if brokerOK && broker.Type == "redis" {
		v.redis(broker.Section+".redis", broker.Redis)
		v.brokerRedis(broker.Section+".redis", broker.Redis)
	}
	if presenceOK && presence.Type == "redis" {
		if presence.Section != broker.Section || !brokerOK {
			v.redis(presence.Section+".redis", presence.Redis)
		}
		v.presenceRedis(presence.Section+".redis", presence.Redis)
	}
	if brokerOK && broker.Type == "nats" {
		v.nats(broker.Section+".nats", broker.NATS)
		v.brokerNATS(broker.Section+".nats", broker.NATS)
	}
	if presenceOK && presence.Type == "nats" {
		v.nats(presence.Section+".nats", presence.NATS)
		v.presenceNATS(presence.Section+".nats", presence.NATS)
	}
	if brokerOK && presenceOK {
		v.halves(broker, presence)
		v.withoutHalf(broker, presence)
	}
}

// withoutHalf tells of options that only another engine has a use for, or only the other half.
func (v *checker) withoutHalf(broker, presence schema.Half) {
	if broker.Type != "memory" {
		const empty, results = "channel.history_empty_", "http_api.idempotency_max_results"
		for _, key := range []string{empty + "ttl", empty + "max", results} {
			if v.rep.Of(key) != (report.Origin{}) {
				v.warn(key, "has no effect with %s.type %s: it is of the memory engine", broker.Section, broker.Type).With(broker.Section + ".type")
			}
		}
	}
	if presence.Type == "redis" && presence.Section != broker.Section {
		for _, name := range []string{"reference_control", "sharded_pubsub", "legacy_cluster_channels", "history_use_lists", "probe_interval"} {
			if key := presence.Section + ".redis." + name; v.rep.Of(key) != (report.Origin{}) {
				v.warn(key, "has no effect here: it is of publications and history; see %s", broker.Section+".redis")
			}
		}
	}
}

// halves tells of an engine of which nodes share one half only.
func (v *checker) halves(broker, presence schema.Half) {
	const brokerKey, presenceKey = "broker.type", "presence_manager.type"
	switch alone := "memory"; {
	case broker.Type != alone && presence.Type == alone:
		share := "set it to " + broker.Type
		if presence.Section == "engine" && broker.Type == "nats" { // which engine.type cannot be
			share = "set presence_manager.enabled to true, and its type to nats"
		}
		v.warn(presence.Section+".type", "memory with %s.type %s: each node knows the presence of its own clients only; fine for one node, else %s", broker.Section, broker.Type, share).
			With(brokerKey, presenceKey)
	case broker.Type == alone && presence.Type != alone:
		v.warn(broker.Section+".type", "memory with %s.type %s: publications reach the clients of one node only, although all nodes share presence; fine for one node, else set it to %s", presence.Section, presence.Type, presence.Type).
			With(brokerKey, presenceKey)
	}
}

// brokerRedis checks what only publications and history have a use for.
func (v *checker) brokerRedis(key string, r *schema.Redis) {
	reference, sharded, lists := key+".reference_control", key+".sharded_pubsub", key+".history_use_lists"
	if r.ShardedPubSub && r.ReferenceControl {
		v.Fail(sharded, "true: the reference's nodes, for which %s is on, hear nothing of sharded pub/sub: allowed one of the two", reference).With(reference)
	}
	if r.HistoryUseLists {
		v.warn(lists, "true: lists keep no versions and are not read in reverse: the version of a publication has no effect, and the API's history cannot be had in reverse; streams do both")
	}
}

// presenceRedis checks what only presence has a use for.
func (v *checker) presenceRedis(key string, r *schema.Redis) {
	if ttl := r.PresenceTTL; ttl < time.Second || ttl%time.Second != 0 {
		v.Fail(key+".presence_ttl", "%s: Redis is told whole seconds: allowed one or more of them", ttl)
	}
}

// redis checks what package redis does not: it sees no files, and of the ways to name servers the one that counts.
func (v *checker) redis(key string, r *schema.Redis) {
	if len(r.ClusterAddress) > 0 && len(r.SentinelAddress) > 0 {
		v.Fail(key+".sentinel_address", "set together with cluster_address: allowed one of them").With(key + ".cluster_address")
	}
	if len(r.ClusterAddress)+len(r.SentinelAddress) == 0 && len(r.Address) == 0 {
		v.Fail(key+".address", "empty: allowed at least one address").With(key+".cluster_address", key+".sentinel_address")
	}
	if r.TLS.Enabled && slices.ContainsFunc(r.Address, isSocket) && len(r.ClusterAddress)+len(r.SentinelAddress) == 0 {
		v.Fail(key+".tls.enabled", "true with an address that is a socket of this machine (unix://), on which nothing is encrypted: allowed one of the two").With(key + ".address")
	}
	if r.Prefix == "" {
		v.Fail(key+".prefix", "empty: allowed a name, the same on all nodes of a fleet")
	}
	v.tls(key+".tls", &r.TLS, false)
	v.tls(key+".sentinel_tls", &r.SentinelTLS, false)
}

func isSocket(address string) bool { return strings.HasPrefix(strings.TrimSpace(address), "unix://") }

// addresses checks that each address is host:port or a URL with one of the schemes.
func (v *checker) addresses(key string, list, schemes []string) {
	if len(list) == 0 {
		v.Fail(key, "empty: allowed at least one address")
	}
	for _, a := range list {
		if !isAddress(strings.TrimSpace(a), schemes) {
			v.Fail(key, "%s is not an address: allowed host:port, or a URL with %s", problem.URL(a), strings.Join(schemes, ", "))
		}
	}
}

func isAddress(a string, schemes []string) bool {
	if scheme, _, isURL := strings.Cut(a, "://"); isURL {
		u, err := url.Parse(a)
		return err == nil && slices.Contains(schemes, scheme) && (u.Host != "" || u.Path != "")
	}
	_, port, err := net.SplitHostPort(a)
	return err == nil && port != ""
}
