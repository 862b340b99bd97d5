// Package nats is the connections of a node to NATS, and what it asks of JetStream there. The
// engines (broker/nats, broker/jetstream) and presence/nats stand on it; it knows neither
// channels nor publications.
//
// A node has two connections, so that what it asks never waits behind what is delivered:
//
//	Calls  requests with one answer or several, each with a deadline (calls.go, jetstream.go)
//	Feed   subscriptions, whose messages one goroutine hands over in order (feed.go)
//
// Both go on trying for as long as the node lives; nothing is buffered while they are away:
// a call fails at once then.
//
// # Order and markers
//
// NATS acknowledges no subscription, and passes interest on to its other servers later. A
// marker says what can be said: [Feed.Marker] sends a message through the place that
// publications come from (the leader of a stream, say) whose answer comes back over the feed. When it is
// there, subscriptions that were made before are known on that way, and what that
// place had sent before has been handed over.
//
// # Names
//
// Subjects are tokens between dots; [Subject] writes any text as such, readable where it can
// be, and [Text] reads it again. [Key] writes it as one token that key-value buckets take.
package nats
