package front

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAPortIsSharedOnlyWhereBothAskForIt(t *testing.T) {
	first, err := Listen("127.0.0.1:0", Options{ReusePort: true})
	require.NoError(t, err)
	defer first.Close()
	second, err := Listen(first.Addr().String(), Options{ReusePort: true})
	require.NoError(t, err)
	defer second.Close()
	_, err = Listen(first.Addr().String(), Options{})
	require.ErrorIs(t, err, syscall.EADDRINUSE)
}
