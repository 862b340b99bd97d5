// Package redis holds the connections of a node to Redis: the forms of addresses,
// topologies (one server, Sentinel, Cluster, several of them side by side), names of
// keys, kinds of errors, commands with deadlines, and readers of pub/sub.
//
// # What it promises
//
//   - A command ends at its deadline, whatever the server does, and an error says
//     whether it certainly was not executed ([ErrUnavailable]) or may have been
//     ([ErrUnknown]). What certainly was not is tried again until the deadline.
//   - What waits is bounded: callers in number, commands under way in number, channels
//     that wait to be subscribed by what the callers wait for.
//   - A [Reader] hands over messages in the order of its connection and drops none: a
//     handler that blocks makes Redis wait, or cut the connection, which is told.
//   - Every dial resolves names anew, asks the Sentinels anew, and looks at the role of
//     the server that it reached.
//   - No text that it makes shows a password.
//
// # How it is made
//
//	Options ─► target (address.go) ─► Shard ─┬─ commands: rueidis over our dialer
//	                                         └─ Readers: a connection of ours each
//
// Commands go through rueidis, which pipelines what many callers ask at once and knows
// the slots of a Cluster. Readers have a decoder of ours (resp.go): rueidis queues
// messages between its connection and who reads them, which would be a queue without a
// bound or a loss, and allocates for each.
//
// It knows nothing of channels' options, publications or what messages say.
package redis
