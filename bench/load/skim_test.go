//go:build linux

package load

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/bench/standin"
)

// skimmed feeds the pieces to a splitter that keeps little of each event.
func skimmed(keep int, pieces ...string) (events []string, err error) {
	s := &Splitter{}
	s.events.keep = keep
	for _, p := range pieces {
		buf := []byte(p)
		err = s.Feed(buf, func(data []byte) { events = append(events, string(data)) })
		for i := range buf {
			buf[i] = '#'
		}
		if err != nil {
			return events, err
		}
	}
	return events, nil
}

func TestSkimmedEventsBeginAsTheWholeOnesDo(t *testing.T) {
	long := strings.Repeat("z", 40)
	wire := standin.Head + standin.Chunked("\r\n", "data: short\n\n", "id: 1\ndata: a"+long+"\n", "id: 2\n\n", ": hello\ndata: b"+long+"\r\n\r\n", "da", "ta: c", long, "\n\n", "data: {}\n\n")
	whole, _, err := split(wire)
	require.NoError(t, err)
	require.Len(t, whole, 5)
	f := func(pieces ...string) {
		t.Helper()
		events, err := skimmed(12, pieces...)
		require.NoError(t, err)
		require.Len(t, events, len(whole))
		for i, e := range events {
			// The field's name and colon are kept too.
			require.GreaterOrEqual(t, len(e), min(len(whole[i]), 12-len("data: ")))
			require.True(t, strings.HasPrefix(whole[i], e), "%q of %q", e, whole[i])
		}
	}
	f(wire)
	for i := range len(wire) + 1 {
		f(wire[:i], wire[i:])
	}
	f(strings.Split(wire, "")...)
}

func TestSkippableBytesEndBeforeTheEndOfTheirChunk(t *testing.T) {
	s := &Splitter{}
	s.events.keep = 8
	var events []string
	emit := func(data []byte) { events = append(events, string(data)) }
	require.NoError(t, s.Feed([]byte(standin.Head+"64\r\ndata: ab"), emit))
	require.Equal(t, 100-8-2, s.skippable())
	s.skipped(50)
	require.Equal(t, 40, s.skippable())
	s.skipped(40)
	require.Zero(t, s.skippable())
	require.NoError(t, s.Feed([]byte("\n\n\r\n"+"a\r\ndata: cd\n\n\r\n"), emit))
	require.Equal(t, []string{"ab", "cd"}, events)
	require.Zero(t, s.skippable())
}
