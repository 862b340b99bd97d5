// Package channel knows what a channel's name says and what its namespace
// allows.
//
// It owns the anatomy of names (namespace, private prefix, list of users), the
// options of every namespace with their checks at start, and the decision
// whether a connecting client gets a channel that it asks for. A [Rules] is
// plain data: built once by [NewRules], never changed, safe from any
// goroutine; a new configuration is a new Rules, and its owner swaps the
// pointer.
//
// The package must not know connections, engines, HTTP or where the
// configuration came from.
package channel
