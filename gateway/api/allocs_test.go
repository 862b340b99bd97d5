//go:build !race

package api

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What a publish without history allocates: the request, its channel, the compacted
// data, the call, the publication, the key and the credit.
func TestPublishAllocatesLittle(t *testing.T) {
	r := newRig(t, nil)
	ctx := publishCtx()
	allocs := testing.AllocsPerRun(100, func() {
		ctx.Response.Reset()
		require.True(t, r.server.Handle(ctx))
	})
	require.Equal(t, `{"result":{}}`, string(ctx.Response.Body()))
	require.LessOrEqual(t, allocs, 7.0)
}
