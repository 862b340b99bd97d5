//go:build !race

package strict

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
)

func TestHandlerAllocatesNothing(t *testing.T) {
	for name, h := range map[string]string{"browser": browserHead, "publish": publishHead} {
		ctx := contextOf(t, h)
		calls := 0
		handler := Handler(func(*fasthttp.RequestCtx) { calls++ }, nil)
		require.Zero(t, testing.AllocsPerRun(100, func() {
			Prepare(&ctx.Request.Header)
			handler(ctx)
		}), name)
		require.Positive(t, calls, name)
	}
}
