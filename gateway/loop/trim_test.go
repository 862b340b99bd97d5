package loop

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// After a burst to all streams the arrays of their queues are given back, though
// pings go on.
func TestQueuesOfABurstAreGivenBack(t *testing.T) {
	for name, pings := range map[string]int{"pings": 100, "silence but for one": 1} {
		t.Run(name, func(t *testing.T) {
			const streams = 2000
			l, _ := bareLoop(t, Options{})
			setClock(l, began)
			l.trim.began = began
			var refs []Ref
			for range streams {
				ref := pretend(l)
				l.at(ref.Slot).fd = -1
				refs = append(refs, ref)
			}
			l.in.ahead = firstShare
			sendAndTake(l, refs, firstShare)
			l.in.ahead = 0
			require.GreaterOrEqual(t, roomOf(l), streams*firstShare)
			now := began
			for ; now <= began+3*trimEvery; now += trimEvery / 10 {
				setClock(l, now)
				sendAndTake(l, refs[:pings], 1)
				l.trimQueues()
			}
			require.LessOrEqual(t, len(l.queues), 2*keepQueues)
			require.LessOrEqual(t, roomOf(l), 2*keepQueues*keepItems)
			// And with some queues in use at the time.
			l.in.ahead = firstShare
			sendAndTake(l, refs, firstShare)
			l.in.ahead = 0
			l.enqueue(refs[0].Slot, item{frame: frameOf("", strings.Repeat("w", 10))})
			for end := now + 3*trimEvery + trimEvery/10; now <= end; now += trimEvery / 10 {
				setClock(l, now)
				sendAndTake(l, refs[1:pings], 1)
				l.trimQueues()
			}
			require.LessOrEqual(t, roomOf(l), 2*keepQueues*keepItems)
			l.dropQueue(refs[0].Slot)
		})
	}
}

// sendAndTake queues so many frames for each stream, and takes them as if they were
// written.
func sendAndTake(l *Loop, refs []Ref, frames int) {
	for range frames {
		for _, ref := range refs {
			l.enqueue(ref.Slot, item{frame: frameOf("", "x")})
		}
	}
	for _, ref := range refs {
		q := &l.queues[l.at(ref.Slot).queue-1]
		n := 0
		for i := range q.items {
			n += q.items[i].size(0)
		}
		l.advanceQueue(ref.Slot, n)
		l.at(ref.Slot).dirty = false
	}
	l.dirty, l.dirtyHead = l.dirty[:0], 0
}

// roomOf is how many places all queues have.
func roomOf(l *Loop) (n int) {
	for i := range l.queues {
		n += cap(l.queues[i].items)
	}
	return n
}
