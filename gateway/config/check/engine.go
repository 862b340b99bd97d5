package check

import (
	"net"
	"net/url"
	"slices"
	"strings"

	"sluice/gateway/config/schema"
	"sluice/gateway/problem"
)

func (v *checker) engines() {
	c := v.c
	brokerOn := c.Broker.Enabled && v.sound("broker.type")
	presenceOn := c.PresenceManager.Enabled && v.sound("presence_manager.type")
	if c.Engine.Type == "redis" && !(brokerOn && presenceOn) {
		v.redis("engine.redis", &c.Engine.Redis)
	}
	if brokerOn && c.Broker.Type == "redis" {
		v.redis("broker.redis", &c.Broker.Redis)
	}
	if brokerOn && c.Broker.Type == "nats" {
		v.addresses("broker.nats.url", strings.Split(c.Broker.NATS.URL, ","), natsSchemes)
		v.tls("broker.nats.tls", &c.Broker.NATS.TLS, false)
	}
	if presenceOn && c.PresenceManager.Type == "redis" {
		v.redis("presence_manager.redis", &c.PresenceManager.Redis)
	}
}

var (
	redisSchemes = []string{"redis", "rediss", "unix", "tcp", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"}
	natsSchemes  = []string{"nats", "tls", "ws", "wss"}
)

func (v *checker) redis(key string, r *schema.Redis) {
	if len(r.ClusterAddress) > 0 && len(r.SentinelAddress) > 0 {
		v.Fail(key+".sentinel_address", "set together with cluster_address: allowed one of them")
	}
	if len(r.SentinelAddress) > 0 && r.SentinelMasterName == "" {
		v.Fail(key+".sentinel_master_name", "missing: sentinel_address needs the name of the master")
	}
	switch {
	case len(r.ClusterAddress) > 0:
		v.addresses(key+".cluster_address", splitAll(r.ClusterAddress), redisSchemes)
	case len(r.SentinelAddress) > 0:
		v.addresses(key+".sentinel_address", splitAll(r.SentinelAddress), redisSchemes)
	default:
		v.addresses(key+".address", r.Address, redisSchemes)
	}
	v.tls(key+".tls", &r.TLS, false)
	v.tls(key+".sentinel_tls", &r.SentinelTLS, false)
}

func splitAll(list []string) []string {
	var all []string
	for _, s := range list {
		all = append(all, strings.Split(s, ",")...)
	}
	return all
}

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
