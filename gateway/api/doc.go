// Package api serves the server HTTP API: what backends call to publish, to
// look at channels and to steer connections (PROTOCOL 7).
//
// It owns the paths below its prefix, the check of the key, the decoding of
// requests and the replies. There is one table of methods ([Server] builds it
// from methods.go) and one file for each; the URL of a method, the commands of
// a batch and the legacy endpoint all run the same function. A call ends within
// Options.CallTimeout, an answered publish is in the engine and in its lane, and
// nothing of a request outlives its handler.
//
// Publishing is where the gateway slows its callers down: a publication needs a
// credit before the engine sees it. Goroutines exist only within a broadcast or
// a parallel batch, at most 64 for each, and the handler waits for them.
//
// The package knows neither streams nor loops: connections are behind
// [Sessions], publications behind broker.Broker.
package api
