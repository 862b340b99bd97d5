// Package auth turns what a request shows into who is asking: a connection JWT
// into an [Identity], an API key into yes or no, an Origin into allowed or not.
//
// It owns the keys of tokens, the rules of their claims (PROTOCOL 4) and a
// bounded cache of tokens that were verified before, so that a storm of
// reconnects costs one hash for each. Nothing in it blocks, logs or reads the
// clock: the caller passes the time, and everything may be called from any
// goroutine. New keys mean a new [Verifier].
//
// The package must not know channel rules (a token's channels are handed out
// unresolved), HTTP types, connections or where the configuration came from.
package auth
