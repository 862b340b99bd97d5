package session

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"sluice/codec"
	"sluice/gateway/auth"
	"sluice/gateway/channel"
	"sluice/gateway/hub"
)

// Grant is one channel that a connection gets, with the rules that apply to it.
type Grant struct {
	Channel string
	Rules   *channel.Options
	Info    codec.JSON // chan_info
	Data    codec.JSON // of the SubscribeResult
	// What the namespace says, unless an override said otherwise.
	Presence, JoinLeave, PushJoinLeave bool
	Positioned, Recoverable            bool
	Delta                              bool
	ExpireAt                           int64 // Unix seconds, 0 for never
	// Recover is where the client says it was; nil if it did not ask.
	Recover *recoverRequest
	// AutoRecover: a connect hook asked for the latest publication.
	AutoRecover bool
	// follows are the groups that the stream may follow, and whether it has the dictionary
	// of the channel, see Plan.follow.
	follows hub.Features
	// backlog is where a broadcast stream begins; nil for any other.
	backlog *Backlog
}

func newGrant(ch string, rules *channel.Options, o auth.Override) Grant {
	if rules.MaxRate > 0 {
		// Publications are left out for all subscribers: who wanted every
		// one would lose its position again and again.
		o.ForceRecovery, o.ForcePositioning = auth.Unset, auth.Unset
	}
	g := Grant{
		Channel: ch, Rules: rules,
		Presence:      o.Presence.Or(rules.Presence),
		JoinLeave:     o.JoinLeave.Or(rules.JoinLeave),
		PushJoinLeave: o.ForcePushJoinLeave.Or(rules.ForcePushJoinLeave),
		Recoverable:   o.ForceRecovery.Or(rules.ForceRecovery),
	}
	g.Positioned = g.Recoverable || o.ForcePositioning.Or(rules.ForcePositioning)
	return g
}

// cacheRecover reports whether the latest publication is due without the client
// having asked.
func (g *Grant) cacheRecover() bool {
	return g.Recoverable && (g.AutoRecover || g.Rules.AutoCacheRecover)
}

// wasRecovering is the flag of that name in the SubscribeResult.
func (g *Grant) wasRecovering() bool {
	return g.Recover != nil ||
		g.cacheRecover() && g.Rules.ForceRecoveryMode == channel.RecoveryCache
}

// Plan is what a connection will be once it is open. Its place among the user's
// connections is reserved: [Manager.Open] and [Manager.Abandon] give it back.
type Plan struct {
	User     string
	Info     codec.JSON
	ExpireAt int64      // Unix seconds, 0 for never
	Data     codec.JSON // connect.data of a connect hook
	Grants   []Grant

	client, secret ID
	meta           codec.JSON    // for a refresh hook
	headers        []auth.Header // for a refresh hook
	address        netip.Addr    // whose place it has; the zero Addr for none
	counted        bool
	kind           ClientKind
	// evicts is the user's personal channel if the user's other connections
	// end (single_connection), "" if they may stay.
	evicts string
	claim  uint64 // to the only place of the user, 0 for none; see users.claim
	others bool   // there were others of the user when it claimed the place
	fleet  bool   // the claim is one of all nodes
	// claimed is when it claimed the place. owes: it is open with a claim of this node
	// alone, see settler.
	claimed time.Time
	owes    bool
	// broadcast is what a stream of the broadcast route is told; nil for any other.
	broadcast *BroadcastRequest
	one       [1]Grant // the memory of Grants, where that is enough
	memory    *Memory  // of the opening; nil: not yet
}

// Client returns the id that the connection will have, for hooks.
func (p *Plan) Client() ID { return p.client }

// Offer returns what the body of the stream may be coded in: codings that the namespaces
// of all its channels have, as the first channel's prefers them. It must not be written to.
func (p *Plan) Offer() (o codec.Offer) {
	for i := range p.Grants {
		if d := p.Grants[i].Rules.Dictionary; d != nil && !slices.Contains(o.Dictionaries, d) {
			o.Dictionaries = append(o.Dictionaries, d)
		}
	}
	for i := range p.Grants {
		offered := p.Grants[i].Rules.Compression
		if len(o.Dictionaries) > 0 {
			offered = withDcz(offered)
		}
		switch {
		case i == 0:
			o.Codings = offered
		case !slices.Equal(o.Codings, offered):
			o.Codings = slices.DeleteFunc(slices.Clone(o.Codings), func(c codec.Coding) bool { return !slices.Contains(offered, c) })
		}
	}
	return o
}

// withDcz returns the codings of a namespace on a stream that may have a dictionary, maybe
// another one's: where there is zstd, its events can go between those that refer to it.
func withDcz(all []codec.Coding) []codec.Coding {
	i := slices.Index(all, codec.CodingZstd)
	if i < 0 || slices.Contains(all, codec.CodingDcz) {
		return all
	}
	return slices.Insert(slices.Clone(all), i, codec.CodingDcz)
}

// follow lets a compressed stream follow groups, if it has one channel and what it is sent
// is what all get: any other would hardly ever be where a group is.
func (p *Plan) follow(conn *Conn, cursors bool) {
	for i := range p.Grants {
		p.Grants[i].refer(conn.Dictionary)
	}
	if c := conn.Coding; c == codec.CodingIdentity || len(p.Grants) != 1 || p.Grants[0].Delta {
		return
	}
	if g := &p.Grants[0]; g.Recoverable && cursors {
		g.follows |= hub.FollowsWithID
	} else {
		g.follows |= hub.FollowsBare
	}
}

// refer has events of the channel refer to the dictionary of a stream, if it is theirs.
func (g *Grant) refer(d *codec.Dictionary) {
	if d != nil && g.Rules.Dictionary == d {
		g.follows |= hub.Refers
	}
}

// dictionary returns that of the stream if events of the channel refer to it, else nil.
func (g *Grant) dictionary() *codec.Dictionary {
	if g.follows&hub.Refers != 0 {
		return g.Rules.Dictionary
	}
	return nil
}

// PlanRequest is who connects and what was asked for.
type PlanRequest struct {
	Identity *auth.Identity
	// Client is the id that the connection will have, if a connect hook was
	// told of it already; the zero ID for a new one.
	Client ID
	Kind   ClientKind
	Data   codec.JSON // of a connect hook, for the connect push
	// Headers are those of the client's request that the hooks need.
	Headers []auth.Header
	// Requested are the subs of the connect request. They are granted by
	// the rules of PROTOCOL 5.4 if MayRequest is set; otherwise they only
	// say where the client was in channels that the identity grants.
	Requested  []codec.SubRequest
	MayRequest bool
	// Cursor is what the client's last event id says, if anything: positions
	// in whatever channels it was subscribed to.
	Cursor []codec.CursorEntry
	// Lost says that the client brought an id that says nothing: it was somewhere, and
	// may have missed anything.
	Lost bool
	// Personal says that the personal channel is due (PROTOCOL 5.5).
	Personal bool
	// Address is one that was reserved with [Manager.ReserveAddress], the
	// zero Addr if none was. The plan takes the reservation over; where there
	// is none, because of an error, it stays with the caller.
	Address netip.Addr
	// Memory is where the plan and its opening are, until Request.Free; nil: in their own.
	Memory *Memory
}

// Plan works out what a connection gets (PROTOCOL 4.4, 5.4, 5.5, 5.6) and
// reserves its place among the user's. The error wraps a *codec.Error, a
// *codec.Disconnect or [ErrFull]. Any goroutine but a turn.
func (m *Manager) Plan(req *PlanRequest) (*Plan, error) {
	id := req.Identity
	memory := req.Memory
	if memory == nil {
		memory = new(Memory)
	}
	p := &memory.plan
	p.memory = memory
	p.User, p.Info, p.ExpireAt, p.Data, p.client, p.kind = id.User, id.Info, id.ExpireAt, req.Data, req.Client, req.Kind
	p.Grants = p.one[:0]
	var client ID
	if p.secret, client = newIDs(); p.client == (ID{}) {
		p.client = client
	}
	if m.opt.Refresh != nil {
		p.meta, p.headers = id.Meta, m.RefreshHeaders(req.Headers)
	}
	if p.ExpireAt > 0 && p.ExpireAt <= m.clock.read().Unix() {
		return nil, codec.ErrExpired
	}
	if err := m.grant(p, req); err != nil {
		return nil, err
	}
	if len(p.Grants) > m.opt.ChannelLimit {
		return nil, codec.DisconnectChannelLimit
	}
	limit, ok := m.live.Load().UserConnectionLimit, false
	if p.counted, ok = m.users.reserve(p.User, limit); !ok {
		return nil, codec.DisconnectConnectionLimit
	}
	if !m.reserveStream() {
		if p.counted {
			m.users.release(p.User)
		}
		return nil, ErrFull
	}
	if err := m.reserveFleet(p, limit); err != nil {
		m.streams.Add(-1)
		m.users.release(p.User)
		return nil, err
	}
	p.address = req.Address
	return p, nil
}

// RefreshHeaders returns those headers of a client's request that a session keeps
// for the refresh hook; nil without one. Any goroutine.
func (m *Manager) RefreshHeaders(all []auth.Header) []auth.Header {
	if m.opt.Refresh == nil {
		return nil
	}
	return m.opt.Refresh.RefreshHeaders(all)
}

// Abandon gives back what a plan reserved, if it is not opened.
func (m *Manager) Abandon(p *Plan) {
	m.streams.Add(-1)
	if p.counted {
		m.users.release(p.User)
		m.agents[int(p.client[0])%len(m.agents)].vacate(p.User, p.client)
	}
	if p.claim != 0 {
		m.users.unclaim(p.User, p.client)
	}
	m.ReleaseAddress(p.address)
	m.leftBroadcast(p.broadcast)
}

func (m *Manager) grant(p *Plan, req *PlanRequest) error {
	rules, live := m.opt.Rules(), m.live.Load()
	var at grantIndex
	if n := min(len(req.Identity.Subs)+len(req.Requested), m.opt.ChannelLimit) + 1; n > fewGrants {
		at = make(grantIndex, n)
	}
	add := func(g Grant) {
		if i, ok := at.find(p.Grants, g.Channel); ok {
			p.Grants[i] = g
			return
		}
		if at != nil {
			at[g.Channel] = len(p.Grants)
		}
		p.Grants = append(p.Grants, g)
	}
	full := func() bool { return len(p.Grants) > m.opt.ChannelLimit } // the rest need not be looked at
	for i := range req.Identity.Subs {
		s := &req.Identity.Subs[i]
		o, err := rules.Lookup(s.Channel)
		if err != nil {
			return refusedFor(s.Channel, err)
		}
		g := newGrant(s.Channel, o, s.Override)
		g.Info, g.Data, g.AutoRecover = s.Info, s.Data, s.CacheRecover
		if add(g); full() {
			return codec.DisconnectChannelLimit
		}
	}
	if live.Personal.Enabled && req.Personal && p.User != "" {
		ch := rules.Personal(live.Personal.Namespace, p.User)
		o, err := rules.Lookup(ch)
		if err != nil {
			return refusedFor(ch, err)
		}
		add(newGrant(ch, o, auth.Override{}))
		if live.Personal.SingleConnection {
			p.evicts = ch
		}
	}
	for i := range req.Requested {
		s := &req.Requested[i]
		if _, ok := at.find(p.Grants, s.Channel); !ok && req.MayRequest {
			o, granted, err := rules.GrantRequested(s.Channel, p.User, live.Insecure)
			if err != nil {
				return refusedFor(s.Channel, err)
			}
			if granted {
				if add(newGrant(s.Channel, o, auth.Override{})); full() {
					return codec.DisconnectChannelLimit
				}
			}
		}
		if k, ok := at.find(p.Grants, s.Channel); ok {
			p.Grants[k].request(s)
		}
	}
	for i := range p.Grants {
		p.Grants[i].resume(req.Cursor, req.Lost)
	}
	return nil
}

// grantIndex is where the grant of a channel is; nil where they are so few that looking
// through them costs less.
type grantIndex map[string]int

const fewGrants = 8

func (x grantIndex) find(grants []Grant, ch string) (i int, ok bool) {
	if x != nil {
		i, ok = x[ch]
		return i, ok
	}
	for i := range grants {
		if grants[i].Channel == ch {
			return i, true
		}
	}
	return 0, false
}

// maxShown is how much of a channel's name an error shows.
const maxShown = 100

// ChannelError says which channel it was that refused a connect. It wraps why.
type ChannelError struct {
	Channel string
	Err     error
}

func (e *ChannelError) Error() string {
	return fmt.Sprintf("session: channel %.*q: %v", maxShown, e.Channel, e.Err)
}

func (e *ChannelError) Unwrap() error { return e.Err }

// refusedFor says in a log which channel it was that refused a connect. A name
// that is too long does not get shorter by trying again: that is terminal.
func refusedFor(ch string, err error) error {
	var long *channel.TooLongError
	if errors.As(err, &long) {
		err = fmt.Errorf("%w: %w", err, codec.DisconnectBadRequest)
	}
	return &ChannelError{ch, err}
}

// resume adds what a cursor says of the channel. It only ever adds a position
// to a channel that is granted without it. A position that is lost is told like a gap,
// unless the connect request has another one.
func (g *Grant) resume(cursor []codec.CursorEntry, lost bool) {
	if lost && g.Recoverable && g.Recover == nil {
		g.Recover = &recoverRequest{lost: true}
	}
	if !g.Recoverable || len(cursor) == 0 {
		return
	}
	tag := codec.Tag32(g.Channel)
	var fit []codec.CursorEntry
	for _, e := range cursor {
		if e.Channel == tag {
			fit = append(fit, e)
		}
	}
	if len(fit) > 0 {
		g.Recover = &recoverRequest{offset: fit[0].Offset, entries: fit}
	}
}

// request adds what the client said of a channel that it gets.
func (g *Grant) request(s *codec.SubRequest) {
	if s.Recover {
		g.Recover = &recoverRequest{offset: s.Offset, epoch: s.Epoch}
	}
	g.Delta = s.Delta != "" && g.Rules.AllowsDelta(s.Delta)
}

// takesRoom reports whether what was missed in the channel is due.
func (g *Grant) takesRoom() bool {
	return g.Positioned && (g.wasRecovering() || g.cacheRecover() || g.backlog != nil)
}
