package sse_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/auth"
	"sluice/gateway/testkit"
)

// silentHook never answers.
type silentHook struct {
	auth.Hook // not asked for anything else
	asked     chan context.Context
}

func (h *silentHook) Connect(ctx context.Context, _ *auth.ConnectCall) (*auth.ConnectAnswer, error) {
	h.asked <- ctx
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

// Whoever waits for a hook is told that it was stale, which is final, only after
// a time that this process was there for: a deadline would count a pause of ours.
func TestTheWaitForAHookHasNoDeadlineThatAPauseCanPass(t *testing.T) {
	hook := &silentHook{asked: make(chan context.Context, 1)}
	n := newNode(t, func(s *settings) { s.sse.Hook, s.sse.HookWait = hook, 100*time.Millisecond })
	c := testkit.Connect(t, n.addr, testkit.ConnectOptions{})
	c.ExpectDisconnect(t, 3502)
	ctx := <-hook.asked
	_, ok := ctx.Deadline()
	require.False(t, ok)
	require.ErrorIs(t, context.Cause(ctx), context.DeadlineExceeded)
}
