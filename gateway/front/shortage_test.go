package front

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// A newcomer waits for a place as long as the server gets on, if not for ever; and where that
// was held up as a whole, no time has passed.
func TestHowLongNewcomersWaitForAPlace(t *testing.T) {
	var s shortage
	// ago makes it later.
	ago := func(by time.Duration) {
		s.first.Add(-int64(by))
		s.from.Add(-int64(by))
		s.looked.Add(-int64(fullPoll))
	}
	require.False(t, s.tooLong())
	require.False(t, s.lasts(7))
	require.False(t, s.lasts(7), "no time has passed")
	require.EqualValues(t, 1, s.looks.Load(), "two looks at once are one")
	ago(2 * patienceFull)
	for n := range fullLooks - 1 {
		require.False(t, s.lasts(7), n)
		ago(0)
	}
	require.True(t, s.lasts(7))
	require.True(t, s.tooLong())
	require.False(t, s.lasts(8), "somebody has left, and another has the place")
	require.False(t, s.tooLong())
	for range fullLooks {
		ago(0)
		s.lasts(8)
	}
	require.False(t, s.tooLong(), "too soon")
	ago(patienceFull)
	require.True(t, s.tooLong())
	s.ends()
	require.False(t, s.tooLong())

	require.False(t, s.lasts(8))
	ago(longestFull)
	gone := uint64(9)
	for ; s.looks.Load() < 10*fullLooks-1; gone++ {
		ago(0)
		require.False(t, s.lasts(gone))
	}
	ago(0)
	require.True(t, s.lasts(gone), "it waits for ever, though the server gets on")
}

// Whoever is turned away has had no place, and one who has a place of his own takes none.
func TestWhoGivesUpAPlace(t *testing.T) {
	w := NewWaiting(WaitingOptions{Files: Files{None: 4, Private: 1}})
	all := conns(t, w, "192.0.2.1", "192.0.2.2", "192.0.2.3")
	gone := func(c *Conn, ends bool) uint64 {
		if ends {
			w.end(c)
		}
		w.leave(c)
		return w.gone.Load()
	}
	require.EqualValues(t, 0, gone(all[0], false), "turned away")
	require.EqualValues(t, 1, gone(all[1], true))
	private := &Conn{Conn: all[2].Conn, ln: &Listener{waiting: w, opt: Options{Private: true}}, named: all[2].named}
	w.enter(private, lightBytes)
	require.EqualValues(t, 1, gone(private, true), "it had one that is nobody else's")
}

// Where the node is full for good each newcomer is closed at once, but for the first.
func TestAFullNodeDoesNotKeepNewcomersInTheBacklog(t *testing.T) {
	w := NewWaiting(WaitingOptions{Files: Files{Scarce: 5, None: 10}, Others: func() int { return 10 }})
	s := serve(t, Options{Waiting: w}, strictly)
	var all []*testkit.Conn
	for range 50 {
		all = append(all, s.dial(t, ""))
	}
	for _, c := range all {
		_ = c.TrySend("G")
		require.Empty(t, expectGone(t, c.NetConn()))
	}
	require.EqualValues(t, 50, s.Stats().Shed)
	require.Zero(t, w.gone.Load(), "the server got on by turning somebody away: the next one waits")
}
