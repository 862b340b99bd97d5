// Package front is what stands between the gateway and the open internet:
// accepting connections, TLS and its certificates, the PROXY protocol, and what
// waits for a client. Two rooms of it know no connections: strict has the rules for
// requests, client the addresses of clients and the limits by address.
//
//	accept ─► Conn ─────────────────────────────────────► HTTP server
//	          Conn ─► loop.Wire ─► tls.Conn ─► TLSConn ─► HTTP server
//
// A gate accepts, where there is one (package gate; [Listener.ServeOn]), and this package
// decides what it carries out: a Conn is its Client. Otherwise [Listener.Accept] is what
// an HTTP server serves.
//
// A [Conn] is the lowest layer above the socket. It reads the PROXY header, so
// it knows the client, and it counts the client's unfinished requests, as it
// sees every byte that arrives.
//
// Promises: accepting never waits for a client, whatever a client leaves
// undone is bounded in time and in number by address, and so is what requests hold
// that wait for others. The limits of an address refuse its newcomer. Where memory or
// descriptors of the node are short, connections that wait for their clients are closed,
// those of the addresses with the most first; a request that is being answered, and a
// stream, never are.
// The only goroutine is the one that watches certificates. The package knows nothing of
// streams, sessions or configuration.
package front
