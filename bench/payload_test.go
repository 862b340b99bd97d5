//go:build linux

package main

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPayloadHasTheAskedSizeAndCarriesTheMessage(t *testing.T) {
	f := func(size int, m message) {
		t.Helper()
		b, err := newPayload(size)
		require.NoError(t, err)
		stampPayload(b, m)
		require.Len(t, b, size)
		require.True(t, json.Valid(b), "%s", b)
		event := `{"channel":"bench","pub":{"data":` + string(b) + `,"offset":4}}`
		got, ok := parsePayload([]byte(event))
		require.True(t, ok)
		require.Equal(t, m, got)
	}
	f(minPayload, message{sent: 1_700_000_000_123_456_789})
	f(128, message{sent: 1_893_456_000_000_000_001, publisher: maxPublishers - 1, seq: 1<<32 - 1})
	f(16384, message{sent: 1_000_000_000_000_000_000, publisher: 15, seq: 42})
	_, err := newPayload(minPayload - 1)
	require.ErrorContains(t, err, "-size")
}

func TestParsePayloadPassesOverOtherEvents(t *testing.T) {
	b, err := newPayload(100)
	require.NoError(t, err)
	stampPayload(b, message{})
	for _, event := range []string{
		`{}`, `{"channel":"bench","pub":{"data":{"t":1}}}`,
		`{"channel":"bench","pub":{"data":{"t":1,"and":"a long text that is no payload of ours at all, whatever it says"}}}`,
		string(b[:minPayload-1]),
		`{"t":17000000000000000x0` + string(b[len(`{"t":17000000000000000x0`):]),
	} {
		_, ok := parsePayload([]byte(event))
		require.False(t, ok, event)
	}
}
