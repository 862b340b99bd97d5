//go:build linux

package rig

import (
	"maps"
	"strings"
	"time"
)

// OwnServer is what a mode wants of a server of our own beyond the defaults.
type OwnServer struct {
	Recoverable  bool   // the channel keeps a history, and streams resume from it
	Namespace    bool   // channels "rec:…" do so
	Compressed   bool   // streams of channels "zip:…" are compressed, if they ask for it
	RSAPublicKey string // PEM; tokens with RS256 are taken too
	FramingClose bool   // bodies end with the connection, not with a chunk
	Waiting      bool   // connections without a request may be as many as they like, for long
	TLS          bool   // streams are behind TLS, all else is on a port of its own, without
	OnRedis      bool   // the engine is Redis, a server of the run's own (Rig.Redis)

	// With recoverable: a resume may have the whole history, of so many messages.
	WholeHistory int
	// uni_sse.recovery_max_total; 0: not written. recoveryWish is written to a
	// server that knows the option.
	RecoveryTotal, RecoveryWish int64

	redis string       // host:port, of the server that OnRedis asked for
	tls   *certificate // that TLS asked for
}

// RecoverablePrefix is that of channels which keep a history where others do
// not (OwnServer.namespace).
const RecoverablePrefix = "rec:"

// CompressedPrefix is that of channels whose streams may be compressed.
const CompressedPrefix = "zip:"

// What a recoverable channel of a server of our own keeps.
const (
	HistorySize = 1000
	HistoryTTL  = 300 * time.Second

	ownHistorySize = HistorySize
	ownHistoryTTL  = "300s"

	// Most bytes that one resume may have, where it may have the whole history.
	wholeHistoryBytes = 64 << 20
)

// patient are the options of http_server for connections that wait for their client
// (OwnServer.Waiting). The limits stand, so that their accounts are kept, and are out of
// reach. A program that does not know one of the options ignores it.
var patient = map[string]any{
	"half_open_limit": 1 << 20, "idle_limit": 1 << 20, "waiting_max_bytes": 1 << 40,
	"header_timeout": "10m", "read_timeout": "10m", "idle_timeout": "10m",
}

// serverConfig is the child's config file in the nested form (PROTOCOL 9.2).
func serverConfig(port int, key, secret string, own OwnServer) map[string]any {
	type object = map[string]any
	token := object{"hmac_secret_key": secret}
	if own.RSAPublicKey != "" {
		token["rsa_public_key"] = own.RSAPublicKey
	}
	rules := func(recoverable bool) object {
		o := object{"allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true}
		if recoverable {
			o["history_size"], o["history_ttl"], o["force_recovery"] = ownHistorySize, ownHistoryTTL, true
		}
		return o
	}
	channel := object{"without_namespace": rules(own.Recoverable)}
	if own.Namespace {
		ns := rules(true)
		ns["name"] = strings.TrimSuffix(RecoverablePrefix, ":")
		channel["namespaces"] = []object{ns}
	}
	if own.Compressed {
		ns := rules(false)
		ns["name"], ns["compression"] = strings.TrimSuffix(CompressedPrefix, ":"), []string{"zstd", "gzip"}
		channel["namespaces"] = []object{ns}
	}
	stream := object{"enabled": true}
	client := object{
		"token":                                 token,
		"allow_anonymous_connect_without_token": true,
	}
	if own.WholeHistory > 0 {
		channel["without_namespace"].(object)["history_size"] = own.WholeHistory
		client["recovery_max_publication_limit"] = 0
		stream["recovery_max_bytes"] = wholeHistoryBytes
	}
	if own.FramingClose {
		stream["framing"] = "close"
	}
	if own.RecoveryTotal > 0 {
		stream["recovery_max_total"] = own.RecoveryTotal
	}
	engine := object{"type": "memory"}
	if own.redis != "" {
		engine = object{"type": "redis", "redis": object{"address": own.redis}}
	}
	listener := object{"address": "127.0.0.1", "port": port}
	if own.Waiting {
		maps.Copy(listener, patient)
	}
	if own.tls != nil {
		own.tls.apply(listener)
	}
	return object{
		"engine":      engine,
		"http_server": listener,
		"uni_sse":     stream,
		"http_api":    object{"key": key},
		"client":      client,
		"channel":     channel,
		"health":      object{"enabled": true},
		"debug":       object{"enabled": true},
	}
}
