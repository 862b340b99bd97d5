// Package session is one client's life: it opens streams with what their
// clients may have, keeps them alive, and ends them with a reason their clients
// understand.
//
//	Manager.Open  (hijack goroutine)   interest → attach → history → open
//	Agent         (one per loop)       sessions by slot, by user; timers; ends
//	keeper        (one per loop)       presence, in order
//	teller        (one per loop)       joins and leaves, in order, behind the keeper
//
// A session is plain data owned by the turn of its loop: whoever else wants
// something of it posts a task. What may wait for an engine, presence or a hook
// runs on the blocking pool and comes back as a post that names slot and
// generation. The package knows nothing of HTTP requests or tokens.
package session

import (
	"crypto/rand"
	"encoding/hex"
	"net/netip"
	"strings"
	"sync"
	"unique"
	"unsafe"

	"sluice/codec"
	"sluice/gateway/loop"
)

// ID is a UUID of version 4 (RFC 9562).
type ID [16]byte

// NewID returns a random one.
func NewID() ID {
	id, _ := newIDs()
	return id
}

// newIDs returns two, for the price of one.
func newIDs() (one, other ID) {
	all := randoms.Get().(*random)
	all.take(one[:])
	all.take(other[:])
	randoms.Put(all)
	for _, id := range [...]*ID{&one, &other} {
		id[6] = id[6]&0x0F | 0x40
		id[8] = id[8]&0x3F | 0x80
	}
	return one, other
}

// random is random bytes that nobody has had. Why so many at once: each call of the
// generator costs as much as some hundred bytes.
type random struct {
	rest int // of bytes, at their end
	all  [32 * len(ID{})]byte
}

var randoms = sync.Pool{New: func() any { return new(random) }}

// take fills dst, which is not longer than all, and forgets what it gives away.
func (r *random) take(dst []byte) {
	if r.rest < len(dst) {
		_, _ = rand.Read(r.all[:]) // never fails (crypto/rand)
		r.rest = len(r.all)
	}
	from := r.all[len(r.all)-r.rest:]
	r.rest -= copy(dst, from)
	clear(from[:len(dst)])
}

// String returns the usual form of 36 characters.
func (id ID) String() string {
	var b idText
	return strings.Clone(id.text(&b))
}

// idText is memory for the text of an ID.
type idText [36]byte

// text is String in the memory b, which must not change as long as the text is used.
func (id *ID) text(b *idText) string {
	hex.Encode(b[0:8], id[0:4])
	b[8] = '-'
	hex.Encode(b[9:13], id[4:6])
	b[13] = '-'
	hex.Encode(b[14:18], id[6:8])
	b[18] = '-'
	hex.Encode(b[19:23], id[8:10])
	b[23] = '-'
	hex.Encode(b[24:36], id[10:16])
	return unsafe.String(&b[0], len(b))
}

// session is the server side of a stream. Owned by the loop.
type session struct {
	client, secret ID
	user           string
	info           codec.JSON // conn_info
	subs           []subscription
	// opening is what the stream begins with while it is being opened; nil
	// once the connect push is queued.
	opening *opening
	refresh *refreshState // nil unless there is a refresh hook
	// The chain of the sessions of one user: slot+1, 0 at the ends.
	next, prev uint32
	expireAt   int64 // wall time: Unix seconds, 0 for never
	// Deadlines on the loop's clock, which is monotonic, 0 for none. expireDue
	// is the first expiry of the session and its subscriptions, as found by the
	// wall clock.
	pingAt, expireDue, tickAt int64
	endsAt                    lifeTick // when its life is over, 0 for never
	used                      bool     // the slot has a session
	holds                     holding  // in Manager.users
	accepted                  bool     // the stream began, and is among LoopStats.Clients
	kind                      ClientKind
}

// holding is what a session gives back to Manager.users when it ends.
type holding uint8

const (
	holdsPlace holding = 1 << iota // one of user_connection_limit
	holdsClaim                     // to the only place, see users.claim
)

// subscription is what a session knows of a place it has in the hub.
type subscription struct {
	channel  string
	chanInfo codec.JSON
	expireAt int64 // wall time: Unix seconds, 0 for never
	// batch is the last call of Manager.Subscribe that held it.
	batch uint32
	flags subFlags
}

type subFlags uint8

const (
	subPresence subFlags = 1 << iota
	subJoinLeave
	subPositioned
	// subJoined: the join was published, so a leave is due.
	subJoined
	// subPresent: the client was put into presence.
	subPresent
	// subRenamed: presence has yet to be told of another info.
	subRenamed
)

// clientInfo is how the session stands in presence, join and leave.
func (s *session) clientInfo(sub *subscription) *codec.ClientInfo {
	return s.clientInfoOf(sub, s.client.String())
}

// clientInfoOf is clientInfo for those who have the text of the client's id.
func (s *session) clientInfoOf(sub *subscription, client string) *codec.ClientInfo {
	return &codec.ClientInfo{User: s.user, Client: client, ConnInfo: s.info, ChanInfo: sub.chanInfo}
}

// sub returns the session's subscription to a channel, nil if it has none.
func (s *session) sub(channel string) *subscription {
	for i := range s.subs {
		if s.subs[i].channel == channel {
			return &s.subs[i]
		}
	}
	return nil
}

func (s *session) dropSub(channel string) {
	for i := range s.subs {
		if s.subs[i].channel == channel {
			last := len(s.subs) - 1
			s.subs[i] = s.subs[last]
			s.subs[last] = subscription{}
			s.subs = s.subs[:last]
			return
		}
	}
}

// matches reports whether the session is one that t names; its user matches
// already.
func (s *session) matches(t *Target) bool {
	return (t.Client == "" || t.Client == s.client.String()) &&
		(t.Session == "" || t.Session == s.secret.String())
}

// table is the sessions of one loop by slot, in slabs that never move.
type table struct {
	slabs [][]session
	// addresses are the reserved addresses by slot, all zero where there is
	// none. Beside the sessions, so that they cost nothing without limits,
	// and as bytes, so that they cost the garbage collector nothing.
	addresses [][][16]byte
	traces    [][]trace  // by slot, if the log wants them
	sources   [][]source // by slot, if Options.Sources
}

const (
	slabBits = 8
	slabSize = 1 << slabBits
)

// at returns the entry of a slot, making room for it.
func (t *table) at(slot uint32) *session {
	for int(slot>>slabBits) >= len(t.slabs) {
		t.slabs = append(t.slabs, make([]session, slabSize))
	}
	return &t.slabs[slot>>slabBits][slot&(slabSize-1)]
}

// get returns the session of an open slot, nil if there is none.
func (t *table) get(ref loop.Ref) *session {
	if int(ref.Slot>>slabBits) >= len(t.slabs) {
		return nil
	}
	if s := t.at(ref.Slot); s.used {
		return s
	}
	return nil
}

// setAddress notes the address that a session has reserved.
func (t *table) setAddress(slot uint32, addr netip.Addr) {
	for int(slot>>slabBits) >= len(t.addresses) {
		t.addresses = append(t.addresses, make([][16]byte, slabSize))
	}
	t.addresses[slot>>slabBits][slot&(slabSize-1)] = addr.As16()
}

// takeAddress forgets the address of a session and returns it, the zero Addr if
// there is none.
func (t *table) takeAddress(slot uint32) netip.Addr {
	if int(slot>>slabBits) >= len(t.addresses) {
		return netip.Addr{}
	}
	key := &t.addresses[slot>>slabBits][slot&(slabSize-1)]
	if *key == ([16]byte{}) {
		return netip.Addr{}
	}
	addr := netip.AddrFrom16(*key).Unmap()
	*key = [16]byte{}
	return addr
}

// UserAgent is what a client says it is: printable ASCII of bounded length. Those of the
// same text are one. The zero value is none.
type UserAgent struct{ text unique.Handle[string] }

// agentMost bounds it, in bytes: what tells browsers apart stands before that.
const agentMost = 160

// NewUserAgent makes one of the header of a request.
func NewUserAgent(header []byte) UserAgent {
	if len(header) == 0 {
		return UserAgent{}
	}
	var b [agentMost]byte
	n := copy(b[:], header)
	for i, c := range b[:n] {
		if c < ' ' || c > '~' {
			b[i] = '?'
		}
	}
	return UserAgent{unique.Make(string(b[:n]))}
}

// String returns the text, "" for none.
func (a UserAgent) String() string {
	if a == (UserAgent{}) {
		return ""
	}
	return a.text.Value()
}

// source is where a stream came from.
type source struct {
	addr  [16]byte // all zero if nobody knows
	agent UserAgent
	began int64 // on the loop's clock
}

func sourceOf(addr netip.Addr) (b [16]byte) {
	if addr.IsValid() {
		b = addr.As16()
	}
	return b
}

// address returns the zero Addr if nobody knows it.
func (s *source) address() netip.Addr {
	if s.addr == ([16]byte{}) {
		return netip.Addr{}
	}
	return netip.AddrFrom16(s.addr).Unmap()
}

// setSource notes where a slot's stream came from.
func (t *table) setSource(slot uint32, s source) {
	for int(slot>>slabBits) >= len(t.sources) {
		t.sources = append(t.sources, make([]source, slabSize))
	}
	t.sources[slot>>slabBits][slot&(slabSize-1)] = s
}

// source returns where a slot's stream came from, the zero source if that is not kept.
func (t *table) source(slot uint32) source {
	if int(slot>>slabBits) >= len(t.sources) {
		return source{}
	}
	return t.sources[slot>>slabBits][slot&(slabSize-1)]
}

// walkSlabs is how many slabs of sessions one task of a walk looks at.
const walkSlabs = 8

// tableWalk visits the sessions of a loop, some slabs at a time, so that no turn is held
// up by it. It implements loop.Task.
type tableWalk struct {
	a     *Agent
	place loop.Walk
	visit func(slot uint32, s *session) // with the stream in hand
	done  func()                        // behind the last one; may be nil
}

// Run implements loop.Task.
func (t *tableWalk) Run(l *loop.Loop) {
	all := len(t.a.table.slabs) << slabBits
	end := min(t.place.Step()+1+walkSlabs<<slabBits, all)
	l.Walk(&t.place, func() {
		for t.place.Next(end) {
			slot := uint32(t.place.Step())
			if s := t.a.table.at(slot); s.used {
				l.Hand(slot)
				t.visit(slot, s)
			}
		}
	})
	switch {
	case end < all:
		l.Post(t)
	case t.done != nil:
		t.done()
	}
}
