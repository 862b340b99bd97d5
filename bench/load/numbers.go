//go:build linux

package load

import "fmt"

// Names of numbered channels end in so many digits, so that requests can be
// stamped in place.
const (
	channelDigits = 5
	maxChannels   = 100_000
)

// NumberedChannel is the n-th of many channels.
func NumberedChannel(prefix string, n int) string {
	return fmt.Sprintf("%s-%0*d", prefix, channelDigits, n)
}

// Numbers are the channels of one publisher: those whose number modulo step is
// first. It publishes to them round and round, so that its sequence number
// tells the channel, and how many messages that had before.
type Numbers struct {
	First, step, count int
}

// NumbersOf are the channels of the i-th of conns publishers.
func NumbersOf(i, conns, channels int) Numbers {
	return Numbers{First: i, step: conns, count: (channels - i + conns - 1) / conns}
}

// Channel is where message seq goes.
func (n Numbers) Channel(seq uint32) int { return n.First + n.step*int(seq%uint32(n.count)) }

// Turn is how many messages the channel of seq had before it.
func (n Numbers) Turn(seq uint32) uint32 { return seq / uint32(n.count) }

// Before is how many of the messages numbered below sent went to a channel of
// this publisher.
func (n Numbers) Before(channel int, sent uint32) uint32 {
	at := uint32((channel - n.First) / n.step)
	if sent <= at {
		return 0
	}
	return (sent-at-1)/uint32(n.count) + 1
}
