package check

import (
	"time"

	"sluice/gateway/config/schema"
)

// This file notes options that mean nothing as long as another one is as it is: whoever set them meant something.

func (v *checker) idle() {
	v.idleSections()
	v.idleServer()
	v.idleToken()
	for _, ns := range v.namespaces() {
		v.idleChannel(ns.key, ns.options)
	}
}

// noEffect notes that key means nothing without another option.
func (v *checker) noEffect(idle bool, key, without string) {
	if idle && v.sound(key, without) {
		v.warn(key, "has no effect without %s", without)
	}
}

// idleSections notes what was set in sections that are not enabled. Why not all of them: a path or a name may well stand there
// for the day when it is.
func (v *checker) idleSections() {
	c := &v.c.Client
	for _, h := range v.c.Hooks() {
		v.noEffect(!h.Proxy.Enabled && h.Proxy.Endpoint != "", h.Key+".endpoint", h.Key+".enabled")
	}
	responses, disconnects := &v.c.UniSSE.ConnectCodeToHTTPResponse, &c.ConnectCodeToUnidirectionalDisconnect
	v.noEffect(!responses.Enabled && len(responses.Transforms) > 0,
		"uni_sse.connect_code_to_http_response.transforms", "uni_sse.connect_code_to_http_response.enabled")
	v.noEffect(!disconnects.Enabled && len(disconnects.Transforms) > 0,
		"client.connect_code_to_unidirectional_disconnect.transforms", "client.connect_code_to_unidirectional_disconnect.enabled")
	const personal = "client.subscribe_to_user_personal_channel."
	p := &c.SubscribeToUserPersonalChannel
	v.noEffect(!p.Enabled && p.SingleConnection, personal+"single_connection", personal+"enabled")
	v.noEffect(!p.Enabled && p.PersonalChannelNamespace != "", personal+"personal_channel_namespace", personal+"enabled")
	for _, b := range []struct {
		key, kind string
		enabled   bool
	}{{"broker", v.c.Broker.Type, v.c.Broker.Enabled}, {"presence_manager", v.c.PresenceManager.Type, v.c.PresenceManager.Enabled}} {
		v.noEffect(!b.enabled && b.kind != "memory", b.key+".type", b.key+".enabled")
	}
}

func (v *checker) idleServer() {
	s := &v.c.HTTPServer
	for _, t := range []struct {
		key string
		tls *schema.TLS
	}{{"http_server.tls", &s.TLS}, {"http_server.internal_tls", &s.InternalTLS}} {
		v.noEffect(!t.tls.Enabled && t.tls.CertPEM != "", t.key+".cert_pem", t.key+".enabled")
	}
	v.noEffect(s.ForwardedHeader != schema.Default().HTTPServer.ForwardedHeader && len(s.TrustedProxies) == 0,
		"http_server.forwarded_header", "http_server.trusted_proxies")
	_, separate := s.Internal()
	v.noEffect(v.c.HTTPAPI.External && !v.c.HTTPAPI.Disabled && !separate, "http_api.external", "http_server.internal_port")
	u := &v.c.UniSSE
	v.noEffect(!u.LastEventID && u.CursorExactBytes != schema.Default().UniSSE.CursorExactBytes, "uni_sse.cursor_exact_bytes", "uni_sse.last_event_id")
}

func (v *checker) idleToken() {
	t := &v.c.Client.Token
	const previous, until = "client.token.hmac_previous_secret_key", "client.token.hmac_previous_secret_key_valid_until"
	v.noEffect(t.HMACPreviousSecretKeyValidUntil > 0 && t.HMACPreviousSecretKey == "", until, previous)
	if end := t.HMACPreviousSecretKeyValidUntil; end > 0 && end <= v.now.Unix() && t.HMACPreviousSecretKey != "" && v.sound(until) {
		v.warn(until, "%d was %s: the previous key is not tried any more; remove both", end, time.Unix(end, 0).UTC().Format(time.RFC3339))
	}
}

func (v *checker) idleChannel(at string, o *schema.ChannelOptions) {
	v.noEffect(o.ForceRecoveryMode == "cache" && !o.ForceRecovery, at+".force_recovery_mode", at+".force_recovery")
	v.noEffect(o.ForcePushJoinLeave && !o.JoinLeave, at+".force_push_join_leave", at+".join_leave")
	v.noEffect(o.DeltaPublish && len(o.AllowedDeltaTypes) == 0, at+".delta_publish", at+".allowed_delta_types")
	v.noEffect(o.AllowUserLimitedChannels && v.c.Channel.UserBoundary == "", at+".allow_user_limited_channels", "channel.user_boundary")
	if o.SubscribeProxyEnabled && o.AllowSubscribeForClient && v.sound(at) {
		v.warn(at+".allow_subscribe_for_client", "true has no effect with %s.subscribe_proxy_enabled: clients cannot ask for these channels", at)
	}
}
