//go:build !race

package sse_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A connect makes few things, of which net and the HTTP server make a dozen: what it makes the
// collector pays for.
func TestAConnectAllocatesLittle(t *testing.T) {
	result := testing.Benchmark(func(b *testing.B) {
		benchmarkConnect(b, func(int) string { return "" })
	})
	require.LessOrEqual(t, result.AllocsPerOp(), int64(26))
}
