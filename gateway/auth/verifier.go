package auth

import (
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
	KeyFetches     atomic.Uint64 // fetches of a key set, whatever came of them
	KeyFetchErrors atomic.Uint64 // fetches that brought no key set
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

	headers knownHeaders // any goroutine

	// Atomic. Shared with the verifier that this one takes the place of, so
	// that no counter ever falls.
	stats *Stats
}

// NewVerifier checks o and returns a verifier with an empty cache; with a
// JWKSPublicEndpoint it starts goroutines, until Close. The error joins
// everything that is wrong. Without any key every token is refused.
func NewVerifier(o Options) (*Verifier, error) {
	if err := o.Check().Err("auth"); err != nil {
		return nil, err
	}
	v := &Verifier{rules: newClaimRules(&o), stats: &Stats{}}
	if o.Previous != nil {
		v.stats = o.Previous.stats
	}
	if o.JWKSPublicEndpoint == "" {
		v.use(&o, newStaticKeys(&o))
		return v, nil
	}
	var previous keySource
	if o.Previous != nil {
		previous = o.Previous.source
	}
	v.use(&o, newJWKS(newEndpointURL(o.JWKSPublicEndpoint, &v.rules), newKeyClient(), &o, v.stats, previous))
	return v, nil
}

// use completes a verifier that has its rules.
func (v *Verifier) use(o *Options, source keySource) {
	v.source = source
	v.parser = jwt.NewParser(jwt.WithValidMethods(source.methods()), jwt.WithoutClaimsValidation())
	v.skipSign = o.InsecureSkipTokenSignatureVerify
	switch {
	case o.CacheSize == 0:
		v.cache = newTokenCache(DefaultCacheSize, &v.stats.CacheEvictions)
	case o.CacheSize > 0:
		v.cache = newTokenCache(o.CacheSize, &v.stats.CacheEvictions)
	}
}

// Close ends what fetches keys. The verifier goes on with the keys it has;
// calls that wait for others end with codec.DisconnectServerError. Close is
// called once, by the goroutine that owns the verifier.
func (v *Verifier) Close() { v.source.close() }

// SkipsSignatures reports whether everybody can make tokens
// (client.insecure_skip_token_signature_verify).
func (v *Verifier) SkipsSignatures() bool { return v.skipSign }

// Stats returns the counters of the verifier and of those that it took the
// place of (Options.Previous).
func (v *Verifier) Stats() *Stats { return v.stats }

// Cached returns how many tokens are remembered.
func (v *Verifier) Cached() int {
	if v.cache == nil {
		return 0
	}
	return v.cache.known.Len()
}

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
//
// It returns at once, except that a token whose key is not known yet waits for
// a fetch of the key set, less than 6 s in all (see fetchEvery), and that one
// which another goroutine is looking at waits for what that finds.
func (v *Verifier) VerifyConnect(token string, now time.Time) (*Identity, error) {
	return v.VerifyConnectWaits(token, now, nil)
}

// Waits lets a call wait for others, or not: whoever waits holds memory.
type Waits interface {
	// Begin is called before it waits, and says whether it may; if not, the call ends
	// with codec.DisconnectServerError.
	Begin() bool
	// End is called behind a wait that Begin has let be.
	End()
}

// VerifyConnectWaits is VerifyConnect for callers that want to know when it waits for
// others. nil: they do not. A call may wait more than once, but not twice at a time.
func (v *Verifier) VerifyConnectWaits(token string, now time.Time, waits Waits) (*Identity, error) {
	id, err := v.verifyConnect(token, now, waits)
	if err != nil {
		v.stats.Refused.Add(1)
		return nil, err
	}
	return id, nil
}

func (v *Verifier) verifyConnect(token string, now time.Time, waits Waits) (*Identity, error) {
	if len(token) > maxToken {
		return nil, errTooLong(token)
	}
	// Why: the generation is read before the keys are, so that an entry made
	// with keys that were just replaced counts as old.
	generation := v.source.generation()
	key := keyOf(token)
	if v.cache != nil {
		// Fast path: seen before.
		if e, ok := v.cache.get(key, generation, now); ok {
			v.stats.CacheHits.Add(1)
			return e.judge(now)
		}
	}
	// Slow path: decode and verify.
	e, err := v.look(token, key, generation, now, waits)
	if err != nil {
		return nil, err
	}
	return e.judge(now)
}

// look returns what a verification of the token finds. If another goroutine is
// about it, that one's finding counts: a storm of connects with one token costs
// one signature.
func (v *Verifier) look(token string, key tokenKey, generation uint64, now time.Time, waits Waits) (*entry, error) {
	if v.cache == nil {
		return v.lookAlone(token, key, generation, now, waits)
	}
	e, l, mine := v.cache.join(key, generation, now)
	if e != nil {
		v.stats.CacheHits.Add(1)
		return e, nil
	}
	if mine {
		defer v.cache.leave(key, l)
		l.entry, l.err = v.lookAlone(token, key, generation, now, waits)
		return l.entry, l.err
	}
	if err := l.await(waits); err != nil {
		return nil, refuse(codec.DisconnectInvalidToken, err)
	}
	if l.err != nil && !errors.Is(l.err, errMayNotWait) || l.err == nil && l.entry.usable(generation, now) {
		v.stats.CacheHits.Add(1)
		return l.entry, l.err
	}
	// It rests on keys that were withdrawn since it began, or the other one could not
	// wait for any.
	return v.lookAlone(token, key, generation, now, waits)
}

func (v *Verifier) lookAlone(token string, key tokenKey, generation uint64, now time.Time, waits Waits) (*entry, error) {
	v.stats.CacheMisses.Add(1)
	e, err := v.verify(token, now, waits)
	if err != nil {
		return nil, err
	}
	e.generation = generation
	if v.cache != nil && len(token) <= maxCachedToken {
		v.cache.put(key, e)
	}
	return e, nil
}

// verify returns what is worth remembering of a token: everything that does
// not depend on the time of day, for judge to decide the rest. Its order of
// checks is that of PROTOCOL 4.3.
func (v *Verifier) verify(token string, now time.Time, waits Waits) (*entry, error) {
	s := scratchPool.Get().(*scratch)
	defer s.done()
	var err error
	c, until, ok := v.openKnown(s, token, now)
	if !ok {
		c, until, err = v.open(token, now, waits)
	}
	if err != nil && c != nil && c.Channel != "" {
		err = fmt.Errorf("%w: %w", errSubscriptionToken, err) // these may have a key of their own
	}
	if err != nil {
		return nil, refuse(codec.DisconnectInvalidToken, err)
	}
	e := &entry{exp: momentOf(c.exp, never), nbf: momentOf(c.nbf, always), keysUntil: momentOf(until, never), found: sinceBegin(now)}
	if err := v.rules.afterSignature(c); err != nil {
		return nil, refuse(codec.DisconnectInvalidToken, err)
	}
	if c.Channel != "" {
		return nil, refuse(codec.DisconnectInvalidToken, errSubscriptionToken)
	}
	if !e.inTime(now) {
		return e, nil
	}
	e.identity, err = v.identity(c, now)
	return e, err
}

// VerifySubscription returns the user and the channel of a subscription token.
// No stream is opened with one; it is for people who want to know whether a
// token of theirs is right. The errors are those of VerifyConnect.
func (v *Verifier) VerifySubscription(token string, now time.Time) (user, channel string, err error) {
	if len(token) > maxToken {
		return "", "", errTooLong(token)
	}
	c, _, err := v.open(token, now, nil)
	if err == nil {
		err = v.rules.afterSignature(c)
	}
	if err == nil && c.Channel == "" {
		err = errors.New("claim channel: a subscription token expected, this is a connection token")
	}
	if err != nil {
		return "", "", refuse(codec.DisconnectInvalidToken, err)
	}
	if !inTime(momentOf(c.exp, never), momentOf(c.nbf, always), now) {
		return "", "", errNotInTime(momentOf(c.exp, never), momentOf(c.nbf, always), now)
	}
	return c.user, c.Channel, nil
}

// identity returns who the token is for.
func (v *Verifier) identity(c *claims, now time.Time) (*Identity, error) {
	id := &Identity{User: c.user}
	var err error
	if id.Subs, err = c.grants(); err != nil {
		return nil, refuse(codec.DisconnectInvalidToken, because(flawClaims, err))
	}
	if id.Info, err = JSONOrBase64("info", c.Info, c.B64Info); err != nil {
		return nil, refuse(codec.DisconnectServerError, err)
	}
	if id.Meta, err = JSONOrBase64("meta", c.Meta, ""); err != nil {
		return nil, refuse(codec.DisconnectInvalidToken, because(flawClaims, err))
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

// refusal is why a token is refused.
type refusal struct {
	text  string // bounded
	told  *codec.Disconnect
	cause error
}

func (e *refusal) Error() string { return e.text }

// Unwrap returns what the client is told first.
func (e *refusal) Unwrap() []error { return []error{e.told, e.cause} }

// refuse returns an error that wraps cause and what the client is told: what cause
// wraps of that kind, else told.
func refuse(told *codec.Disconnect, cause error) error {
	errors.As(cause, &told)
	detail := cause.Error()
	if len(detail) > maxDetail {
		detail = strings.ToValidUTF8(detail[:maxDetail], "") + "..."
	}
	return &refusal{fmt.Sprintf("auth: token: %s: %s", detail, told), told, cause}
}

func errTooLong(token string) error {
	return refuse(codec.DisconnectInvalidToken, because(flawTooLong, fmt.Errorf("%d bytes long: at most %d expected", len(token), maxToken)))
}

// errSubscriptionToken names the mistake: both kinds look alike.
var errSubscriptionToken = because(flawSubscription, errors.New("claim channel: a connection token expected, this is a subscription token"))

var (
	errExpired  = fmt.Errorf("auth: token: expire_at is over: %w", codec.ErrExpired)
	errBrokeOff = fmt.Errorf("auth: token: its verification broke off: %w", codec.DisconnectServerError)
)
