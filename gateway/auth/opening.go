package auth

import (
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"sluice/codec"
)

// open returns the claims of a token whose signature is right, and until when
// that can be relied on (zero for ever).
func (v *Verifier) open(token string, now time.Time, waits Waits) (c *claims, until time.Time, err error) {
	o := opening{v: v, token: token, now: now, waits: waits}
	err = o.verify()
	if source, ok := v.source.(renewer); ok && err != nil && o.tried != nil && o.tried.kid == "" {
		var told *codec.Disconnect
		again := source.renew(o.tried, digestOf(token), func() bool { err = o.verify(); return err == nil })
		if errors.As(again, &told) {
			err = again // nobody knows whether it is good
		}
	}
	return o.claims, o.until, err
}

// opening is one look at a token.
type opening struct {
	v     *Verifier
	token string
	now   time.Time
	waits Waits

	claims *claims   // nil if it has none that can be decoded
	until  time.Time // of the keys
	tried  *keyQuery // what there were keys for, nil if it did not come to that
}

// verify checks the signature, and what comes before it.
func (o *opening) verify() error {
	body, judged := &payload{}, false
	var fault error // without the parser's words about its function
	judge := func(t *jwt.Token) (keys any, err error) {
		judged = true
		keys, err = o.keys(t, body.raw)
		fault = err
		return keys, err
	}
	var (
		t   *jwt.Token
		err error
	)
	if o.v.skipSign {
		if t, _, err = o.v.parser.ParseUnverified(o.token, body); err == nil {
			_, err = judge(t)
		}
	} else {
		t, err = o.v.parser.ParseWithClaims(o.token, body, judge)
		if err == nil {
			o.v.headers.note(t)
		}
	}
	if fault != nil {
		return fault
	}
	source, fromSet := o.v.source.(renewer)
	switch {
	case err == nil && fromSet && !o.v.skipSign:
		source.proved(o.tried)
	case err != nil && !judged && !errors.Is(err, jwt.ErrTokenMalformed):
		return because(flawAlgorithm, err) // all that the parser looks at before a key is asked for
	case fromSet && errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return because(flawKeySet, err)
	}
	return err
}

// keys checks what comes before the signature, and returns the keys that may have
// made it.
func (o *opening) keys(t *jwt.Token, payload []byte) (any, error) {
	if _, critical := t.Header["crit"]; critical {
		return nil, errors.New("header crit: no extension is known here") // RFC 7515 section 4.1.11
	}
	var err error
	c := &claims{}
	if err = c.decode(new([]byte), payload, o.v.rules.userIDClaim); err != nil {
		return nil, because(flawClaims, err)
	}
	o.claims = c
	if err = o.v.rules.beforeSignature(o.claims); err != nil || o.v.skipSign {
		return nil, err
	}
	kid, isText := t.Header["kid"].(string)
	if _, given := t.Header["kid"]; given && !isText {
		return nil, because(flawKeyID, errors.New("header kid: a string expected"))
	}
	q := &keyQuery{alg: t.Method.Alg(), kid: kid, issuer: o.claims.Iss, audience: o.claims.audience, waits: o.waits}
	set := jwt.VerificationKeySet{}
	if set.Keys, o.until, err = o.v.source.keys(q, o.now); err != nil {
		return nil, err
	}
	o.tried = q
	if len(set.Keys) == 0 {
		return nil, because(flawAlgorithm, fmt.Errorf("header alg: there is no key for %s", q.alg))
	}
	return set, nil
}

func (r *claimRules) beforeSignature(c *claims) error {
	if r.issuerRegex != nil {
		if err := matches("iss", flawIssuer, r.issuerRegex, c.Iss); err != nil {
			return err
		}
	}
	return matches("aud", flawAudience, r.audienceRegex, c.audience...)
}

func (r *claimRules) afterSignature(c *claims) error {
	if err := contains("aud", flawAudience, r.audience, c.audience...); err != nil {
		return err
	}
	if r.issuer == "" {
		return nil
	}
	return contains("iss", flawIssuer, r.issuer, c.Iss)
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
