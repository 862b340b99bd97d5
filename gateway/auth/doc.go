// Package auth turns what a request shows into who is asking: a connection JWT
// into an [Identity], an API key into yes or no, an Origin into allowed or not.
// It also says what a backend can be asked about a connection ([Hook]).
//
// It owns the keys of tokens, those that a key server publishes included, the
// rules of their claims (PROTOCOL 4) and a bounded cache of tokens that were
// verified before, so that a storm of reconnects costs one hash for each.
// Everything may be called from any goroutine, and the caller passes the time.
// Nothing in it blocks but the verification of a token whose key has to be
// fetched first, and it logs nothing but that a key server is down and up
// again. A [Verifier] with a key server has goroutines, until Close. New
// rules or keys of the configuration mean a new Verifier.
//
// The package must not know channel rules (a token's channels are handed out
// unresolved), the HTTP server's types, connections or where the configuration
// came from.
package auth
