package node

import (
	"fmt"

	"sluice/codec"
	"sluice/gateway/auth"
	"sluice/gateway/config"
	"sluice/gateway/proxy"
)

// AuthOptions are those of tokens, for the node and for commands that make and check them.
func AuthOptions(c *config.Client) auth.Options {
	t := &c.Token
	return auth.Options{
		HMACSecretKey:                   t.HMACSecretKey,
		HMACPreviousSecretKey:           t.HMACPreviousSecretKey,
		HMACPreviousSecretKeyValidUntil: t.HMACPreviousSecretKeyValidUntil,
		RSAPublicKey:                    t.RSAPublicKey,
		ECDSAPublicKey:                  t.ECDSAPublicKey,
		JWKSPublicEndpoint:              t.JWKSPublicEndpoint,

		InsecureSkipJWKSEndpointSafetyCheck: t.InsecureSkipJWKSEndpointSafetyChk,

		Audience:                          t.Audience,
		AudienceRegex:                     t.AudienceRegex,
		Issuer:                            t.Issuer,
		IssuerRegex:                       t.IssuerRegex,
		UserIDClaim:                       t.UserIDClaim,
		Insecure:                          c.Insecure,
		InsecureSkipTokenSignatureVerify:  c.InsecureSkipTokenSignatureVerify,
		DisallowAnonymousConnectionTokens: c.DisallowAnonymousConnectionTokens,
	}
}

func apiKeyOptions(c *config.Config) auth.APIKeyOptions {
	return auth.APIKeyOptions{Key: c.HTTPAPI.Key, Insecure: c.HTTPAPI.Insecure}
}

// newProxy makes the hooks that are switched on, nil if none is.
func (node *Node) newProxy() (*proxy.Proxy, error) {
	c := &node.cfg.Client.Proxy
	if !c.Connect.Enabled && !c.Refresh.Enabled {
		return nil, nil
	}
	opt := proxy.Options{Log: node.log, MaxChannels: node.cfg.Client.ChannelLimit}
	var err error
	if c.Connect.Enabled {
		if opt.Connect, err = hookOptions(&c.Connect, node.files.calls); err != nil {
			return nil, fmt.Errorf("gateway: client.proxy.connect: %w", err)
		}
	}
	if c.Refresh.Enabled {
		if opt.Refresh, err = hookOptions(&c.Refresh, node.files.calls); err != nil {
			return nil, fmt.Errorf("gateway: client.proxy.refresh: %w", err)
		}
	}
	return proxy.New(opt)
}

// hookSettings are the options of a hook that are settings, but for its TLS.
func hookSettings(c *config.Proxy) *proxy.HookOptions {
	opt := &proxy.HookOptions{
		Endpoint: c.Endpoint, Timeout: c.Timeout, HTTPHeaders: c.HTTPHeaders, EmulatedHeaders: c.EmulatedHeaders,
		StaticHeaders: c.HTTP.StaticHeaders, BinaryEncoding: c.BinaryEncoding,
		IncludeConnectionMeta: c.IncludeConnectionMeta,
	}
	for _, t := range c.HTTP.StatusToCodeTransforms {
		tr := proxy.Transform{Status: t.StatusCode}
		if t.ToError.Code != 0 {
			tr.Error = &codec.Error{Code: uint32(t.ToError.Code), Message: t.ToError.Message, Temporary: t.ToError.Temporary}
		}
		if t.ToDisconnect.Code != 0 {
			tr.Disconnect = &codec.Disconnect{Code: uint32(t.ToDisconnect.Code), Reason: t.ToDisconnect.Reason}
		}
		opt.Transforms = append(opt.Transforms, tr)
	}
	return opt
}

// hookOptions are those of one hook, which may have so many calls under way.
func hookOptions(c *config.Proxy, calls int) (*proxy.HookOptions, error) {
	opt := hookSettings(c)
	opt.MaxInFlight = calls
	var err error
	if opt.TLS, err = clientTLS(&c.HTTP.TLS); err != nil {
		return nil, fmt.Errorf("http.tls.%w", err)
	}
	return opt, nil
}
