package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"strings"
	"unicode"
	"unsafe"

	"sluice/gateway/problem"
)

// APIKeyOptions configure [APIKeys]; the first two are the keys under http_api.
type APIKeyOptions struct {
	Key      string
	Insecure bool // every call is allowed
	// NoQuery refuses keys in the query string, which end up in access logs
	// (PROTOCOL 12.8).
	NoQuery bool
}

// Check returns what is wrong with the options, by their keys below http_api.
func (o *APIKeyOptions) Check() problem.List {
	var l problem.List
	switch {
	case o.Insecure:
		l.Note("insecure", problem.Advice, "true: everybody who reaches the API can publish and disconnect")
	case o.Key == "":
		l.Note("key", problem.Unusable, "empty: every API call will get 401; set it, or http_api.disabled")
	}
	return l
}

// APIKeys checks the keys of calls to the server API. It is immutable; all
// methods may be called from any goroutine.
type APIKeys struct {
	// Immutable after NewAPIKeys.
	key      [paddedKey]byte // the beginning of the key, and zeros
	length   int             // of the key
	sum      digest          // of the key
	hasKey   bool
	insecure bool
	noQuery  bool
}

// NewAPIKeys returns the check for the options. Without a key every call is
// refused, unless Insecure.
func NewAPIKeys(o APIKeyOptions) *APIKeys {
	k := &APIKeys{length: len(o.Key), sum: digestOf(o.Key), hasKey: o.Key != "", insecure: o.Insecure, noQuery: o.NoQuery}
	copy(k.key[:], o.Key)
	return k
}

// paddedKey is up to how many bytes a key is compared as it is.
const paddedKey = 256

// CheckAPIKey reports whether a call is allowed (PROTOCOL 7.1): header is the
// value of X-API-Key and present whether there is one, authorization that of
// Authorization, queryKey that of the query parameter api_key; empty stands for
// absent in the last two. A present header outranks Authorization; the query is
// looked at whatever the headers are.
func (k *APIKeys) CheckAPIKey(header string, present bool, authorization, queryKey string) bool {
	return k.insecure || k.Presented(header, present, authorization, queryKey)
}

// Configured reports whether there is a key that could be right.
func (k *APIKeys) Configured() bool { return k.hasKey }

// Insecure reports whether calls need no key.
func (k *APIKeys) Insecure() bool { return k.insecure }

// Presented reports whether a call brought the key, whether or not it needs one;
// the arguments are those of CheckAPIKey.
func (k *APIKeys) Presented(header string, present bool, authorization, queryKey string) bool {
	if !k.hasKey {
		return false
	}
	ok := false
	if present {
		ok = k.equal(header)
	} else {
		ok = k.equal(schemeKey(authorization))
	}
	return ok || !k.noQuery && k.equal(queryKey)
}

// Is reports whether this is the key. The time says nothing about the key, not even its
// length: what is compared is as long as what was brought.
func (k *APIKeys) Is(key []byte) bool {
	if len(key) > paddedKey {
		sum := digest(sha256.Sum256(key))
		return k.hasKey && subtle.ConstantTimeCompare(sum[:], k.sum[:]) == 1
	}
	same := subtle.ConstantTimeCompare(key, k.key[:len(key)]) & subtle.ConstantTimeEq(int32(len(key)), int32(k.length))
	return k.hasKey && same == 1
}

func (k *APIKeys) equal(key string) bool {
	// Why: a conversion would copy the key to the heap; Is only reads it.
	return k.Is(unsafe.Slice(unsafe.StringData(key), len(key)))
}

// schemeKey returns the key of "apikey <key>", empty if the value is anything
// else.
func schemeKey(authorization string) string {
	value := strings.TrimSpace(authorization)
	i := strings.IndexFunc(value, unicode.IsSpace)
	if i < 0 || !strings.EqualFold(value[:i], "apikey") {
		return ""
	}
	key := strings.TrimSpace(value[i:])
	if strings.ContainsFunc(key, unicode.IsSpace) {
		return ""
	}
	return key
}
