package session

import (
	"errors"
	"time"

	"sluice/codec"
	"sluice/gateway/auth"
	"sluice/gateway/loop"
)

// refreshState is what a session keeps for its refresh hook; sessions of nodes
// without one have none.
type refreshState struct {
	meta    codec.JSON
	headers []auth.Header
	asking  bool // a call is under way
	// againAt is when to ask again after a call that brought no answer, on the
	// loop's clock: a retry is a span, whatever happens to the wall clock. It
	// is for the expiry in failed: with another one it means nothing.
	againAt, failed int64
}

// again has the hook asked once more after so long. On-loop only.
func (a *Agent) again(s *session, after time.Duration) {
	s.refresh.againAt, s.refresh.failed = a.loop.Now()+int64(after), s.expireAt
}

// refreshAgain is when a session asks again after no worker was free for its
// hook.
const refreshAgain = time.Second

// closeDelay is how long a connection stays open behind its expiry: the backend
// may refresh it by the API meanwhile. A refresh hook is asked at once instead
// (PROTOCOL 4.5).
func (m *Manager) closeDelay() time.Duration {
	if m.opt.Refresh != nil {
		return 0
	}
	return m.opt.ExpiredCloseDelay
}

// refresh asks the hook whether a session that expires may go on. The answer
// comes back as a post.
func (a *Agent) refresh(ref loop.Ref, s *session) {
	st := s.refresh
	if st == nil {
		st = &refreshState{}
		s.refresh = st
	}
	if st.asking || a.m.stopping.Load() {
		return
	}
	call := &auth.RefreshCall{Client: s.client.String(), User: s.user, Meta: st.meta, Headers: st.headers}
	a.m.openings.Add(1) // the loops wait for it: nothing may be posted to one that has ended
	st.asking = a.m.opt.Calls.TrySubmit(func() {
		defer a.m.openings.Add(-1)
		answer, err := a.m.opt.Refresh.Refresh(a.m.calls, call)
		a.loop.Post(&refreshed{a: a, ref: ref, answer: answer, err: err})
	})
	if !st.asking {
		a.m.openings.Add(-1)
		a.again(s, refreshAgain)
		a.schedule(s)
	}
}

// refreshed is the answer of a refresh hook on its way back to its loop.
type refreshed struct {
	a      *Agent
	ref    loop.Ref
	answer *auth.RefreshAnswer
	err    error
}

// Run implements loop.Task.
func (t *refreshed) Run(l *loop.Loop) {
	if !l.Live(t.ref) {
		return
	}
	s := t.a.table.get(t.ref)
	if s == nil || s.refresh == nil {
		return
	}
	l.Hand(t.ref.Slot)
	s.refresh.asking, s.refresh.againAt = false, 0
	var d *codec.Disconnect
	switch {
	case errors.As(t.err, &d):
		t.a.end(t.ref, loop.ReasonExpired, d, closeWithin)
		return
	case t.err != nil && !errors.Is(t.err, auth.ErrHook), t.err == nil && t.answer.Expired:
		t.a.end(t.ref, loop.ReasonExpired, codec.DisconnectExpired, closeWithin)
		return
	case t.err != nil:
		t.a.again(s, auth.RefreshRetry)
	default:
		s.expireAt = t.answer.ExpireAt
		if !t.answer.Info.IsZero() {
			s.info = t.answer.Info
			t.a.renamed(s)
		}
		if !t.answer.Meta.IsZero() {
			s.refresh.meta = t.answer.Meta
		}
	}
	t.a.schedule(s)
	t.a.arm(t.ref, s)
}
