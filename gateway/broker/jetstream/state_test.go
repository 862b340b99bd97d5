package jetstream

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/broker"
	"sluice/gateway/nats"
)

var day = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

func after(s state, size int, ttl time.Duration, at time.Time) state {
	return s.next(&codec.Publication{}, &broker.PublishOptions{History: broker.HistoryOptions{Size: size, TTL: ttl, MetaTTL: time.Hour}}, at)
}

// A history is so many publications, which all end when the last one is old enough.
func TestWhatIsKept(t *testing.T) {
	var s state
	s.begin(func() string { return "e" })
	for i := range 5 {
		s = after(s, 3, time.Minute, day.Add(time.Duration(i)*time.Second))
	}
	require.EqualValues(t, 5, s.top)
	require.EqualValues(t, 3, s.kept(day.Add(time.Minute)))
	require.EqualValues(t, 6, s.kept(day.Add(64*time.Second)), "it is over")
	s = after(s, 3, time.Minute, day.Add(2*time.Minute))
	require.EqualValues(t, 6, s.kept(day.Add(2*time.Minute)), "what was over does not come back")
	s = after(s, 10, time.Minute, day.Add(2*time.Minute))
	require.EqualValues(t, 6, s.floor)
	s.floor, s.ttl = s.top+1, 0 // removed
	require.EqualValues(t, 8, s.kept(day))
	s = after(s, 10, time.Minute, day)
	require.EqualValues(t, 8, s.kept(day))
	require.Equal(t, "3600", s.life())
}

// What is written reads again, and what is none of ours is no state.
func FuzzState(f *testing.F) {
	for _, text := range []string{"", "1 p e 1 1 1000 60", "1 p e 1 1 1000 60 5 =x", "1 s e 0 1 0 60", "2 p e 1 1 1 1", "1 p e 0 1 1 1", "1 p e 18446744073709551615 1 1 1", "1 p ü 1 1 1 1", "1 p e 1 9 1 1"} {
		f.Add(text, "")
	}
	f.Fuzz(func(t *testing.T, text, vepoch string) {
		s, ok := readState(&nats.Stored{Header: nats.Header{headerState: {text}}, Seq: 7, Time: day})
		if !ok {
			return
		}
		again, ok := readState(&nats.Stored{Header: nats.Header{headerState: {s.header()}}, Seq: 7, Time: day})
		require.True(t, ok)
		require.Equal(t, s, again)
		require.LessOrEqual(t, s.floor, s.top+1)
		s.version, s.vepoch, s.guarded = 1, vepoch, true
		again, ok = readState(&nats.Stored{Header: nats.Header{headerState: {s.header()}}, Seq: 7, Time: day})
		require.Equal(t, len(s.header()) <= 4096, ok)
		if ok {
			require.Equal(t, s, again)
		}
		require.False(t, strings.ContainsAny(s.header(), "\r\n"))
	})
}
