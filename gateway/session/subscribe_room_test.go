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

// join returns a joining of the user's streams that holds them.
func (r *rig) join(t *testing.T, user, ch, data string) *joining {
	t.Helper()
	g := grant(ch, channel.Options{})
	g.Data = codec.QuoteJSON(data)
	j := &joining{a: r.agent, t: Target{User: user}, grant: g}
	require.NoError(t, j.acquire(context.Background()))
	j.do(j.hold)
	j.present.Wait()
	limit := 0
	var err error
	j.result, j.at, err = r.subscribeResult(context.Background(), &g, &limit)
	require.NoError(t, err)
	j.missed = &missed{channel: ch}
	return j
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
	j := r.join(t, "u", "news", "told")
	defer j.release()
	require.Len(t, j.members, 2)
	j.do(func() { j.open(nil, func(ref loop.Ref) bool { return ref == quick.ref }) })
	require.Len(t, j.members, 1)
	require.Equal(t, slow.ref, j.members[0].ref)
	quick.expect(t, `"told"`)
	r.publish(t, "news", "first")
	quick.expect(t, `"first"`)
	j.do(func() { j.open(nil, func(loop.Ref) bool { return true }) })
	require.Empty(t, j.members)
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
	j := r.join(t, "u", "news", strings.Repeat("d", 700_000))
	defer j.release()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	openWithRoom(ctx, []*joining{j}, nil)
	require.Empty(t, j.members)
	require.False(t, r.live(stuck), "it was told all the same, and had no room")
	quick.expect(t, "news")
	require.True(t, r.live(quick))
}
