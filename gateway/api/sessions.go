package api

import (
	"context"

	"sluice/codec"
	"sluice/gateway/broker"
	"sluice/gateway/session"
)

// Sessions is what the API asks of the connections, on all nodes. All methods
// may be called from any goroutine and may wait until ctx ends. An error that
// is a *codec.Error goes to the caller of the API as it is; any other becomes
// error 100 and a line in the log. silent are the names of nodes that did not answer in
// time, printable ASCII: what the others did, or told, stands.
type Sessions interface {
	// Disconnect ends the target's connections, but for the clients in
	// whitelist.
	Disconnect(ctx context.Context, t session.Target, whitelist []string, d *codec.Disconnect) (silent []string, err error)
	// Subscribe puts the target's connections into a channel.
	Subscribe(ctx context.Context, t session.Target, cmd session.SubscribeCommand) (silent []string, err error)
	// Unsubscribe takes them out, of all channels if it is empty; only those
	// that were in it are told (PROTOCOL 12.17).
	Unsubscribe(ctx context.Context, t session.Target, channel string) (silent []string, err error)
	// Refresh changes when they expire.
	Refresh(ctx context.Context, t session.Target, cmd session.RefreshCommand) (silent []string, err error)
	// Channels returns each channel that has a subscriber and that the pattern matches, see
	// [CompilePattern]; "" matches all.
	Channels(ctx context.Context, pattern string) (found []ChannelInfo, silent []string, err error)
	// Nodes returns the nodes that are alive.
	Nodes(ctx context.Context) (nodes []NodeInfo, silent []string, err error)
}

// ChannelInfo is a channel and how many clients are subscribed to it.
type ChannelInfo struct {
	Channel string
	Clients int
}

// NodeInfo describes one node (PROTOCOL 7.10).
type NodeInfo struct {
	UID     string
	Name    string
	Version string
	Counts  session.Counts
	Uptime  int                // seconds
	Metrics *codec.NodeMetrics // nil before the first interval is over
}

// Credit bounds the bytes of publications between the entrance and the sockets
// of the streams; hub.Hub implements it.
type Credit interface {
	// TakeCredit waits a bounded time for credit for so many bytes, and makes the zero
	// credit that; after an error it still is none.
	TakeCredit(ctx context.Context, size int, credit *broker.Credit, w broker.Waiter) error
}
