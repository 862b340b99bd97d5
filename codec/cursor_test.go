package codec

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCursorRoundTrip(t *testing.T) {
	f := func(entries ...CursorEntry) {
		t.Helper()
		var text []byte
		for _, e := range entries {
			text = AppendCursorEntry(text, e)
		}
		got, ok := ParseCursor(nil, string(text), len(entries))
		require.True(t, ok, "%s", text)
		require.Equal(t, entries, got)
		for _, b := range text {
			require.True(t, b > ' ' && b < 127, "visible ASCII only: %q", text)
		}
	}
	f(CursorEntry{1, 2, 0})
	f(CursorEntry{math.MaxUint32, math.MaxUint32, math.MaxUint64})
	f(CursorEntry{Tag32("news"), Tag32("MJbvBguM"), 63}, CursorEntry{Tag32("a"), 0, 64}, CursorEntry{0, 9, 1 << 40})
}

func TestCursorEntryIsAboutFifteenCharacters(t *testing.T) {
	require.Len(t, AppendCursorEntry(nil, CursorEntry{1, 2, 100_000}), 15)
	require.LessOrEqual(t, maxCursorEntry, maxFrameID, "a frame's id holds one entry")
}

func TestSetCursorOffset(t *testing.T) {
	text := AppendCursorEntry(nil, CursorEntry{1, 2, 64})
	at := len(text)
	text = AppendCursorEntry(text, CursorEntry{3, 4, 70})
	require.True(t, SetCursorOffset(text, at, 4095))
	got, ok := ParseCursor(nil, string(text), 2)
	require.True(t, ok)
	require.Equal(t, []CursorEntry{{1, 2, 64}, {3, 4, 4095}}, got)
	require.False(t, SetCursorOffset(text, at, 4096), "one digit more does not fit")
	require.False(t, SetCursorOffset(text, at, 63), "nor one less")
}

func TestParseCursorRefuses(t *testing.T) {
	good := string(AppendCursorEntry(nil, CursorEntry{1, 2, 3}))
	f := func(name, text string) {
		t.Helper()
		got, ok := ParseCursor(nil, text, 128)
		require.False(t, ok, name)
		require.Empty(t, got, name)
	}
	f("nothing", "")
	f("foreign", "42")
	f("truncated", good[:len(good)-1])
	f("trailing", good+"x")
	f("not ASCII", good[:5]+"é"+good[6:])
	f("NUL", "\x00"+good)
	f("a leading zero digit", "C"+good[1:12]+"AD")
	f("64 KiB", strings.Repeat("A", 64<<10))
	f("more entries than allowed", strings.Repeat(good, 129))
	f("a name of more than 64 bits", "B___________A")
	f("terminal mark", "!3500")
}

func FuzzParseCursor(f *testing.F) {
	f.Add(string(AppendCursorEntry(nil, CursorEntry{1, 2, 3})))
	f.Add("!3500")
	f.Fuzz(func(t *testing.T, text string) {
		entries, ok := ParseCursor(nil, text, 64)
		if !ok {
			require.Empty(t, entries)
			return
		}
		var again []byte
		for _, e := range entries {
			again = AppendCursorEntry(again, e)
		}
		require.Equal(t, text, string(again), "one text for one meaning")
	})
}
