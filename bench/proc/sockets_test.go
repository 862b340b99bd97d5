//go:build linux

package proc

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSocketMemoryRefusesWhatIsNoAnswer(t *testing.T) {
	_, err := (&SocketMemory{}).take([]byte("too short to be an answer"), 1)
	require.Error(t, err)
}
