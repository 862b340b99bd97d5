package session

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/auth"
	"sluice/gateway/broker"
	"sluice/gateway/channel"
	"sluice/gateway/loop"
)

// member is a stream and where it lies.
type member struct {
	*client
	ref loop.Ref
}

// openMember opens a stream of the user.
func (r *rig) openMember(t *testing.T, user string) (m member) {
	t.Helper()
	before := map[loop.Ref]bool{}
	r.do(func(a *Agent) { a.each(func(ref loop.Ref, _ *session) { before[ref] = true }) })
	m.client = r.open(t, &auth.Identity{User: user})
	require.NoError(t, <-m.opened)
	m.expect(t, "connect")
	r.do(func(a *Agent) {
		a.each(func(ref loop.Ref, _ *session) {
			if !before[ref] {
				m.ref = ref
			}
		})
	})
	return m
}

func (r *rig) live(m member) (live bool) {
	r.do(func(a *Agent) { live = a.loop.Live(m.ref) })
	return live
}

// batch returns a batch of the user's streams that holds them.
func (r *rig) batch(t *testing.T, user, ch, data string) *subscribeBatch {
	t.Helper()
	g := grant(ch, channel.Options{})
	g.Data = codec.QuoteJSON(data)
	b := &subscribeBatch{a: r.agent, t: Target{User: user}, grant: g}
	require.NoError(t, b.acquire(context.Background()))
	b.do(b.hold)
	b.present.Wait()
	limit := 0
	var err error
	b.result, b.at, err = r.subscribeResult(context.Background(), &g, &limit)
	require.NoError(t, err)
	b.missed = &missed{channel: ch}
	return b
}

func (r *rig) publish(t *testing.T, ch, data string) {
	t.Helper()
	credit, err := r.hub.AcquireCredit(context.Background(), len(data))
	require.NoError(t, err)
	result, err := r.broker.Publish(context.Background(), ch, &codec.Publication{Data: codec.QuoteJSON(data)}, broker.PublishOptions{Credit: credit})
	require.NoError(t, err)
	require.True(t, result.CreditTaken)
}

// One session of a user that has no room for what a call tells keeps no other back: that
// one is told, and gets what is published, while the first is held still.
func TestASessionWithoutRoomKeepsNoOtherBack(t *testing.T) {
	r := newRig(t, nil, nil)
	slow, quick := r.openMember(t, "u"), r.openMember(t, "u")
	b := r.batch(t, "u", "news", "told")
	defer b.release()
	require.Len(t, b.members, 2)
	b.do(func() { b.activate(nil, func(ref loop.Ref) bool { return ref == quick.ref }) })
	require.Len(t, b.members, 1)
	require.Equal(t, slow.ref, b.members[0].ref)
	quick.expect(t, `"told"`)
	r.publish(t, "news", "first")
	quick.expect(t, `"first"`)
	b.do(func() { b.activate(nil, func(loop.Ref) bool { return true }) })
	require.Empty(t, b.members)
	slow.expect(t, `"first"`)
	require.True(t, r.live(slow))
	require.True(t, r.live(quick))
}

// Who does not read is waited for no longer than the call lasts.
func TestACallThatEndsWaitsForNoRoom(t *testing.T) {
	r := newRig(t, nil, nil)
	stuck, quick := r.openMember(t, "u"), r.openMember(t, "u")
	large := codec.EndFrame(append(codec.StartFrame(0), strings.Repeat("x", 700_000)...), "")
	r.do(func(a *Agent) {
		for range 2 {
			a.loop.Push(stuck.ref.Slot, large)
		}
		a.loop.MayPush(stuck.ref, 700_000) // offers them to the socket, which has less room
	})
	require.True(t, r.live(stuck))
	b := r.batch(t, "u", "news", strings.Repeat("d", 700_000))
	defer b.release()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	activateWithRoom(ctx, []*subscribeBatch{b}, nil)
	require.Empty(t, b.members)
	require.False(t, r.live(stuck), "it was told all the same, and had no room")
	quick.expect(t, "news")
	require.True(t, r.live(quick))
}
