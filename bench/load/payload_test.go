//go:build linux

package load

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPayloadHasTheAskedSizeAndCarriesTheMessage(t *testing.T) {
	f := func(size int, m Message) {
		t.Helper()
		b, err := NewPayload(size)
		require.NoError(t, err)
		StampPayload(b, m)
		require.Len(t, b, size)
		require.True(t, json.Valid(b), "%s", b)
		event := `{"channel":"bench","pub":{"data":` + string(b) + `,"offset":4}}`
		got, ok := ParsePayload([]byte(event))
		require.True(t, ok)
		require.Equal(t, m, got)
	}
	f(MinPayload, Message{Sent: 1_700_000_000_123_456_789})
	f(128, Message{Sent: 1_893_456_000_000_000_001, Publisher: maxPublishers - 1, Seq: 1<<32 - 1})
	f(16384, Message{Sent: 1_000_000_000_000_000_000, Publisher: 15, Seq: 42})
	_, err := NewPayload(MinPayload - 1)
	require.ErrorContains(t, err, "-size")
}

func TestParsePayloadPassesOverOtherEvents(t *testing.T) {
	b, err := NewPayload(100)
	require.NoError(t, err)
	StampPayload(b, Message{})
	for _, event := range []string{
		`{}`, `{"channel":"bench","pub":{"data":{"t":1}}}`,
		`{"channel":"bench","pub":{"data":{"t":1,"and":"a long text that is no payload of ours at all, whatever it says"}}}`,
		string(b[:MinPayload-1]),
		`{"t":17000000000000000x0` + string(b[len(`{"t":17000000000000000x0`):]),
	} {
		_, ok := ParsePayload([]byte(event))
		require.False(t, ok, event)
	}
}
