// Package proxy asks the operator's backend over HTTP who may connect and who
// may stay: it implements [auth.Hook] (PROTOCOL 8).
//
// It owns the calls: what is sent, with which headers, how long is waited, how
// many calls are under way, and what the answers mean. It promises that a slow
// or dead backend costs at most MaxInFlight calls and, to each connect that
// needs it, the timeout; that an answer is either wholly understood or a
// failure; and that neither logs nor errors show a body, a value of a header or
// a URL's secrets. All methods may be called from any goroutine but a turn.
//
// It must not know streams, sessions, channel rules (the channels of an answer
// are handed out unresolved) or where its options came from.
package proxy
