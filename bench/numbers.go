//go:build linux

package main

import "fmt"

// Names of numbered channels end in so many digits, so that requests can be
// stamped in place.
const (
	channelDigits = 5
	maxChannels   = 100_000
)

// numberedChannel is the n-th of many channels.
func numberedChannel(prefix string, n int) string {
	return fmt.Sprintf("%s-%0*d", prefix, channelDigits, n)
}

// numbers are the channels of one publisher: those whose number modulo step is
// first. It publishes to them round and round, so that its sequence number
// tells the channel, and how many messages that had before.
type numbers struct {
	first, step, count int
}

// numbersOf are the channels of the i-th of conns publishers.
func numbersOf(i, conns, channels int) numbers {
	return numbers{first: i, step: conns, count: (channels - i + conns - 1) / conns}
}

// channel is where message seq goes.
func (n numbers) channel(seq uint32) int { return n.first + n.step*int(seq%uint32(n.count)) }

// turn is how many messages the channel of seq had before it.
func (n numbers) turn(seq uint32) uint32 { return seq / uint32(n.count) }

// before is how many of the messages numbered below sent went to a channel of
// this publisher.
func (n numbers) before(channel int, sent uint32) uint32 {
	at := uint32((channel - n.first) / n.step)
	if sent <= at {
		return 0
	}
	return (sent-at-1)/uint32(n.count) + 1
}
