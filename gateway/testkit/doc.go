// Package testkit is what tests of this module share: a strict reader of event streams, a raw HTTP/1.x client that keeps
// every byte, a client of the subscribe protocol, a caller of the server API, a token mint, a leak check and a few waits.
//
// It promises to be stricter than any client in the field: what a browser would forgive (a chunk size without its CRLF, an
// unknown field name, a push with two bodies) fails a test here. It waits for conditions with a deadline and never sleeps
// for a fixed time, except in [Client.Quiet], whose subject is time passing. What it opens, it closes in t.Cleanup.
//
// It is a leaf: it must not import any package of this module, because then it would repeat the errors it is there to find;
// it knows the wire and API reference only. Product code must not import it.
//
// Functions that take a testing.TB fail that test. They are for the goroutine of the test; called from another goroutine, a
// failure marks the test as failed and ends only that goroutine (runtime.Goexit), so its deferred calls run.
package testkit
