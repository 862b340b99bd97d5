// Package redis is the engine on Redis: publications, joins and leaves go through its
// pub/sub, histories are its streams (or lists), in the layout of the reference's nodes
// (PROTOCOL 10.3), so that nodes of both kinds serve one Redis. It is the Carrier
// of the nodes' commands as well.
//
// It stands on package gateway/redis, which has the connections, and on package
// reference, which has the bytes. Each shard has a link: a reader of its pub/sub, and a
// follower of package follow, which knows the subscribed channels:
//
//	Publish ─ one script ─► Redis ─ pub/sub ─► reader ─► follower ─ credit ─► Sink
//	                          └──── streams ────► comparison ──┘
//
// Order: publications of a channel enter the Sink in the order of their offsets. What
// comes out of it is dropped as a repeat, or the channel is compared.
//
// Nothing is lost in silence: pub/sub loses what is published while its connection is
// down, so the follower (package follow) compares channels with their histories after every loss, and whenever
// offsets jump: what is missing is delivered in order, or its subscribers are told. A channel
// without history has nothing to compare with: what it missed is counted as possible.
//
// Back-pressure: the reader waits for Sink.Credit; Redis waits behind it. Should it cut
// the connection for that, the comparison brings what was missed.
package redis
