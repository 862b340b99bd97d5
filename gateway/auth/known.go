package auth

import (
	"encoding/base64"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// knownHeaders are headers of tokens as they are written, whose tokens the parser has
// found right: all tokens of a backend have the same one, or a few. What it says of them
// does not change, and so is not worked out for each token again. There are at most
// maxKnownHeaders, and none that only strangers write.
type knownHeaders struct {
	mu  sync.Mutex // of whoever adds one
	all atomic.Pointer[[]knownHeader]
}

const maxKnownHeaders = 8

type knownHeader struct {
	text   string
	method *jwt.SigningMethodHMAC
	kid    string
}

func (k *knownHeaders) find(text string) *knownHeader {
	if all := k.all.Load(); all != nil {
		for i := range *all {
			if (*all)[i].text == text {
				return &(*all)[i]
			}
		}
	}
	return nil
}

// note remembers the header of a token that is right, if it is signed with a secret: for
// the other methods it does not count what a header costs.
func (k *knownHeaders) note(t *jwt.Token) {
	method, symmetric := t.Method.(*jwt.SigningMethodHMAC)
	if !symmetric {
		return
	}
	text, _, _ := strings.Cut(t.Raw, ".")
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []knownHeader
	if before := k.all.Load(); before != nil {
		all = *before
	}
	if len(all) == maxKnownHeaders || k.find(text) != nil {
		return
	}
	kid, _ := t.Header["kid"].(string)
	next := append(all[:len(all):len(all)], knownHeader{strings.Clone(text), method, kid})
	k.all.Store(&next)
}

// openKnown is open for tokens whose header is known and which are right. It decides
// nothing else: of any other token it reports false, and has changed nothing. Only with
// keys of the configuration, which are there at once. The claims are the scratch's.
func (v *Verifier) openKnown(s *scratch, token string, now time.Time) (c *claims, until time.Time, ok bool) {
	source, static := v.source.(*staticKeys)
	first, last := strings.IndexByte(token, '.'), strings.LastIndexByte(token, '.')
	if !static || v.skipSign || len(token) > maxCachedToken || last <= first || strings.IndexByte(token[first+1:last], '.') >= 0 {
		return nil, until, false
	}
	h := v.headers.find(token[:first])
	if h == nil {
		return nil, until, false
	}
	var err error
	s.token = append(s.token[:0], token...)
	if s.payload, err = base64.RawURLEncoding.AppendDecode(s.payload[:0], s.token[first+1:last]); err != nil {
		return nil, until, false
	}
	if s.signature, err = base64.RawURLEncoding.AppendDecode(s.signature[:0], s.token[last+1:]); err != nil {
		return nil, until, false
	}
	c = &s.claims
	if c.decode(&s.text, s.payload, v.rules.userIDClaim) != nil || v.rules.beforeSignature(c) != nil {
		return nil, until, false
	}
	q := keyQuery{alg: h.method.Alg(), kid: h.kid, issuer: c.Iss, audience: c.audience}
	keys, until, err := source.keys(&q, now)
	for _, key := range keys {
		secret, _ := key.([]byte)
		if err == nil && s.signed(h.method, secret, s.token[:last]) {
			return c, until, true
		}
	}
	return nil, until, false
}
