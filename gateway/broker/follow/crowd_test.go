package follow

import (
	"context"
	"sync"
	"testing"

	"sluice/codec"
	"sluice/gateway/broker"
)

// positioned is a subscriber with a position, as a hub has it: it knows what it saw, and
// whether it was told that it is at no place any more.
type positioned struct {
	at   broker.Position
	seen map[uint64]string
	told bool
}

// crowd is a sink with a listener in each channel.
type crowd struct {
	t  *testing.T
	mu sync.Mutex
	by map[string]*positioned
	// losses counts what was told to be lost in a channel: a hub knows whether that came
	// since a subscriber on its way began to read.
	losses map[string]int
	// bare counts publications without history, which nothing may repeat.
	bare map[string]int
	out  int
}

func (c *crowd) Publication(ch string, p, _ *codec.Publication, credit *broker.Credit) {
	credit.Release()
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.by[ch]
	switch {
	case p.Offset == 0:
		c.bare[p.Data.String()]++
	case l == nil || l.told:
	case p.Epoch != l.at.Epoch:
		l.told = true
	case p.Offset <= l.at.Offset:
	case p.Offset > l.at.Offset+1:
		l.told = true // a hole, which the hub tells
	default:
		l.at.Offset = p.Offset
		l.seen[p.Offset] = p.Data.String()
	}
}

func (c *crowd) Join(string, *codec.ClientInfo, *broker.Credit)  {}
func (c *crowd) Leave(string, *codec.ClientInfo, *broker.Credit) {}

func (c *crowd) Resynced(ch string, top broker.Position) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.by[ch]; l != nil && (l.at.Epoch != top.Epoch || l.at.Offset < top.Offset) {
		l.told = true
	}
}

func (c *crowd) Lost(ch string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.losses[ch]++
	if l := c.by[ch]; l != nil {
		l.told = true
	}
}

func (c *crowd) Credit(_ context.Context, size int) (*broker.Credit, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out++
	return broker.NewCredit(int64(size)+1, func(int64) {
		go func() { // Release comes from under the lock, too
			c.mu.Lock()
			defer c.mu.Unlock()
			c.out--
		}()
	}), nil
}
