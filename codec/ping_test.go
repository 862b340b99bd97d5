package codec

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// A ping is one event at most, whatever pads it, and a comment leaves none.
func TestPingsOfEachStyle(t *testing.T) {
	for style, events := range map[PingStyle]int{PingData: 1, PingComment: 0, PingID: 0} {
		for _, padding := range []int{0, 1, 2, 128} {
			f := NewPing(style, padding)
			for _, fr := range []Framing{FramingChunked, FramingClose} {
				name := fmt.Sprintf("style %d, %d lines, framing %d", style, padding, fr)
				lines, end := f.Event(fr, false)
				whole := append(bytes.Clone(lines), end...)
				got := readStream(t, fr, whole)
				require.Len(t, got, events, name)
				if events > 0 {
					require.Equal(t, "{}", got[0].Data, name)
				}
				if fr == FramingClose {
					require.True(t, strings.HasSuffix(string(whole), "\n\n"), name)
					require.GreaterOrEqual(t, len(whole), padding*PaddingLine, name)
					require.LessOrEqual(t, len(whole), padding*PaddingLine+len("data: {}\n\n\n"), name)
				}
				if style == PingData {
					continue
				}
				// With an id of the stream's own: a block of its own, and no event.
				body := AppendEventEnd(bytes.Clone(f.Lines(fr)), fr, []byte("cursor"))
				require.Contains(t, string(body), "id: cursor\n\n", name)
				if fr == FramingClose {
					r := testkit.NewReader(bytes.NewReader(body))
					_, err := r.Next()
					require.Equal(t, io.EOF, err, name)
					require.Equal(t, []any{1, "cursor"}, []any{r.IDOnly(), r.LastEventID()}, name)
				}
			}
		}
	}
	require.Same(t, PingFrame, NewPing(PingData, 0))
	require.Equal(t, ":\n\n", plainOf(NewPing(PingComment, 0)))
	require.Empty(t, AppendPadding(nil, 0))
	require.Len(t, AppendPadding(nil, 2), 2*PaddingLine+1)
}

func plainOf(f *Frame) string {
	lines, end := f.Event(FramingClose, false)
	return string(lines) + string(end)
}
