package session

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheMemoryOfALargeEventIsNotKept(t *testing.T) {
	var scratch []byte
	keepEvent(&scratch, make([]byte, 10, eventMost))
	require.Equal(t, eventMost, cap(scratch))
	keepEvent(&scratch, make([]byte, 10, eventMost+1))
	require.Equal(t, eventMost, cap(scratch))
}
