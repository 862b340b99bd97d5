package jetstream

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"

	"sluice/gateway/nats"
)

// subjects names what is where. A stream has the subjects <prefix>-js.<shard>.>; what is below
// its live it publishes again below the prefix, so that <prefix>-js.<shard>.live.client.<channel> comes as
// <prefix>.client.<channel>, where nodes without JetStream have their publications too.
type subjects struct{ prefix string }

// stream is the name of a stream.
func (s subjects) stream(shard int) string {
	return "SLUICE_" + nats.Key(s.prefix) + "_" + strconv.Itoa(shard)
}

func (s subjects) root(shard int) string { return s.prefix + "-js." + strconv.Itoa(shard) + "." }

// kept is where publications of a channel are kept, live where they come, also without a
// history.
func (s subjects) kept(shard int, channel string) string {
	return s.root(shard) + "live.client." + nats.Subject(channel)
}

func (s subjects) live(channel string) string { return s.prefix + ".client." + nats.Subject(channel) }

func (s subjects) lives(channels []string) []string {
	all := make([]string, len(channels))
	for i, ch := range channels {
		all[i] = s.live(ch)
	}
	return all
}

// channelOf reads the channel of a live subject.
func (s subjects) channelOf(subject string) (string, bool) {
	head := len(s.prefix) + len(".client.")
	if len(subject) <= head || subject[:len(s.prefix)] != s.prefix || subject[len(s.prefix):head] != ".client." {
		return "", false
	}
	return nats.Text(subject[head:])
}

// result is where the outcome of an idempotency key is kept.
func (s subjects) result(shard int, channel, key string) string {
	sum := sha256.Sum256([]byte(strconv.Itoa(len(channel)) + ":" + channel + key))
	return s.root(shard) + "result." + hex.EncodeToString(sum[:16])
}

// probe is where a node proves that a stream takes writes.
func (s subjects) probe(shard int, node string) string {
	return s.root(shard) + "probe." + nats.Key(node)
}

// marker is where nothing is ever kept.
func (s subjects) marker(shard int) string { return s.root(shard) + "marker" }
