package codec

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAppendRetry(t *testing.T) {
	for wait, want := range map[time.Duration]string{
		3 * time.Second: "x retry: 3000\n", 1500 * time.Microsecond: "x retry: 1\n", time.Microsecond: "x retry: 1\n", 0: "x retry: 1\n",
	} {
		require.Equal(t, want, string(AppendRetry([]byte("x "), wait)), "%v", wait)
	}
}
