// Package nats is the engine on NATS without JetStream, as nodes of the reference speak it (PROTOCOL 10.4), so that nodes of
// both kinds serve one NATS: publications, joins and leaves are messages on a subject of their channel, and nothing is
// kept. There are no offsets, histories, idempotency keys or versions: package jetstream has them.
//
//	Publish ─ PUB <prefix>.client.<channel> ─► NATS ─► feed ─ credit ─► Sink
//
// What is published while the feed is away, or finds no room here, is lost to this node, and counted: nothing can be
// compared. In a cluster of servers a subscription is known everywhere a moment after it was
// acknowledged.
//
// With wildcards a channel may be a pattern of subjects; in raw mode subjects are channels, and payloads are data
// of publishers that know no gateway (subjects.go).
package nats
