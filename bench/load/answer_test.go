//go:build linux

package load

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseAnswerWaitsForTheWholeOfIt(t *testing.T) {
	const answer = "HTTP/1.1 201 Created\r\nServer: x\r\ncontent-Length: 5\r\n\r\nhello"
	for i := range len(answer) {
		_, _, whole, err := ParseAnswer([]byte(answer[:i]))
		require.NoError(t, err)
		require.False(t, whole, "after %d bytes", i)
	}
	status, body, whole, err := ParseAnswer([]byte(answer))
	require.NoError(t, err)
	require.True(t, whole)
	require.Equal(t, 201, status)
	require.Equal(t, "hello", string(body))

	f := func(bad string) {
		t.Helper()
		_, _, _, err := ParseAnswer([]byte(bad))
		require.Error(t, err)
	}
	f(answer + "x")
	f("HTTP/1.1 2xx Huh\r\nContent-Length: 0\r\n\r\n")
	f("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n")
	f("HTTP/1.1 200 OK\r\n\r\n")
	f("SSH-2.0-x\r\nContent-Length: 0\r\n\r\n")
}
