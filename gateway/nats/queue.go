package nats

import (
	"sync"

	natsgo "github.com/nats-io/nats.go"

	"sluice/gateway/shrink"
)

// queue is messages between two goroutines, bounded by their bytes.
type queue struct {
	// Immutable after newQueue.
	most int

	// Guarded by mu.
	mu     sync.Mutex
	filled *sync.Cond
	list   shrink.Queue[*natsgo.Msg]
	size   int
	closed bool
}

// messageCost is what a message takes beyond its payload and header, about.
const messageCost = 512

func newQueue(most int) *queue {
	q := &queue{most: most}
	q.filled = sync.NewCond(&q.mu)
	return q
}

func cost(m *natsgo.Msg) int { return m.Size() + messageCost }

// push adds a message; false if there is no room. One that is larger than all the room has it
// alone.
func (q *queue) push(m *natsgo.Msg) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.size > 0 && q.size+cost(m) > q.most {
		return false
	}
	q.list.Push(m)
	q.size += cost(m)
	q.filled.Signal()
	return true
}

// pop takes the oldest message, and waits for one; false once the queue is closed and empty.
func (q *queue) pop() (*natsgo.Msg, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.list.Len() == 0 {
		if q.closed {
			return nil, false
		}
		q.filled.Wait()
	}
	m := q.list.Pop()
	q.size -= cost(m)
	return m, true
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.filled.Broadcast()
}

func (q *queue) depth() (messages, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.list.Len(), q.size
}
