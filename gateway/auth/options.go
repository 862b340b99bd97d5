package auth

import (
	"log/slog"
	"regexp"
)

// DefaultCacheSize is how many verified tokens a Verifier remembers.
const DefaultCacheSize = 10_000

// DefaultMaxFetches is how many key sets are fetched at once.
const DefaultMaxFetches = 32

// Options configure a [Verifier]; unless said otherwise the fields are the keys
// under client.token (PROTOCOL 4.2, 4.3, 9.2).
type Options struct {
	HMACSecretKey                   string // used as raw bytes
	HMACPreviousSecretKey           string // tried after HMACSecretKey
	HMACPreviousSecretKeyValidUntil int64  // Unix seconds, 0 = no end
	RSAPublicKey                    string // PEM: public key or certificate
	ECDSAPublicKey                  string // PEM: public key or certificate

	// JWKSPublicEndpoint is the URL of a key set, instead of all keys above.
	// It may hold {{name}} for named groups of the two expressions below, which
	// can only be what the operator wrote down unless the check is skipped.
	JWKSPublicEndpoint                  string
	InsecureSkipJWKSEndpointSafetyCheck bool

	Audience      string // one of "aud" must equal it
	AudienceRegex string // one of "aud" must match it, unanchored; not with Audience
	Issuer        string // "iss" must equal it
	IssuerRegex   string // "iss" must match it, unanchored; not with Issuer
	UserIDClaim   string // the claim that holds the user id, instead of "sub"

	// Insecure is client.insecure: connections do not expire. Tokens do.
	Insecure bool
	// InsecureSkipTokenSignatureVerify is the key of that name under client:
	// everything but the signature is checked.
	InsecureSkipTokenSignatureVerify bool
	// DisallowAnonymousConnectionTokens is the key of that name under client.
	DisallowAnonymousConnectionTokens bool

	// Previous is the verifier that this one replaces, if any: keys that it
	// fetched from the same endpoint are taken over. It is not closed.
	Previous *Verifier
	// Log is told when a key set cannot be fetched, and when it can again; nil
	// for nothing. Nothing that a token says is logged.
	Log *slog.Logger

	// MaxFetches is how many key sets are fetched at once, those of a template; 0 means
	// DefaultMaxFetches.
	MaxFetches int

	// CacheSize is how many verified tokens are remembered: 0 means
	// DefaultCacheSize, less than 0 none.
	CacheSize int
}

// claimRules are the checks of Options that need no key, ready to use.
type claimRules struct {
	audience, issuer           string
	audienceRegex, issuerRegex *regexp.Regexp
	userIDClaim                string
	disallowAnonymous          bool
	insecure                   bool
}

// newClaimRules returns those of options that were checked.
func newClaimRules(o *Options) claimRules {
	return claimRules{
		audience:          o.Audience,
		issuer:            o.Issuer,
		audienceRegex:     expression(o.AudienceRegex),
		issuerRegex:       expression(o.IssuerRegex),
		userIDClaim:       o.UserIDClaim,
		disallowAnonymous: o.DisallowAnonymousConnectionTokens,
		insecure:          o.Insecure,
	}
}

// expression returns nil for "".
func expression(text string) *regexp.Regexp {
	if text == "" {
		return nil
	}
	return regexp.MustCompile(text)
}
