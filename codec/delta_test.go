package codec

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What may be asked for again and again must not cost without bound.
func TestDeltasOfARecoveryAreBounded(t *testing.T) {
	long := func(end string) JSON { return QuoteJSON(strings.Repeat("a", 10<<10) + end) }
	result := SubscribeResult{Channel: "c", Delta: true}
	for i := range 50 {
		result.Publications = append(result.Publications, &Publication{Data: long(string(rune('a' + i))), Offset: uint64(i + 1)})
	}
	text := string(AppendConnect(nil, &ConnectResult{Subs: []SubscribeResult{result}}))
	deltas := strings.Count(text, `"delta":true},`) // not that of the subscription
	require.Equal(t, maxDeltaWork/(2*long("a").Len()), deltas, "and the others are whole")
	require.Equal(t, 50-deltas, strings.Count(text, `"data":"\"aaa`))
}
