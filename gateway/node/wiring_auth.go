package node

import (
	"sluice/gateway/auth"
	"sluice/gateway/config"
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
