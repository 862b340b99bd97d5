//go:build linux

package main

// ownChannels says that each stream of a worker has a channel of its own, the
// first stream the one numbered first. nil: all streams are on all channels.
type ownChannels struct {
	first                    int
	conns, channels, workers int
}

// publisher is who publishes to the stream's channel, and its number.
func (o *ownChannels) publisher(stream int) (channel int, n numbers) {
	channel = o.first + stream
	return channel, numbersOf(channel%o.conns, o.conns, o.channels)
}

// share is how many of n things the i-th of k workers gets, and the number of
// the first of them; client.open deals streams out so.
func share(n, k, i int) (first, count int) {
	count = n / k
	first = i*count + min(i, n%k)
	if i < n%k {
		count++
	}
	return first, count
}
