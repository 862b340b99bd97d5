//go:build linux

package fanout

import "sluice/bench/load"

// ownChannels says that each stream of a worker has a channel of its own, the
// first stream the one numbered first. nil: all streams are on all channels.
type ownChannels struct {
	first                    int
	conns, channels, workers int
}

// publisher is who publishes to the stream's channel, and its number.
func (o *ownChannels) publisher(stream int) (channel int, n load.Numbers) {
	channel = o.first + stream
	return channel, load.NumbersOf(channel%o.conns, o.conns, o.channels)
}
