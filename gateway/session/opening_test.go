package session

import (
	"fmt"
	"io"
	"sync/atomic"
	"testing"

	"sluice/codec"
	"sluice/gateway/auth"
	"sluice/gateway/channel"
	"sluice/gateway/loop"
	"sluice/gateway/testkit"

	"github.com/stretchr/testify/require"
)

// An opening goes through its stages in order, and whoever takes it another way has a bug.
func TestAnOpeningTakesNoStepThatItsTableDoesNotName(t *testing.T) {
	legal := map[[2]stage]bool{
		{stageBegun, stageAttached}: true, {stageBegun, stageRefused}: true, {stageBegun, stageLost}: true,
		{stageAttached, stageOpen}: true, {stageAttached, stageRefused}: true, {stageAttached, stageLost}: true,
	}
	for from := range stageNames {
		for next := range stageNames {
			step := [2]stage{stage(from), stage(next)}
			op := &opening{stage: step[0]}
			if legal[step] {
				op.to(step[1])
				require.Equal(t, step[1], op.stage)
				continue
			}
			require.PanicsWithValue(t, "BUG: session: an opening that is "+stageNames[from]+" cannot become "+stageNames[next],
				func() { op.to(step[1]) })
		}
	}
}

// What a plan reserved is given back once, by whoever ends the opening without a session.
func TestAnOpeningGivesItsReservationBackOnce(t *testing.T) {
	r := newRig(t, nil, nil)
	for _, end := range []stage{stageRefused, stageLost} {
		require.True(t, r.reserveStream())
		op := &opening{m: r.Manager, plan: &Plan{}}
		op.to(end)
		op.giveBack()
		op.giveBack()
		require.Zero(t, r.streams.Load(), "%v", end)
	}
	require.True(t, r.reserveStream())
	op := &opening{m: r.Manager, plan: &Plan{}}
	op.to(stageAttached)
	op.to(stageLost)
	require.EqualValues(t, 1, r.streams.Load(), "the session gives it back")
	r.streams.Add(-1)
}

// buggy is a Request with a bug that shows on the loop, when the opening is logged.
type buggy struct{ request }

func (buggy) ID() string { panic("of the test") }

// A panic while a stream is opened ends that one, and nothing of it stays behind.
func TestAPanicOnTheLoopLeavesNothingOfAnOpening(t *testing.T) {
	for name, rules := range map[string]channel.Options{"at_once": {}, "held_first": {ForceRecovery: true}} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil, func(o *Options) { o.Log = debugLog(&testkit.LogBuffer{}) })
			p, err := r.Plan(&PlanRequest{Identity: &auth.Identity{}})
			require.NoError(t, err)
			p.Grants = []Grant{grant("a", rules), grant("b", rules)}
			sock, far := pairOf(t)
			r.Enter()
			require.NoError(t, r.Open(p, &Conn{Socket: sock, Framing: codec.FramingClose, Request: buggy{}}))
			r.Leave()
			_, err = io.Copy(io.Discard, far)
			require.NoError(t, err, "the end of the body")
			testkit.Eventually(t, func() bool { return r.streams.Load() == 0 }, "its place to be free")
			channels, subscribers := r.hub.Interest()
			require.Zero(t, channels+subscribers)
			require.EqualValues(t, 1, r.group.Stats().Closes[loop.ReasonPanic])
			r.Verify()
			r.open(t, &auth.Identity{}, grant("a", rules)).expect(t, "connect")
		})
	}
}

// freed counts how often a request was freed, and refuses to be used any more.
type freed struct {
	request
	n atomic.Int32
}

func (f *freed) Free() { f.n.Add(1) }

func (f *freed) Refusal(err error) []byte {
	if f.n.Load() > 0 {
		panic("asked behind Free")
	}
	return f.request.Refusal(err)
}

// The memory of an opening may go to another when its stream is open. Whatever else one comes
// to, nobody is told so.
func TestAnOpeningIsFreedOnceAndOnlyWhenItIsOpen(t *testing.T) {
	r := newRig(t, nil, nil)
	open := func(req Request, change func(*Plan), grants ...Grant) (*client, error) {
		p, err := r.Plan(&PlanRequest{Identity: &auth.Identity{}, Memory: new(Memory)})
		require.NoError(t, err)
		p.Grants = grants
		if change != nil {
			change(p)
		}
		sock, far := pairOf(t)
		r.Enter()
		defer r.Leave()
		return &client{Conn: far}, r.Open(p, &Conn{Socket: sock, Framing: codec.FramingClose, Request: req})
	}
	for i := range 20 {
		req, name := &freed{}, fmt.Sprint("plain", i)
		c, err := open(req, func(p *Plan) { p.Data = codec.QuoteJSON(name) }, grant(name, channel.Options{}))
		require.NoError(t, err)
		c.expect(t, `"data":"`+name+`"`)
		testkit.Eventually(t, func() bool { return req.n.Load() == 1 }, "it to be freed")
		held := &freed{}
		c, err = open(held, nil, grant("held", channel.Options{ForceRecovery: true}))
		require.NoError(t, err)
		c.expect(t, `"subs":{"held":`)
		r.do(func(*Agent) {}) // what was posted is done
		require.Zero(t, held.n.Load(), "an opening that others may have is left alone")
	}
	r.stopping.Store(true)
	req := &freed{}
	c, err := open(req, nil, grant("late", channel.Options{}))
	require.NoError(t, err)
	c.expect(t, "refused: ")
	r.do(func(*Agent) {})
	require.Zero(t, req.n.Load())
	r.stopping.Store(false)
}

// Who serves a connect is told that its opening may wait for room: for calls to presence, joins
// and leaves, too.
func TestAPlanSaysThatItMayWaitForRoom(t *testing.T) {
	for name, want := range map[string]struct {
		opt channel.Options
		may bool
	}{
		"nothing":    {},
		"join_leave": {channel.Options{JoinLeave: true}, true},
		"presence":   {channel.Options{Presence: true}, true},
	} {
		p := &Plan{Grants: []Grant{grant("news", want.opt)}}
		require.Equal(t, want.may, p.MayWait(), name)
	}
}

// An opening whose patience somebody has asked for has a timer, which may be about to run:
// its memory goes to nobody else.
func TestAnOpeningWhosePatienceHasBegunIsNotFreed(t *testing.T) {
	r := newRig(t, nil, nil)
	require.True(t, r.able.Local, "else the patience is not in this memory")
	p, err := r.Plan(&PlanRequest{Identity: &auth.Identity{}, Memory: new(Memory)})
	require.NoError(t, err)
	p.Grants = []Grant{grant("a", channel.Options{JoinLeave: true})} // for whose calls there has to be room
	sock, far := pairOf(t)
	req := &freed{}
	r.Enter()
	err = r.Open(p, &Conn{Socket: sock, Framing: codec.FramingClose, Request: req})
	r.Leave()
	require.NoError(t, err)
	require.False(t, p.memory.opening.patience.idle())
	(&client{Conn: far}).expect(t, `"subs":{"a":`)
	r.do(func(*Agent) {}) // what was posted is done
	require.Zero(t, req.n.Load())
}
