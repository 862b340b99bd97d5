// Package client tells who a client is by its address, and what one address may have: the
// address that trusted proxies name ([Proxies]), the key under which addresses share limits
// ([Key]), and the limits of streams and connects by address ([Limits]).
//
// It never waits, and its memory is bounded. It knows nothing of connections.
package client
