package check

import (
	"sluice/gateway/config/schema"
	"sluice/gateway/problem"
)

// This file notes a configuration that is right in every part and that nobody can use: no endpoint, no way in, no channel.

func (v *checker) usable() {
	c := &v.c.Client
	if !v.c.UniSSE.Enabled && v.c.Broadcast.Enabled {
		return // the broadcast route is for everybody
	}
	if !v.c.UniSSE.Enabled {
		v.Note("uni_sse.enabled", problem.Unusable, "false: no stream can be opened; set it to true")
	}
	if !identifies(c) && !c.AllowAnonymousConnectWithoutToken {
		v.Note("client.token", problem.Unusable, "no key, and no other way in: nobody can connect; set client.token.hmac_secret_key or another key, "+
			"client.allow_anonymous_connect_without_token, or client.proxy.connect").With(waysIn...)
	}
	if !v.subscribable() {
		v.warn("channel", "nothing that clients may ask for: only tokens and calls of the API give channels; set "+
			"channel.without_namespace.allow_subscribe_for_client, or that of a namespace%s", anonymousToo(c)).With(waysIn...)
	}
}

// waysIn are the options of which each lets somebody connect. What could not be read may have been meant as one.
var waysIn = []string{
	"client.allow_anonymous_connect_without_token", "client.insecure", "client.user_id_http_header", "client.proxy.connect.enabled",
	"client.token.hmac_secret_key", "client.token.hmac_previous_secret_key", "client.token.rsa_public_key", "client.token.ecdsa_public_key",
	"client.token.jwks_public_endpoint", "client.insecure_skip_token_signature_verify",
}

// subscribeKeys are the options of a namespace which let clients ask for channels.
var subscribeKeys = []string{"allow_subscribe_for_client", "allow_subscribe_for_anonymous", "allow_user_limited_channels", "subscribe_proxy_enabled", "subscription_type"}

// identifies reports whether a client can be somebody: by a token, a header, or what the connect hook says.
func identifies(c *schema.Client) bool {
	return hasKey(&c.Token) || c.InsecureSkipTokenSignatureVerify || c.Insecure || c.UserIDHTTPHeader != "" || c.Proxy.Connect.Enabled
}

func hasKey(t *schema.Token) bool {
	return t.HMACSecretKey != "" || t.HMACPreviousSecretKey != "" || t.RSAPublicKey != "" || t.ECDSAPublicKey != "" || t.JWKSPublicEndpoint != ""
}

func anonymousToo(c *schema.Client) string {
	if identifies(c) {
		return ""
	}
	return ", and allow_subscribe_for_anonymous there, since nobody can be anybody else"
}

// subscribable reports whether some client gets a channel at connect without a token that names it, as far as can be told: a
// hook may give any.
func (v *checker) subscribable() bool {
	c, ch := &v.c.Client, &v.c.Channel
	users := identifies(c)
	if c.Insecure || c.Proxy.Connect.Enabled || c.SubscribeToUserPersonalChannel.Enabled && users || !v.sound(schema.NamespacesKey) {
		return true
	}
	for _, ns := range v.namespaces() {
		for _, name := range subscribeKeys {
			if !v.sound(ns.key + "." + name) {
				return true
			}
		}
	}
	all := []*schema.ChannelOptions{&ch.WithoutNamespace}
	if ch.NamespaceBoundary != "" {
		for i := range ch.Namespaces {
			all = append(all, &ch.Namespaces[i].ChannelOptions)
		}
	}
	for _, o := range all {
		switch {
		case o.SubscribeProxyEnabled || o.SubscriptionType != "stream":
		case o.AllowSubscribeForClient && (users || o.AllowSubscribeForAnonymous):
			return true
		case o.AllowUserLimitedChannels && users && ch.UserBoundary != "":
			return true
		}
	}
	return false
}
