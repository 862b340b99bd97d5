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

	"sluice/codec"
)

// ID is a UUID of version 4 (RFC 9562).
type ID [16]byte

// NewID returns a random one.
func NewID() ID {
	var id ID
	_, _ = rand.Read(id[:]) // never fails (crypto/rand)
	id[6] = id[6]&0x0F | 0x40
	id[8] = id[8]&0x3F | 0x80
	return id
}

// String returns the usual form of 36 characters.
func (id ID) String() string {
	var b [36]byte
	hex.Encode(b[0:8], id[0:4])
	b[8] = '-'
	hex.Encode(b[9:13], id[4:6])
	b[13] = '-'
	hex.Encode(b[14:18], id[6:8])
	b[18] = '-'
	hex.Encode(b[19:23], id[8:10])
	b[23] = '-'
	hex.Encode(b[24:36], id[10:16])
	return string(b[:])
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
