package front

import (
	"net"
	"net/netip"

	"sluice/gateway/front/client"
)

// Whoever waits for a hook or for a key set is a client of ours that waits for others,
// and it costs more than one that waits for nothing: the HTTP server keeps the buffer
// that it reads into, the head it has made of it, and the body, until the handler is
// done. So this is counted while it lasts, and bounded: by the memory of all
// connections and by address. Nobody is evicted for a newcomer: who has waited longest
// is the next to be answered.

const (
	// handlerBytes is what a waiting handler holds beside the request: its stack, the
	// call that it waits for, and what it has made of the request.
	handlerBytes = 48 << 10
	// handledHeads is how often the head is there as such, beside the buffer.
	handledHeads = 2
	// Of WaitingOptions.Bytes, requests that wait for others have handledShare
	// quarters, and those of one address half of that. The rest is for requests that
	// are being read: they must get their answer meanwhile, if only a refusal.
	handledShare = 3
)

// Room is what [Hold] says.
type Room uint8

const (
	RoomTaken   Room = iota
	NoRoom           // all requests that wait for others hold what they may
	NoRoomOfOwn      // those of the address do, or are as many as they may be
)

// Hold counts what the request on c, a connection of a [Listener], holds while its
// handler waits for somebody else than the client: of a head and a body of so many
// bytes. It counts for addr, the address of the client: that of the connection or what a
// trusted proxy said; trusted peers themselves count for the node only. If there is
// room, [LetGo] gives it back; otherwise nothing is to be waited for. From the goroutine
// that reads c, once at a time. Other connections have room.
func Hold(c net.Conn, addr netip.Addr, head, body int) Room {
	f, ok := c.(fronted)
	if !ok {
		return RoomTaken
	}
	b := f.bottom()
	room := b.hold(addr, head, body)
	if room == RoomTaken {
		b.aside = b.BeginWait()
	}
	return room
}

func (c *Conn) hold(addr netip.Addr, head, body int) Room {
	if c.trusted && client.Plain(addr) == addrOf(c.RemoteAddr()) {
		addr = netip.Addr{}
	}
	return c.ln.waiting.hold(&c.held, addr, head, body)
}

// LetGo gives back what [Hold] counted.
func LetGo(c net.Conn) {
	if f, ok := c.(fronted); ok {
		b := f.bottom()
		if b.aside {
			b.aside = false
			b.EndWait()
		}
		b.ln.waiting.letGo(&b.held)
	}
}

// BeginWait is told by a handler, or by whoever took the connection over, that it is about
// to wait for others: what is to be served behind it has another worker then. If it returns
// true EndWait must be called, by the same goroutine.
func (c *Conn) BeginWait() bool { return c.gated != nil && c.gated.BeginWait() }

// EndWait is the end of [Conn.BeginWait].
func (c *Conn) EndWait() { c.gated.EndWait() }

// holding is what a request holds that waits for others.
type holding struct {
	bytes int64      // 0: none does
	key   client.Key // whom it counts for; 0: nobody
}

func (w *Waiting) hold(h *holding, addr netip.Addr, head, body int) Room {
	n := int64(w.opt.Head) + handledHeads*int64(head) + int64(body) + handlerBytes
	most := w.opt.Bytes / 4 * handledShare
	if w.handled.Add(n) > most && most > 0 {
		w.handled.Add(-n)
		return NoRoom
	}
	key := client.Key(0)
	if addr.IsValid() {
		key = client.KeyOf(addr)
	}
	if !w.holdOfOwn(key, n, most/2) {
		w.handled.Add(-n)
		return NoRoomOfOwn
	}
	*h = holding{n, key}
	w.working.Add(1)
	w.held.Add(n)
	w.relieve()
	return RoomTaken
}

// holdOfOwn counts it for an address, if that has room.
func (w *Waiting) holdOfOwn(key client.Key, bytes, most int64) bool {
	if key == 0 || w.opt.PerAddress <= 0 {
		return true
	}
	s := w.stripe(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.of(key)
	defer s.keep(key, n)
	if int(n.working)+1 > w.opt.PerAddress || most > 0 && n.handled+bytes > most {
		return false
	}
	n.working++
	n.handled += bytes
	return true
}

func (w *Waiting) letGo(h *holding) {
	if h.bytes == 0 {
		return
	}
	w.working.Add(-1)
	w.handled.Add(-h.bytes)
	w.held.Add(-h.bytes)
	if h.key != 0 && w.opt.PerAddress > 0 {
		s := w.stripe(h.key)
		s.mu.Lock()
		n := s.of(h.key)
		n.working--
		n.handled -= h.bytes
		s.keep(h.key, n)
		s.mu.Unlock()
	}
	*h = holding{}
}
