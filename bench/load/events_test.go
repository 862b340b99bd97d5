//go:build linux

package load

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestEventParserKeepsTheLastEventID(t *testing.T) {
	f := func(want []string, body string) {
		t.Helper()
		for size := 1; size <= len(body); size++ { // wherever the pieces end
			p := eventParser{keepID: true}
			got := []string{}
			for at := 0; at < len(body); at += size {
				require.NoError(t, p.feed([]byte(body[at:min(at+size, len(body))]), func(data []byte) {
					got = append(got, string(p.id)+"="+string(data))
				}))
			}
			require.Equal(t, want, got, "in pieces of %d", size)
		}
	}
	f([]string{"7=a"}, "id: 7\ndata: a\n\n")
	f([]string{"7=a", "7=b"}, "data: a\nid:7\n\ndata: b\n\n")
	f([]string{"1=a", "2=b"}, "id: 1\r\ndata: a\r\n\r\nid: 2\r\ndata: b\r\n\r\n")
	f([]string{"5=a"}, "id: 5\n\ndata: a\n\n")
	f([]string{"5=a"}, "id: 4\nid: 5\ndata: a\n\nid: 6\n")
	f([]string{"1=a", "=b"}, "id: 1\ndata: a\n\nid\ndata: b\n\n")
	f([]string{"1=a", "1=b"}, "id: 1\ndata: a\n\nid: x\x00\nidle: 9\ndata: b\n\n")
	f([]string{" 1=a"}, "id:  1\ndata: a\n\n")
}

func TestEventParserKnowsTheDelayTold(t *testing.T) {
	f := func(body string, want time.Duration) {
		t.Helper()
		var p eventParser
		require.NoError(t, p.feed([]byte(body), func([]byte) {}))
		require.Equal(t, want, p.retry)
	}
	f("retry: 1500\n\n", 1500*time.Millisecond)
	f("retry:20\r\n\r\ndata: x\n\n", 20*time.Millisecond)
	f("retry: soon\n\n", 0)
	f("data: retry: 5\n\n", 0)
}

func TestEventParserReadsOverIDsThatNobodyWants(t *testing.T) {
	var p eventParser
	require.NoError(t, p.feed([]byte("id: 7\ndata: a\n\n"), func([]byte) {}))
	require.Empty(t, p.id)
	require.Empty(t, p.nextID)
}
