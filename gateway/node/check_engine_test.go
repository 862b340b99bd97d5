package node_test

import (
	"fmt"
	"strings"
	"testing"
)

func TestEnginesAreValidated(t *testing.T) {
	f := func(redis, want string) {
		t.Helper()
		for section, text := range map[string]string{
			"engine":           `{"engine": {"type": "redis", "redis": ` + redis + `}}`,
			"broker":           `{"broker": {"enabled": true, "type": "redis", "redis": ` + redis + `}}`,
			"presence_manager": `{"presence_manager": {"enabled": true, "type": "redis", "redis": ` + redis + `}}`,
		} {
			if want == "" {
				mustLoad(t, fromJSON(text))
				continue
			}
			refused(t, text, strings.ReplaceAll(want, "KEY", section+".redis"))
		}
	}
	f(`{}`, "")
	f(`{"prefix": ""}`, at+`KEY.prefix: empty: allowed a name, the same on all nodes of a fleet`)
	f(`{"address": []}`, at+`KEY.address: empty: allowed at least one address`)
	f(`{"address": [], "cluster_address": ["h:1,h:2"]}`, "")
	f(`{"sentinel_address": "h:1", "sentinel_master_name": "m", "cluster_address": "h:1"}`, at+`KEY.sentinel_address: set together with cluster_address: allowed one of them`)
	f(`{"sentinel_address": "h:1,h:2", "sentinel_master_name": "m"}`, "")
	f(`{"cluster_address": ["h:1"], "db": 1}`, at+`KEY.db: 1: a Redis Cluster has only database 0`)

	f(`{"address": "unix:///run/redis.sock", "tls": {"enabled": true}}`,
		at+`KEY.tls.enabled: true with an address that is a socket of this machine (unix://), on which nothing is encrypted: allowed one of the two`)

	// The forms of PROTOCOL 10.2, all of them.
	for _, address := range []string{
		"h:1", "redis://h:1", "redis://u:p@h:1/2", "rediss://:p@h:1", "tcp://h:1/0", "unix:///run/redis.sock", "unix://u:p@/run/redis.sock",
		"redis://h:1?connect_timeout=1s&io_timeout=300ms&force_resp2=true&tls_enabled=true",
		"redis+sentinel://h:1?sentinel_master_name=m&addr=h2:2&addr=h3:3&sentinel_user=u&sentinel_password=p&sentinel_tls_enabled=true",
		"rediss+sentinel://h:1?sentinel_master_name=m", "redis+cluster://h:1?addr=h2:2", "rediss+cluster://h:1",
	} {
		f(`{"address": "`+address+`"}`, "")
	}
	f(`{"address": ["h:1", "rediss://h:2", "redis+cluster://h:3"]}`, "")
	f(`{"address": "h:x"}`, at+`KEY.address: "h:x": expected host:port`)
	f(`{"address": "http://u:p@h:1/?q"}`, at+`KEY.address: "http://h:1/": unknown scheme "http": `+
		`expected redis, rediss, tcp, unix, or redis or rediss with +sentinel or +cluster`)
	f(`{"address": ["h:1", "redis://h:1?databse=2"]}`, at+`KEY.address[1]: unknown option "databse" behind the address: expected addr, connect_timeout, `+
		`io_timeout, force_resp2, tls_enabled, sentinel_master_name, sentinel_user, sentinel_password or sentinel_tls_enabled`)
	f(`{"address": "redis+cluster://h:1/3"}`, `KEY.db: 3: a Redis Cluster has only database 0`)

	const nats = `{"broker": {"enabled": true, "type": "nats", "nats": {"url": "`
	mustLoad(t, fromJSON(nats+`nats://a:1, tls://u:p@b:2"}}}`))
	refused(t, nats+`http://a"}}}`, at+`broker.nats.url: "http://a" is not an address: allowed host:port, or a URL with nats, tls, ws, wss`)

	mustLoad(t, fromJSON(`{"engine": {"type": "memory", "redis": {"address": "unused"}}, "broker": {"enabled": false, "type": "nats", "nats": {"url": "unused"}}}`))
	mustLoad(t, fromJSON(`{"engine": {"type": "redis", "redis": {"address": "unused"}}, "broker": {"enabled": true, "type": "memory"},
		"presence_manager": {"enabled": true, "type": "memory"}}`))
}

// Options that only one half of the engine has a use for are held against each other where that half is.
func TestOptionsOfTheHalvesAreValidated(t *testing.T) {
	broker := func(redis, want string) {
		t.Helper()
		for section, text := range map[string]string{
			"engine": `{"engine": {"type": "redis", "redis": ` + redis + `}}`,
			"broker": `{"broker": {"enabled": true, "type": "redis", "redis": ` + redis + `}}`,
		} {
			refused(t, text, at+strings.ReplaceAll(want, "KEY", section+".redis"))
		}
		mustLoad(t, fromJSON(`{"presence_manager": {"enabled": true, "type": "redis", "redis": `+redis+`}}`))
		mustLoad(t, fromJSON(`{"engine": {"redis": `+redis+`}}`))
	}
	broker(`{"sharded_pubsub": true, "reference_control": true}`,
		`KEY.sharded_pubsub: true: the reference's nodes, for which KEY.reference_control is on, hear nothing of sharded pub/sub: allowed one of the two`)
	refused(t, `{"engine": {"type": "redis", "redis": {"sharded_pubsub": true, "legacy_cluster_channels": true}}}`,
		at+`engine.redis.sharded_pubsub: needs channels with {braces}, which the legacy names lack`)

	for value, shown := range map[string]string{"500ms": "500ms", "1500ms": "1.5s"} {
		refused(t, `{"engine": {"type": "redis", "redis": {"presence_ttl": "`+value+`"}}}`,
			at+`engine.redis.presence_ttl: `+shown+`: Redis is told whole seconds: allowed one or more of them`)
		mustLoad(t, fromJSON(`{"broker": {"enabled": true, "type": "redis", "redis": {"presence_ttl": "`+value+`"}}}`))
	}
	refused(t, `{"engine": {"type": "redis"}, "channel": {"without_namespace": {"history_size": 1, "history_ttl": "500ms"}}}`,
		at+`channel.without_namespace.history_ttl: 500ms: allowed whole seconds`)
	refused(t, `{"client": {"user_connection_limit_scope": "user"}}`, at+`client.user_connection_limit_scope: "user" is unknown: allowed "fleet", "node"`)
	refused(t, `{"cluster": {"survey_timeout": 0}}`,
		at+`cluster.survey_timeout: 0 is out of range: allowed a duration such as "300ms", "25s" or "12h", at least 10ms`)
}

// What works for one node and splits several is told.
func TestHalvesOfTheEngineThatNodesDoNotShareAreNamed(t *testing.T) {
	const presence = `{"presence_manager": {"enabled": true, "type": "%s"}%s}`
	const broker = `{"broker": {"enabled": true, "type": "%s"}%s}`
	const redis = `, "engine": {"type": "redis"}`
	expectAdvice(t, fmt.Sprintf(presence, "memory", redis), `presence_manager.type: memory with engine.type redis: `+
		`each node knows the presence of its own clients only; fine for one node, else set it to redis`)
	expectAdvice(t, fmt.Sprintf(broker, "redis", ""), `engine.type: memory with broker.type redis: `+
		`each node knows the presence of its own clients only; fine for one node, else set it to redis`)
	expectAdvice(t, fmt.Sprintf(broker, "memory", redis), `broker.type: memory with engine.type redis: `+
		`publications reach the clients of one node only, although all nodes share presence; fine for one node, else set it to redis`)
	expectAdvice(t, fmt.Sprintf(presence, "redis", ""), `engine.type: memory with presence_manager.type redis: `+
		`publications reach the clients of one node only, although all nodes share presence; fine for one node, else set it to redis`)
	expectAdvice(t, fmt.Sprintf(presence, "redis", redis))
	expectAdvice(t, `{"engine": {"type": "redis", "redis": {"history_use_lists": true}}}`, `engine.redis.history_use_lists: true: lists keep no versions and are not read in reverse: `+
		`the version of a publication has no effect, and the API's history cannot be had in reverse; streams do both`)
}

// So is what has no use with the engine that there is.
func TestOptionsOfAnotherEngineAreNamed(t *testing.T) {
	for key, text := range map[string]string{
		"channel.history_empty_ttl":        `{"engine": {"type": "%s"}, "channel": {"history_empty_ttl": "20s"}}`,
		"channel.history_empty_max":        `{"engine": {"type": "%s"}, "channel": {"history_empty_max": 10}}`,
		"http_api.idempotency_max_results": `{"engine": {"type": "%s"}, "http_api": {"idempotency_max_results": 10}}`,
	} {
		expectAdvice(t, fmt.Sprintf(text, "memory"))
		expectAdvice(t, fmt.Sprintf(text, "redis"), key+`: has no effect with engine.type redis: it is of the memory engine`)
	}
	const separate = `{"engine": {"type": "redis"}, "%s": {"enabled": true, "type": "redis", "redis": {"probe_interval": "2s"}}}`
	expectAdvice(t, fmt.Sprintf(separate, "broker"))
	expectAdvice(t, fmt.Sprintf(separate, "presence_manager"), `presence_manager.redis.probe_interval: has no effect here: it is of publications and history; see engine.redis`)
}
