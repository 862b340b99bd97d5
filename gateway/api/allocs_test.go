//go:build !race

package api

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What a publish without history allocates: its channel, the compacted data, and the
// publication with its credit; and what the rig makes of a credit.
func TestPublishAllocatesLittle(t *testing.T) {
	r := newRig(t, nil)
	ctx := publishCtx()
	allocs := testing.AllocsPerRun(100, func() {
		ctx.Response.Reset()
		require.True(t, r.server.Handle(ctx))
	})
	require.Equal(t, `{"result":{}}`, string(ctx.Response.Body()))
	require.LessOrEqual(t, allocs, 4.0)
}
