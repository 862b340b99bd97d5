package session

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/auth"
	"sluice/gateway/channel"
	"sluice/gateway/hub"
	"sluice/gateway/loop"
	"sluice/gateway/testkit"
)

// cameFrom is a request with an address.
type cameFrom struct {
	request
	peer netip.Addr
}

func (r cameFrom) Peer() netip.Addr { return r.peer }

// from opens a stream of a user from somewhere and waits until it is there.
func (r *rig) from(t *testing.T, user, addr, agent string, grants ...Grant) (*client, ID) {
	t.Helper()
	p, err := r.Plan(&PlanRequest{Identity: &auth.Identity{User: user, Info: codec.QuoteJSON("info of " + user)}})
	require.NoError(t, err)
	p.Grants = grants
	sock, far := pairOf(t)
	conn := &Conn{Socket: sock, Framing: codec.FramingClose, Request: cameFrom{peer: netip.MustParseAddr(addr)}, Agent: NewUserAgent([]byte(agent))}
	id := p.Client()
	r.Enter()
	defer r.Leave()
	require.NoError(t, r.Open(p, conn))
	c := &client{Conn: far}
	c.expect(t, "connect")
	return c, id
}

func sources(o *Options) { o.Sources = true }

// found returns the users of what a query finds, in its order.
func (r *rig) found(t *testing.T, q ClientQuery) (total int, users []string) {
	t.Helper()
	total, first, err := r.FindClients(t.Context(), &q)
	require.NoError(t, err)
	refs := make([]ClientRef, len(first))
	for i := range first {
		refs[i] = first[i].Ref
	}
	all, err := r.Clients(t.Context(), refs, false)
	require.NoError(t, err)
	for _, c := range all {
		require.NotNil(t, c)
		users = append(users, c.User)
	}
	return total, users
}

func TestClientsAreFound(t *testing.T) {
	r := newRig(t, nil, sources)
	_, ann := r.from(t, "ann", "192.0.2.1", "a")
	r.from(t, "anna", "192.0.2.200", "b")
	r.from(t, "bob", "2001:db8::7", "b")
	r.from(t, "", "::ffff:198.51.100.4", "")
	secret := ""
	r.do(func(a *Agent) {
		a.each(func(_ loop.Ref, s *session) {
			if s.client == ann {
				secret = s.secret.String()
			}
		})
	})
	f := func(by ClientBy, text string, want ...string) {
		t.Helper()
		total, users := r.found(t, ClientQuery{By: by, Text: text, Most: 10})
		require.Equal(t, len(want), total)
		require.ElementsMatch(t, want, users, "%d %q", by, text)
	}
	f(ByAny, "", "ann", "anna", "bob", "")
	f(ByUser, "", "ann", "anna", "bob", "")
	f(ByAny, "ann", "ann", "anna")
	f(ByUser, "ann", "ann")
	f(ByUser, "an")
	f(ByAny, ann.String(), "ann")
	f(ByClient, ann.String(), "ann")
	f(ByClient, strings.ToUpper(ann.String()), "ann")
	f(ByClient, "ann")
	f(BySession, ann.String())
	f(BySession, secret, "ann")
	f(ByAny, secret, "ann")
	f(ByAddress, "192.0.2.1", "ann")
	f(ByAddress, "192.0.2.0/24", "ann", "anna")
	f(ByAny, "192.0.2.0/25", "ann")
	f(ByAny, "2001:db8::/32", "bob")
	f(ByAddress, "198.51.100.4", "")
	f(ByAddress, "::ffff:198.51.100.4", "")
	f(ByAddress, "0.0.0.0/0", "ann", "anna", "")
	f(ByAny, "%00'\"<script>")
	for _, bad := range []string{"ann", "192.0.2.1/33", "fe80::1%eth0", "1.2.3"} {
		_, _, err := r.FindClients(t.Context(), &ClientQuery{By: ByAddress, Text: bad})
		var wrong QueryError
		require.ErrorAs(t, err, &wrong, bad)
	}
}

func TestClientsAreInOrder(t *testing.T) {
	r := newRig(t, nil, sources)
	grants := func(n int) (all []Grant) {
		for i := range n {
			all = append(all, grant(fmt.Sprint("c", i), channel.Options{}))
		}
		return all
	}
	for i, n := range []int{3, 0, 4, 1, 2} {
		r.from(t, fmt.Sprint("u", n), "192.0.2.1", fmt.Sprint(i), grants(n)...)
	}
	f := func(q ClientQuery, want ...string) {
		t.Helper()
		total, users := r.found(t, q)
		require.Equal(t, 5, total)
		require.Equal(t, want, users)
	}
	f(ClientQuery{Order: OrderSubscriptions, Most: 3}, "u0", "u1", "u2")
	f(ClientQuery{Order: OrderSubscriptions, Desc: true, Most: 2}, "u4", "u3")
	f(ClientQuery{Order: OrderSubscriptions, Most: 9}, "u0", "u1", "u2", "u3", "u4")
	f(ClientQuery{Order: OrderSubscriptions})
	// They began in that order, if not all at one reading of the clock.
	_, users := r.found(t, ClientQuery{Order: OrderAge, Desc: true, Most: 5})
	require.Len(t, users, 5)
}

// The heap keeps what sorting all of them would.
func TestTheFirstOfManyAreKept(t *testing.T) {
	for _, most := range []int{1, 2, 7, 64, 100, 1000} {
		for _, desc := range []bool{false, true} {
			c := clientsOnLoop{filter: &filter{ClientQuery: ClientQuery{Most: most, Desc: desc}}}
			var all []ClientFound
			for i := range 500 {
				x := ClientFound{Key: int64(i * 7919 % 97), Ref: ClientRef{Ref: loop.Ref{Slot: uint32(i)}}}
				all = append(all, x)
				c.add(x)
			}
			byOrder := func(a, b ClientFound) int { return c.Compare(&a, &b) }
			slices.SortFunc(all, byOrder)
			slices.SortFunc(c.first, byOrder)
			require.Equal(t, all[:min(most, len(all))], c.first)
			require.Equal(t, 500, c.total)
		}
	}
}

func TestAClientIsDescribed(t *testing.T) {
	r := newRig(t, nil, sources)
	c, id := r.from(t, "<b>\"ann", "2001:db8::7", "Mozilla/5.0 (X11; \x00\xff) "+strings.Repeat("x", 300),
		grant("plain", channel.Options{}), grant("news", channel.Options{ForceRecovery: true, Presence: true, JoinLeave: true}))
	ref := r.only(t, id)
	all, err := r.Clients(t.Context(), []ClientRef{{Loop: 7}, ref, {Loop: -1}}, true)
	require.NoError(t, err)
	require.Nil(t, all[0])
	require.Nil(t, all[2])
	got := all[1]
	require.Equal(t, id, got.ID)
	require.Equal(t, "<b>\"ann", got.User)
	require.Equal(t, "2001:db8::7", got.Address.String())
	require.Len(t, got.Agent.String(), agentMost)
	require.True(t, strings.HasPrefix(got.Agent.String(), "Mozilla/5.0 (X11; ??) xxx"), got.Agent)
	require.Equal(t, 2, got.Subscriptions)
	require.Equal(t, codec.CodingIdentity, got.Coding)
	require.Zero(t, got.Lag)
	require.JSONEq(t, `"info of <b>\"ann"`, got.Info.String())
	require.Len(t, got.Channels, 2)
	require.Equal(t, ClientChannel{Subscription: hub.Subscription{Channel: "plain"}}, clean(got.Channels[0]))
	news := got.Channels[1]
	require.True(t, news.Features.Has(hub.Positioned|hub.Recoverable) && news.Known && news.Presence && news.JoinLeave)
	require.Zero(t, news.Offset)

	require.NoError(t, c.Close())
	testkit.EventuallyWithin(t, testPatience, func() bool {
		all, err := r.Clients(context.Background(), []ClientRef{ref}, false)
		return err == nil && all[0] == nil
	}, "who has gone to be nobody")
	require.Zero(t, r.agent.table.source(ref.Slot), "and nothing of it to be kept")
}

// clean leaves out how it is delivered.
func clean(c ClientChannel) ClientChannel {
	c.Features &^= hub.FollowsBare | hub.FollowsWithID
	return c
}

// only returns the stream of a client.
func (r *rig) only(t *testing.T, id ID) ClientRef {
	t.Helper()
	_, first, err := r.FindClients(t.Context(), &ClientQuery{By: ByClient, Text: id.String(), Most: 1})
	require.NoError(t, err)
	require.Len(t, first, 1)
	return first[0].Ref
}

func TestWhatAStreamHasNotTakenIsSeen(t *testing.T) {
	r := newRig(t, nil, sources)
	_, id := r.from(t, "slow", "192.0.2.1", "", grant("a", channel.Options{}))
	ref := r.only(t, id)
	big := codec.QuoteJSON(strings.Repeat("x", 256<<10))
	r.hub.Publication("a", &codec.Publication{Data: big}, nil, nil)
	r.hub.Publication("a", &codec.Publication{Data: big}, nil, nil)
	testkit.EventuallyWithin(t, testPatience, func() bool {
		all, err := r.Clients(t.Context(), []ClientRef{ref}, false)
		require.NoError(t, err)
		return all[0].Queued > 64<<10 && all[0].Lag > 0
	}, "its queue to be seen, and for how long it took nothing")
	for _, order := range []ClientOrder{OrderQueue, OrderLag} {
		_, first, err := r.FindClients(t.Context(), &ClientQuery{Order: order, Desc: true, Most: 1})
		require.NoError(t, err)
		require.Positive(t, first[0].Key)
	}
}

func TestNothingIsKeptUnlessAsked(t *testing.T) {
	r := newRig(t, nil, nil)
	_, id := r.from(t, "ann", "192.0.2.1", "agent")
	require.Empty(t, r.agent.table.sources)
	all, err := r.Clients(t.Context(), []ClientRef{r.only(t, id)}, false)
	require.NoError(t, err)
	require.False(t, all[0].Address.IsValid())
	require.Equal(t, "", all[0].Agent.String())
	require.Equal(t, time.Duration(0), all[0].Age)
}

func TestWhatASourceCosts(t *testing.T) {
	require.Equal(t, uintptr(32), unsafe.Sizeof(source{}), "what the docs say")
	require.Equal(t, UserAgent{}, NewUserAgent(nil))
	require.Equal(t, NewUserAgent([]byte("x")), NewUserAgent([]byte("x")), "one text for all")
}

// BenchmarkFindClients is what each session costs in a walk over all.
func BenchmarkFindClients(b *testing.B) {
	const n = walkSlabs << slabBits
	a := &Agent{}
	for i := range uint32(n) {
		*a.table.at(i) = session{used: true, accepted: true, user: fmt.Sprint("user", i), client: NewID()}
		a.table.setSource(i, source{addr: netip.MustParseAddr("192.0.2.7").As16()})
	}
	f, err := (&ClientQuery{Text: "192.0.2.0/25", Order: OrderSubscriptions, Most: 1000}).filter()
	require.NoError(b, err)
	for b.Loop() {
		c := &clientsOnLoop{filter: f}
		for i := range uint32(n) {
			if s := a.table.at(i); f.fits(a, i, s) {
				c.add(ClientFound{f.key(a, i, s) + int64(i*7919%10007), ClientRef{}})
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/session")
}
