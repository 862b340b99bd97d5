package redis

import (
	"bytes"
	"strconv"
)

// Keys lays out the names of keys and pub/sub channels as nodes of the reference do
// (PROTOCOL 10.3). In a Cluster names of a channel carry it in braces, so that they lie
// in one slot; braces inside of it are not escaped. The zero value is of no use: ask
// Shard.Keys.
type Keys struct {
	// Immutable.
	prefix      string // with its dot
	open, shut  string // around the channel in keys
	copen, cend string // around the channel in the name of its pub/sub channel
}

// newKeys returns the layout of a shard.
func newKeys(prefix string, cluster, legacy bool) Keys {
	k := Keys{prefix: prefix + "."}
	if cluster {
		k.open, k.shut = "{", "}"
		if !legacy {
			k.copen, k.cend = "{", "}"
		}
	}
	return k
}

// Client returns the pub/sub channel of the publications, joins and leaves of a channel.
func (k Keys) Client(channel string) string {
	return k.prefix + "client." + k.copen + channel + k.cend
}

// Channel returns the channel that a pub/sub channel is of, a part of name, and false
// if it is none that Client makes.
func (k Keys) Channel(name []byte) ([]byte, bool) {
	const kind = "client."
	head := len(k.prefix) + len(kind) + len(k.copen)
	if len(name) < head+len(k.cend) || !bytes.HasSuffix(name, []byte(k.cend)) || string(name[:len(k.prefix)]) != k.prefix ||
		string(name[len(k.prefix):len(k.prefix)+len(kind)]) != kind || string(name[head-len(k.copen):head]) != k.copen {
		return nil, false
	}
	return name[head : len(name)-len(k.cend)], true
}

// Stream returns the key of a channel's history as a stream.
func (k Keys) Stream(channel string) string { return k.key("stream.", channel) }

// StreamMeta returns the key of a stream's epoch, top offset and version.
func (k Keys) StreamMeta(channel string) string { return k.key("stream.meta.", channel) }

// List returns the key of a channel's history as a list.
func (k Keys) List(channel string) string { return k.key("list.", channel) }

// ListMeta returns the key of a list's epoch and top offset.
func (k Keys) ListMeta(channel string) string { return k.key("list.meta.", channel) }

// Result returns the key of what a publication with an idempotency key got.
func (k Keys) Result(channel, idempotencyKey string) string {
	return k.key("result.", channel) + "." + idempotencyKey
}

// PresenceData returns the key of the clients of a channel and what is known of them.
func (k Keys) PresenceData(channel string) string { return k.presence("data", channel) }

// PresenceExpire returns the key of when the clients of a channel expire.
func (k Keys) PresenceExpire(channel string) string { return k.presence("expire", channel) }

// PresenceUserClients returns the key of how many clients users have in a channel.
func (k Keys) PresenceUserClients(channel string) string { return k.presence("user.clients", channel) }

// PresenceUserExpire returns the key of when users of a channel expire.
func (k Keys) PresenceUserExpire(channel string) string { return k.presence("user.expire", channel) }

// Control returns the pub/sub channel of the reference's commands to all nodes.
func (k Keys) Control() string { return k.prefix + "control" }

// Node returns the pub/sub channel of the reference's commands to one node.
func (k Keys) Node(uid string) string { return k.prefix + "node." + uid }

// ShardTechnical returns the pub/sub channel by which the reference's nodes look
// whether a connection lives.
func (k Keys) ShardTechnical(i int) string { return k.prefix + "shard." + strconv.Itoa(i) }

// Own returns a name of ours, below <prefix>.sluice.
func (k Keys) Own(name string) string { return k.prefix + "sluice." + name }

func (k Keys) key(kind, channel string) string { return k.prefix + kind + k.open + channel + k.shut }

func (k Keys) presence(kind, channel string) string {
	return k.key("presence."+kind+".", channel)
}
