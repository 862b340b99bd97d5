// Package front is what stands between the gateway and the open internet:
// accepting connections, TLS and its certificates, the PROXY protocol, the
// addresses of clients, and the limits by address.
//
//	accept ─► Conn ─────────────────────────────────────► HTTP server
//	          Conn ─► loop.Wire ─► tls.Conn ─► TLSConn ─► HTTP server
//
// A [Conn] is the lowest layer above the socket. It reads the PROXY header, so
// it knows the client, and it counts the client's unfinished requests, as it
// sees every byte that arrives.
//
// Promises: accepting never waits for a client, whatever a client leaves
// undone is bounded in time and in number by address, and a limit refuses the
// newcomer and evicts nobody. The only goroutine is the one that watches
// certificates. The package knows nothing of streams, sessions or configuration.
package front
