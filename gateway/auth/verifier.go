package auth

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"sluice/codec"
)

// maxToken is how long a token may be, in bytes.
const maxToken = 64 << 10

// maxExpiry is how far ahead a connection may expire (PROTOCOL 4.3).
const maxExpiry = 365 * 24 * time.Hour

// Stats count what a [Verifier] did. The fields are atomic and may be read from
// any goroutine.
type Stats struct {
	CacheHits      atomic.Uint64 // tokens answered from the cache
	CacheMisses    atomic.Uint64 // tokens looked at in full
	CacheEvictions atomic.Uint64 // tokens forgotten to make room
	Refused        atomic.Uint64 // tokens refused, for whatever reason
}

// Verifier verifies connection tokens. All methods may be called from any
// goroutine.
type Verifier struct {
	// Immutable after NewVerifier.
	source   keySource
	rules    claimRules
	parser   *jwt.Parser
	skipSign bool
	cache    *tokenCache // nil if there is none

	// Atomic.
	stats Stats
}

// NewVerifier checks o and returns a verifier with an empty cache. The error
// joins everything that is wrong. Without any key every token is refused.
func NewVerifier(o Options) (*Verifier, error) {
	keys, keyErr := newStaticKeys(&o)
	rules, ruleErr := newClaimRules(&o)
	if err := errors.Join(keyErr, ruleErr); err != nil {
		return nil, err
	}
	return newVerifier(&o, rules, keys), nil
}

func newVerifier(o *Options, rules claimRules, source keySource) *Verifier {
	v := &Verifier{
		source:   source,
		rules:    rules,
		parser:   jwt.NewParser(jwt.WithValidMethods(source.methods()), jwt.WithoutClaimsValidation()),
		skipSign: o.InsecureSkipTokenSignatureVerify,
	}
	switch {
	case o.CacheSize == 0:
		v.cache = newTokenCache(DefaultCacheSize, &v.stats.CacheEvictions)
	case o.CacheSize > 0:
		v.cache = newTokenCache(o.CacheSize, &v.stats.CacheEvictions)
	}
	return v
}

// Stats returns the counters of the verifier.
func (v *Verifier) Stats() *Stats { return &v.stats }

// VerifyConnect returns the identity of a connection token (PROTOCOL 4.2-4.4).
// The error wraps (use errors.As) what a client is told, and its text adds the
// detail for a log, at most a few hundred bytes of it:
//
//   - codec.DisconnectInvalidToken: malformed, forged, of a wrong algorithm,
//     type, audience or issuer, a subscription token
//   - codec.ErrTokenExpired: exp is over or nbf is still to come
//   - codec.ErrExpired: the token is valid, but expire_at is over
//   - codec.DisconnectPermissionDenied: an anonymous token where these are
//     disallowed
//   - codec.DisconnectServerError: b64info cannot be decoded, or the keys could
//     not be had
//
// Names of channels are not checked here, not even that their namespace exists.
func (v *Verifier) VerifyConnect(token string, now time.Time) (*Identity, error) {
	id, err := v.verifyConnect(token, now)
	if err != nil {
		v.stats.Refused.Add(1)
		return nil, err
	}
	return id, nil
}

func (v *Verifier) verifyConnect(token string, now time.Time) (*Identity, error) {
	if len(token) > maxToken {
		return nil, refuse(codec.DisconnectInvalidToken, fmt.Errorf("%d bytes long: at most %d expected", len(token), maxToken))
	}
	// Why: the generation is read before the keys are, so that an entry made
	// with keys that were just replaced counts as old.
	generation := v.source.generation()
	key := digestOf(token)
	if v.cache != nil {
		// Fast path: seen before.
		if e, ok := v.cache.get(key, generation, now); ok {
			v.stats.CacheHits.Add(1)
			return e.judge(now)
		}
	}
	// Slow path: decode and verify.
	v.stats.CacheMisses.Add(1)
	e, err := v.verify(token, now)
	if err != nil {
		return nil, err
	}
	if v.cache != nil && len(token) <= maxCachedToken {
		e.generation = generation
		v.cache.put(key, e)
	}
	return e.judge(now)
}

// verify returns what is worth remembering of a token: everything that does
// not depend on the time of day, for judge to decide the rest. Its order of
// checks is that of PROTOCOL 4.3.
func (v *Verifier) verify(token string, now time.Time) (*entry, error) {
	c, until, err := v.open(token, now)
	if err != nil {
		return nil, refuse(codec.DisconnectInvalidToken, err)
	}
	e := &entry{exp: c.exp, nbf: c.nbf, until: now.Add(maxEntryAge)}
	if !until.IsZero() && until.Before(e.until) {
		e.until = until
	}
	if err := cmp.Or(
		contains("aud", v.rules.audience, c.audience...),
		contains("iss", v.rules.issuer, c.Iss),
	); err != nil {
		return nil, refuse(codec.DisconnectInvalidToken, err)
	}
	if c.Channel != "" {
		return nil, refuse(codec.DisconnectInvalidToken, errors.New("claim channel: a connection token expected, this is a subscription token"))
	}
	if !e.inTime(now) {
		return e, nil
	}
	e.identity, err = v.identity(c, now)
	return e, err
}

// open returns the claims of a token whose signature is right, and until when
// that can be relied on (zero for ever).
func (v *Verifier) open(token string, now time.Time) (c *claims, until time.Time, err error) {
	body := &payload{}
	judge := func(t *jwt.Token) (keys any, err error) {
		if _, critical := t.Header["crit"]; critical {
			return nil, errors.New("header crit: no extension is known here") // RFC 7515 section 4.1.11
		}
		if c, err = decodeClaims(body.raw, v.rules.userIDClaim); err != nil {
			return nil, err
		}
		if err = v.rules.beforeSignature(c); err != nil || v.skipSign {
			return nil, err
		}
		kid, _ := t.Header["kid"].(string)
		set := jwt.VerificationKeySet{}
		set.Keys, until, err = v.source.keys(t.Method.Alg(), kid, now)
		return set, err
	}
	if !v.skipSign {
		_, err = v.parser.ParseWithClaims(token, body, judge)
		return c, until, err
	}
	t, _, err := v.parser.ParseUnverified(token, body)
	if err == nil {
		_, err = judge(t)
	}
	return c, until, err
}

func (r *claimRules) beforeSignature(c *claims) error {
	return cmp.Or(
		matches("iss", r.issuerRegex, c.Iss),
		matches("aud", r.audienceRegex, c.audience...),
	)
}

// payload takes the claims from the token parser as they are. Why: our rules
// are not those of the parser's claim types. The embedded map stays nil; it
// makes the type one of claims, and as the parser is told not to validate them
// nothing of it is called.
type payload struct {
	jwt.MapClaims
	raw []byte
}

func (p *payload) UnmarshalJSON(text []byte) error {
	p.raw = append(p.raw[:0], text...)
	return nil
}

// identity returns who the token is for.
func (v *Verifier) identity(c *claims, now time.Time) (*Identity, error) {
	id := &Identity{User: c.user}
	var err error
	if id.Subs, err = c.grants(); err != nil {
		return nil, refuse(codec.DisconnectInvalidToken, err)
	}
	if id.Info, err = jsonOrBase64("info", c.Info, c.B64Info); err != nil {
		return nil, refuse(codec.DisconnectServerError, err)
	}
	if id.Meta, err = jsonOrBase64("meta", c.Meta, ""); err != nil {
		return nil, refuse(codec.DisconnectInvalidToken, err)
	}
	if id.User == "" && v.rules.disallowAnonymous {
		return nil, refuse(codec.DisconnectPermissionDenied, errors.New("no user: disallow_anonymous_connection_tokens is set"))
	}
	if !v.rules.insecure {
		id.ExpireAt = min(c.expireAt(), now.Add(maxExpiry).Unix())
	}
	return id, nil
}

// maxDetail bounds the part of an error's text that comes from the client.
const maxDetail = 256

// refuse returns an error that wraps what the client is told: what cause wraps
// of that kind, else told.
func refuse(told *codec.Disconnect, cause error) error {
	errors.As(cause, &told)
	detail := cause.Error()
	if len(detail) > maxDetail {
		detail = strings.ToValidUTF8(detail[:maxDetail], "") + "..."
	}
	return fmt.Errorf("auth: token: %s: %w", detail, told)
}

var (
	errNotInTime = fmt.Errorf("auth: token: exp is over or nbf is still to come: %w", codec.ErrTokenExpired)
	errExpired   = fmt.Errorf("auth: token: expire_at is over: %w", codec.ErrExpired)
)
