package sse

import (
	"crypto/rand"
	"sync"
	"time"
	"unsafe"

	"sluice/gateway/auth"
	"sluice/gateway/session"
	"sluice/gateway/shrink"
)

// What tickets may be held. An owner over a limit of its own loses its oldest
// ticket, so whoever asks for too many only harms themselves.
const (
	// maxTickets and maxTicketBytes bound those that wait to be used.
	maxTickets     = 100_000
	maxTicketBytes = 64 << 20
	// A user, as long as there is one, has a tab or two that connect at a time.
	userTickets     = 100
	userTicketBytes = 1 << 20
	// An address may be that of a whole office, or of a front that is not
	// named in http_server.trusted_proxies.
	addressTickets     = maxTickets / 10
	addressTicketBytes = maxTicketBytes / 4
	// ownersSeen is how many addresses are looked at for the one that holds
	// the most when there is no room: with fewer it is found for sure.
	ownersSeen = 64
)

// Why a ticket was dropped or not given out.
const (
	ticketOfUser    = iota // its user had too many
	ticketOfAddress        // its address had too many
	ticketOfCrowd          // its address held the most when there was no room
	ticketNoRoom           // not given out: as many owners as there is room for hold about one each
	ticketTooLarge         // not given out: it stands for too much
	ticketReasons
)

var ticketReasonNames = [ticketReasons]string{"user", "address", "crowd", "no_room", "too_large"}

// tickets are the identities that were verified and have yet to connect. The
// zero value is an empty store.
type tickets struct {
	// Guarded by mu.
	mu        sync.Mutex
	held      shrink.Map[string, *ticket]
	all       ticketList
	users     shrink.Map[string, *ticketList] // of users that have a name
	addresses shrink.Map[uint64, *ticketList] // by client.Key; 0 are those of nobody knows where
	dropped   [ticketReasons]uint64
}

// ticket is what the credentials were good for.
type ticket struct {
	key string
	// plan has what identify found out, and the headers that a refresh hook
	// will need: those of the request that brought the credentials.
	plan    session.PlanRequest
	address uint64
	due     time.Time // on the monotonic clock: it is for a span, not until a date
	bytes   int
	in      [ticketLists]struct{ older, newer *ticket }
}

// The lists that a ticket is in.
const (
	listAll = iota
	listUser
	listAddress
	ticketLists
)

// ticketList is a list of tickets by age. Its zero value is an empty listAll.
type ticketList struct {
	kind           int
	oldest, newest *ticket
	n, bytes       int
}

func (l *ticketList) add(k *ticket) {
	k.in[l.kind].older = l.newest
	if l.newest != nil {
		l.newest.in[l.kind].newer = k
	} else {
		l.oldest = k
	}
	l.newest = k
	l.n, l.bytes = l.n+1, l.bytes+k.bytes
}

// remove reports whether none is left.
func (l *ticketList) remove(k *ticket) (empty bool) {
	older, newer := k.in[l.kind].older, k.in[l.kind].newer
	if older != nil {
		older.in[l.kind].newer = newer
	} else {
		l.oldest = newer
	}
	if newer != nil {
		newer.in[l.kind].older = older
	} else {
		l.newest = older
	}
	l.n, l.bytes = l.n-1, l.bytes-k.bytes
	return l.n == 0
}

// issue returns a ticket for an identified plan and the key of an address, ""
// if there is no room; full says that this may change.
func (t *tickets) issue(plan *session.PlanRequest, address uint64, now time.Time) (key string, full bool) {
	k := &ticket{key: rand.Text(), plan: *plan, address: address, due: now.Add(ticketLife), bytes: ticketBytes(plan)}
	t.mu.Lock()
	defer t.mu.Unlock()
	if k.bytes > userTicketBytes {
		t.dropped[ticketTooLarge]++
		return "", false
	}
	for t.all.oldest != nil && !now.Before(t.all.oldest.due) {
		t.remove(t.all.oldest)
	}
	if user := plan.Identity.User; user != "" {
		t.trim(t.users.Value(user), k.bytes, userTickets, userTicketBytes, ticketOfUser)
	}
	if address != 0 {
		t.trim(t.addresses.Value(address), k.bytes, addressTickets, addressTicketBytes, ticketOfAddress)
	}
	for t.all.n >= maxTickets || t.all.bytes+k.bytes > maxTicketBytes {
		victim := t.crowd(address)
		if victim == nil {
			t.dropped[ticketNoRoom]++
			return "", true
		}
		t.drop(victim, ticketOfCrowd)
	}
	t.put(k)
	return k.key, false
}

// trim drops the oldest tickets of an owner, who may have none, until one of so
// many bytes fits its limits. Caller holds mu.
func (t *tickets) trim(l *ticketList, bytes, most, mostBytes, why int) {
	for l != nil && l.n > 0 && (l.n >= most || l.bytes+bytes > mostBytes) {
		t.drop(l.oldest, why)
	}
}

// crowd returns whose ticket makes room for one of an address: the oldest of the
// address that holds the most, if that is more than its own; else its own
// oldest; nil if it has none, and nobody more than one. Caller holds mu.
func (t *tickets) crowd(address uint64) *ticket {
	own := t.addresses.Value(address)
	most, seen := own, 0
	for _, l := range t.addresses.All() {
		if most == nil || l.weight() > most.weight() {
			most = l
		}
		if seen++; seen == ownersSeen {
			break
		}
	}
	if most == own || own == nil && most.n == 1 {
		if own == nil {
			return nil
		}
		return own.oldest
	}
	return most.oldest
}

// weight is how much of the room an owner has, in bytes: of what counts and of
// what it holds the larger part.
func (l *ticketList) weight() int { return max(l.n*(maxTicketBytes/maxTickets), l.bytes) }

func (t *tickets) drop(k *ticket, why int) {
	t.dropped[why]++
	t.remove(k)
}

// put takes a ticket in. Caller holds mu.
func (t *tickets) put(k *ticket) {
	t.held.Set(k.key, k)
	t.all.add(k)
	if user := k.plan.Identity.User; user != "" {
		listOf(&t.users, user, listUser).add(k)
	}
	listOf(&t.addresses, k.address, listAddress).add(k)
}

// remove takes a ticket out. Caller holds mu.
func (t *tickets) remove(k *ticket) {
	t.held.Delete(k.key)
	t.all.remove(k)
	if user := k.plan.Identity.User; user != "" {
		if l := t.users.Value(user); l.remove(k) {
			t.users.Delete(user)
		}
	}
	if l := t.addresses.Value(k.address); l.remove(k) {
		t.addresses.Delete(k.address)
	}
}

// listOf returns the list of an owner, made if it is new.
func listOf[K comparable](lists *shrink.Map[K, *ticketList], owner K, kind int) *ticketList {
	l := lists.Value(owner)
	if l == nil {
		l = &ticketList{kind: kind}
		lists.Set(owner, l)
	}
	return l
}

// redeem takes a ticket in and adds what it stands for to plan: it is good once.
func (t *tickets) redeem(key string, plan *session.PlanRequest, now time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := t.held.Value(key)
	if k == nil {
		return errTicket
	}
	t.remove(k)
	if !now.Before(k.due) {
		return errTicket
	}
	plan.Identity, plan.Client, plan.Headers = k.plan.Identity, k.plan.Client, k.plan.Headers
	plan.Data, plan.MayRequest = k.plan.Data, k.plan.MayRequest
	return nil
}

// TicketStats are about tickets that wait to be used.
type TicketStats struct {
	Waiting, Bytes int
	// Dropped are those that were not, and wishes that were refused, by reason.
	Dropped map[string]uint64
}

func (t *tickets) stats() TicketStats {
	t.mu.Lock()
	defer t.mu.Unlock()
	st := TicketStats{Waiting: t.all.n, Bytes: t.all.bytes, Dropped: make(map[string]uint64, ticketReasons)}
	for i, n := range t.dropped {
		st.Dropped[ticketReasonNames[i]] = n
	}
	return st
}

// ticketBytes returns about how much memory a ticket keeps: itself with its
// places in maps, and what it stands for, though a cache may share that.
func ticketBytes(plan *session.PlanRequest) int {
	const places = 200 // of keys and values in three maps, and lists of an only ticket
	id := plan.Identity
	n := int(unsafe.Sizeof(ticket{})+unsafe.Sizeof(*id)) + places
	n += len(id.User) + id.Info.Len() + id.Meta.Len() + plan.Data.Len()
	for i := range id.Subs {
		g := &id.Subs[i]
		n += int(unsafe.Sizeof(*g)) + len(g.Channel) + g.Info.Len() + g.Data.Len()
	}
	for i := range plan.Headers {
		n += int(unsafe.Sizeof(auth.Header{})) + len(plan.Headers[i].Name) + len(plan.Headers[i].Value)
	}
	return n
}
