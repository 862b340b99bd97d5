// Package strict holds the rules for requests: what reaches a handler is read alike by
// everybody on the way, and what is not is refused before its body is waited for.
//
//	strict.go  Handler, Prepare and SkipBody: what the HTTP server calls; the faults
//	head.go    the header lines        target.go  the request target, the authority
//	bytes.go   what bytes may be where
//
// It keeps no state, allocates nothing for a request that is fine, and knows of a
// connection only what [Conn] says.
package strict
