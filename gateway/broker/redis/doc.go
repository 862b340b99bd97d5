// Package redis is the engine on Redis: publications, joins and leaves go through its
// pub/sub, histories are its streams (or lists), in the layout of the reference's nodes
// (PROTOCOL 10.3), so that nodes of both kinds serve one Redis. It is the Carrier
// of the nodes' commands as well.
//
// It stands on package gateway/redis, which has the connections, and on package
// reference, which has the bytes. Each shard has a link: a reader of its pub/sub, and a
// follower, which knows the subscribed channels:
//
//	Publish ─ one script ─► Redis ─ pub/sub ─► reader ─► follower ─ credit ─► Sink
//	                          └──── streams ────► comparison ──┘
//
// Order: publications of a channel enter the Sink in the order of their offsets. What
// comes out of it is dropped as a repeat, or the channel is compared.
//
// Nothing is lost in silence: pub/sub loses what is published while its connection is
// down, so the follower keeps for each channel the place of what it delivered last, with
// a sum of its bytes, and compares it with the history after every loss, and whenever
// offsets jump (compare.go). What is missing is delivered in order, while live messages
// wait, or, where the history does not reach back, its subscribers are told (Sink.Lost).
// A history that went back (a failover that lost writes) gets another epoch, also where
// nobody is subscribed any more but clients that are away may come back (past.go). A channel
// without history has nothing to compare with: what it missed is counted as possible.
//
// Back-pressure: the reader waits for Sink.Credit; Redis waits behind it. Should it cut
// the connection for that, the comparison brings what was missed.
package redis
