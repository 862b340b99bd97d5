package relay

import (
	"sync/atomic"
	"time"

	"sluice/codec"
	"sluice/gateway/broker"
	"sluice/gateway/broker/history"
)

// publicationCost is what one kept publication takes beyond what its Size counts.
const publicationCost = 300

// kept is what a channel has here: its last publications, and where it stands. Its owner
// brings the lock.
type kept struct {
	history.Stream
	known bool // Top is: without it nobody knows what the next offset should be
	bytes int
	due   time.Time // of the publications: all go together, some time after the last one
}

// memory bounds what all channels together keep.
type memory struct {
	// Immutable after New.
	most int64

	// Atomic.
	used    atomic.Int64
	trimmed atomic.Uint64 // publications forgotten for want of room
}

// restart begins anew behind an offset of an epoch: nothing of before is kept.
func (g *kept) restart(m *memory, epoch string, top uint64) {
	g.clear(m)
	g.Epoch, g.Top, g.known = epoch, top, true
}

// clear forgets the publications.
func (g *kept) clear(m *memory) {
	g.Clear()
	m.used.Add(-int64(g.bytes))
	g.bytes = 0
}

// append keeps p, whose offset is the next one, for as long as there is room. Its own
// channel makes the room: others do not lose history to a loud one.
func (g *kept) append(m *memory, p *codec.Publication, keep broker.HistoryOptions, most int, now time.Time) {
	g.expire(m, now)
	if !keep.Enabled() {
		g.Top++
		p.Offset, p.Epoch = g.Top, g.Epoch
		return
	}
	for g.Len() >= keep.Size {
		g.drop(m)
	}
	g.Append(p, "", keep.Size)
	g.due = now.Add(keep.TTL)
	g.bytes += cost(p)
	m.used.Add(int64(cost(p)))
	for g.Len() > 0 && (g.bytes > most || m.used.Load() > m.most) {
		g.drop(m)
		m.trimmed.Add(1)
	}
}

func (g *kept) drop(m *memory) {
	n := cost(g.DropOldest())
	g.bytes -= n
	m.used.Add(-int64(n))
}

// expire forgets publications whose time is over.
func (g *kept) expire(m *memory, now time.Time) {
	if g.Len() > 0 && !now.Before(g.due) {
		g.clear(m)
	}
}

func cost(p *codec.Publication) int { return p.Size() + publicationCost }
