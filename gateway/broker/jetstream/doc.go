// Package jetstream is the engine on NATS with JetStream: histories, offsets, recovery,
// idempotency keys and versions, which the reference's NATS broker lacks. It stands on package
// gateway/nats, which has the connections, on package reference, which has the bytes, and on package follow, which
// sees that nothing is missed in silence.
//
// # How it stands there
//
// Channels are spread over some streams, the shards. A publication is one message on a subject of
// its channel; its header says where in the history it is (state.go, keep.go). So the last message of a subject
// is all that is known of the channel, and whoever publishes says which one that was
// (expected-last-subject-sequence): of two nodes that publish at once one wins, and the other
// looks again. A node publishes what waits for a channel as one atomic batch, for which that is checked once.
//
//	Publish ─ lane of its channel ─ compare-and-set ─► stream ─ republish ─► feed ─► follower ─ credit ─► Sink
//	                                                     └──── direct get ────► comparison ──┘
//
// Streams publish again, on core subjects, what they keep; a node subscribes to those of channels with subscribers here.
// There are no consumers. What has no history goes over the same core subjects without a stream.
//
// Tops of histories are read from the leader of a stream, lists by direct gets, which may
// lag: a list that does not reach the top is read again.
//
// # What is told
//
// The follower compares channels with their histories after a loss of the feed, when offsets jump, when the feed dropped
// something, when a probe of a shard failed, and when it has another leader (probe.go). A stream that was purged or made
// again has other epochs, and so has one that has gone back (restored.go).
package jetstream
