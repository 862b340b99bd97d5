package auth

import (
	"crypto/hmac"
	"hash"
	"sync"

	"github.com/golang-jwt/jwt/v5"
)

// scratch is memory in which tokens are decoded.
type scratch struct {
	token, payload, signature, text, sum []byte
	claims                               claims
	macs                                 []mac
}

// mac computes what a secret signs. Where there is one, the secret is not put to work anew,
// which costs more than a token of the usual size does.
type mac struct {
	method *jwt.SigningMethodHMAC
	secret []byte // never changes
	hash   hash.Hash
}

// maxMacs is how many secrets and methods a scratch knows: a configuration has two secrets
// at most, and a backend one method.
const maxMacs = 4

var scratchPool = sync.Pool{New: func() any { return new(scratch) }}

// done gives the memory back, unless it is large. Claims in it are no more.
func (s *scratch) done() {
	if cap(s.text) <= maxCachedToken {
		s.claims = claims{}
		scratchPool.Put(s)
	}
}

// signed reports whether s.signature is what the secret makes of the text
// (RFC 7515, section 3.2 of RFC 7518).
func (s *scratch) signed(method *jwt.SigningMethodHMAC, secret, text []byte) bool {
	if len(secret) == 0 {
		return false
	}
	h := s.mac(method, secret)
	_, _ = h.Write(text) // never an error
	s.sum = h.Sum(s.sum[:0])
	return hmac.Equal(s.signature, s.sum)
}

// mac returns one that has seen nothing yet.
func (s *scratch) mac(method *jwt.SigningMethodHMAC, secret []byte) hash.Hash {
	for i := range s.macs {
		// The same memory is the same secret: it never changes, and is not freed while it is known here.
		if m := &s.macs[i]; m.method == method && &m.secret[0] == &secret[0] && len(m.secret) == len(secret) {
			m.hash.Reset()
			return m.hash
		}
	}
	if len(s.macs) == maxMacs {
		clear(s.macs)
		s.macs = s.macs[:0]
	}
	h := hmac.New(method.Hash.New, secret)
	s.macs = append(s.macs, mac{method, secret, h})
	return h
}
