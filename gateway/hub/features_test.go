package hub

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// A subscriber costs this much beside its place: a node has millions.
func TestAMemberIsSmall(t *testing.T) {
	require.LessOrEqual(t, unsafe.Sizeof(member{}), uintptr(32))
	require.LessOrEqual(t, unsafe.Sizeof(place{}), uintptr(16))
}
