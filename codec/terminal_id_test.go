package codec

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTerminalIDs(t *testing.T) {
	for _, c := range []struct {
		code          uint32
		refused, open string
		final         bool // of a refused connect
	}{
		{3500, "!3500", "!3500!", false}, {3501, "!3501", "!3501!", false},
		{3503, "!3503", "!3503", true}, {3504, "!3504", "!3504", true}, {3505, "!3505", "!3505", true},
		{3507, "!3507", "!3507", true}, {3999, "!3999", "!3999", true}, {4500, "!4500", "!4500", true}, {4999, "!4999", "!4999", true},
	} {
		require.Equal(t, "x"+c.refused, string(AppendTerminalID([]byte("x"), c.code, false)))
		require.Equal(t, c.open, string(AppendTerminalID(nil, c.code, true)))
		final, ok := TerminalID(c.refused)
		require.True(t, ok)
		require.Equal(t, c.final, final, c.refused)
		final, ok = TerminalID(c.open)
		require.True(t, ok && final, c.open)
		_, cursor := ParseCursor(nil, c.open, 10)
		require.False(t, cursor)
	}
	for _, id := range []string{"", "!", "!!", "3503", "!3005", "!4499", "!5000", "!abc", "!99999999999", "!-3503", "! 3503", "!3503!!", "?3503"} {
		_, ok := TerminalID(id)
		require.False(t, ok, id)
	}
}
