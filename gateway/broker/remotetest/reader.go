package remotetest

import (
	"context"

	"sluice/codec"
	"sluice/gateway/broker"
)

// message is what the server sends to a node.
type message struct {
	kind      messageKind
	channel   string
	pub, prev *codec.Publication
	info      *codec.ClientInfo
	passed    chan<- error // of a marker
}

type messageKind uint8

const (
	publication messageKind = iota
	join
	leave
	marker
	resync // of a channel, after a break
)

// push sends a message on its way, if the node wants it and is there.
func (n *Node) push(m message) {
	n.mu.Lock()
	defer n.mu.Unlock()
	gone := n.down || n.ctx.Err() != nil
	switch {
	case m.kind == marker && gone:
		m.passed <- broker.ErrUnavailable
	case gone, m.kind != marker && n.channels[m.channel] == nil:
	default:
		n.queue = append(n.queue, m)
		n.wake.Signal()
	}
}

// drop forgets what is on its way. Caller holds mu.
func (n *Node) drop() {
	for _, m := range n.queue {
		if m.kind == marker {
			m.passed <- broker.ErrUnavailable
		}
	}
	n.queue = nil
}

// read delivers until the intake ends.
func (n *Node) read() {
	defer close(n.done)
	for {
		n.mu.Lock()
		for n.ctx.Err() == nil && (len(n.queue) == 0 || n.late > 0) {
			n.wake.Wait()
		}
		if n.ctx.Err() != nil {
			n.drop()
			n.mu.Unlock()
			return
		}
		m := n.queue[0]
		n.queue = n.queue[1:]
		s := n.channels[m.channel]
		n.mu.Unlock()
		switch {
		case m.kind == marker:
			m.passed <- nil
		case s == nil: // unsubscribed meanwhile
		case m.kind == resync:
			n.resync(m.channel, s)
		default:
			n.deliver(s, m)
		}
	}
}

// deliver hands a message to the sink, but for publications that it had.
func (n *Node) deliver(s *seen, m message) {
	if p := m.pub; p != nil && p.Offset != 0 {
		if d := s.delivered; d != nil && d.Epoch == p.Epoch && p.Offset <= d.Offset {
			return
		}
	}
	size := 100
	if m.pub != nil {
		size = m.pub.Size()
	}
	credit, err := n.sink.Credit(n.ctx, size)
	if err != nil {
		return
	}
	switch m.kind {
	case join:
		n.sink.Join(m.channel, m.info, credit)
	case leave:
		n.sink.Leave(m.channel, m.info, credit)
	default:
		if m.pub.Offset != 0 {
			s.delivered = &broker.Position{Offset: m.pub.Offset, Epoch: m.pub.Epoch}
		}
		n.sink.Publication(m.channel, m.pub, m.prev, credit)
	}
}

// resync brings what a channel missed, or tells that it cannot.
func (n *Node) resync(ch string, s *seen) {
	at := s.base
	if s.delivered != nil {
		at = *s.delivered
	}
	h := n.server.Engine.Histories(context.Background(), []broker.HistoryQuery{{Channel: ch, Since: at.Offset, Set: true, Limit: -1}})[0]
	missed := h.Publications
	whole := h.Top.Epoch == at.Epoch && (len(missed) > 0 && missed[0].Offset == at.Offset+1 || len(missed) == 0 && h.Top.Offset == at.Offset)
	if whole {
		for _, p := range missed {
			n.deliver(s, message{kind: publication, channel: ch, pub: p})
		}
		n.sink.Resynced(ch, h.Top)
		return
	}
	s.delivered = &h.Top
	n.sink.Lost(ch)
}
