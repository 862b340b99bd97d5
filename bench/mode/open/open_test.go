//go:build linux

package open

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/bench/load"
	"sluice/bench/mode/modetest"
	"sluice/bench/proc"
	"sluice/bench/rig"
	"sluice/bench/standin"
)

func tinyOpen(url string) *Flags {
	return &Flags{CommonFlags: modetest.Flags(url), Streams: 20, Messages: 40, Size: 200, Conns: 4, Rounds: 2}
}

func TestOpenBringsEveryMessageToEveryReader(t *testing.T) {
	f := tinyOpen((&standin.Server{}).Start(t).URL)
	f.settle = time.Millisecond
	r, err := Run(t.Context(), f)
	require.NoError(t, err)
	require.NoError(t, r.Verdict())
	var kinds []string
	for _, x := range r.Turns {
		kinds = append(kinds, x.Kind)
		require.Equal(t, 40, x.Accepted)
		require.EqualValues(t, 20*40, x.Deliveries)
		require.Zero(t, x.Closed+x.Lost+x.Duplicated+x.Reordered+x.Foreign+x.Ghosts)
		require.Positive(t, x.Seconds)
		require.Positive(t, x.Peak)
		require.LessOrEqual(t, x.InFlight, 40*200.0/(1<<20)+1e-9)
		require.InDelta(t, x.InFlight+32+20*2/1024.0, x.PeakBudget, 1e-9)
	}
	require.Equal(t, []string{"open", "closed", "closed", "open"}, kinds, "which comes first alternates")
	require.NotNil(t, r.Time)
	require.NotNil(t, r.Idle)
	modetest.Prints(t, r, "closed 0, lost 0  budget ≤ 0: kept", "open ÷ closed loop", "RSS per idle stream")
}

func TestOpenDropsMostOfALargeMessageUnread(t *testing.T) {
	f := tinyOpen((&standin.Server{}).Start(t).URL)
	f.Streams, f.Messages, f.Size, f.Conns, f.Rounds = 5, 6, 1<<20, 2, 1
	r, err := Run(t.Context(), f)
	require.NoError(t, err)
	require.NoError(t, r.Verdict())
	for _, x := range r.Turns {
		require.EqualValues(t, 5*6, x.Deliveries)
	}
}

func TestOpenCountsClosedReadersAndGoesOn(t *testing.T) {
	r, err := Run(t.Context(), tinyOpen((&standin.Server{Mangle: func(n int, frame string) string {
		if n == openWarmUp+10 {
			return "data: {\"disconnect\":{\"code\":3008,\"reason\":\"slow\"}}\n\n"
		}
		return frame
	}}).Start(t).URL))
	require.NoError(t, err)
	x := r.Turns[0]
	require.Equal(t, openLoop, x.Kind)
	require.EqualValues(t, 20, x.Closed)
	require.Equal(t, map[string]int64{"3008 slow": 20}, x.Reasons)
	require.Equal(t, 40, x.Accepted)
	require.InDelta(t, 20*(40-9), x.Missed, 20*4, "the publishers' order is not quite the streams'")
	require.Zero(t, x.Lost, "of closed streams nothing is lost")
	for _, x := range r.Turns[1:] {
		require.Zero(t, x.Closed)
		require.EqualValues(t, 20*40, x.Deliveries, "the streams were opened again")
	}
	require.NotNil(t, r.Time, "of the second round")
	require.ErrorContains(t, r.Verdict(), "20 streams that read were closed")
	modetest.Prints(t, r, "20 × 3008 slow", "closed 20, lost 0  budget ≤ 0: MISSED")
}

// forgetful is a server that refuses the n-th publication behind the warm-up,
// and delivers neither it nor the lost ones.
func forgetful(n int, lost ...int) *standin.Server {
	return &standin.Server{
		Mangle: func(k int, frame string) string {
			if k -= openWarmUp; k == n || slices.Contains(lost, k) {
				return ""
			}
			return frame
		},
		Answer: func(k int) string {
			if k == openWarmUp+n {
				return `{"error":{"code":100,"message":"internal server error"}}`
			}
			return `{"result":{}}`
		},
	}
}

func TestOpenTellsLostFromRefused(t *testing.T) {
	f := tinyOpen(forgetful(3, 4).Start(t).URL)
	f.Rounds, f.Quiet = 1, 200*time.Millisecond
	r, err := Run(t.Context(), f)
	require.NoError(t, err)
	x := r.Turns[0]
	require.Equal(t, 39, x.Accepted)
	require.Equal(t, map[string]int{"error 100 internal server error": 1}, x.Refused)
	require.EqualValues(t, 20, x.Lost, "one message that was acknowledged")
	require.ErrorContains(t, r.Verdict(), "20 deliveries of acknowledged messages")
	modetest.Prints(t, r, "1 × error 100")

	f.CommonFlags, f.retries = modetest.Flags(forgetful(3).Start(t).URL), 1
	r, err = Run(t.Context(), f)
	require.NoError(t, err)
	require.NoError(t, r.Verdict())
	require.Equal(t, 40, r.Turns[0].Accepted, "the refused one was published again")
	require.EqualValues(t, 20*40, r.Turns[0].Deliveries)
}

func TestOpenLooksWhatBecameOfStalledStreams(t *testing.T) {
	f := tinyOpen((&standin.Server{}).Start(t).URL)
	f.Stalled, f.Rounds = 25, 1
	r, err := Run(t.Context(), f)
	require.NoError(t, err)
	require.NoError(t, r.Verdict())
	for _, x := range r.Turns {
		require.Equal(t, 15, x.Streams)
		require.Equal(t, &openStalled{Open: 5, Closed: map[string]int64{}}, x.Stalled)
	}
	modetest.Prints(t, r, "of the stalled 5 open")
}

func TestOpenCountsReadersThatTrickleApart(t *testing.T) {
	modetest.NeedDiag(t)
	s := &standin.Server{Behind: func(n int) string {
		if n > 20 && n%2 == 0 {
			return "data: {\"disconnect\":{\"code\":3008,\"reason\":\"slow\"}}\n\n"
		}
		return ""
	}}
	// The middle of a turn waits until some came.
	s.Mangle = func(n int, frame string) string {
		if n > openWarmUp && (n-openWarmUp)%40 == 20 {
			for want := s.Opened.Load() + 4; s.Opened.Load() < want; {
				if proc.Pause(t.Context(), time.Millisecond) != nil {
					break
				}
			}
		}
		return frame
	}
	f := tinyOpen(s.Start(t).URL)
	f.Trickle, f.Rounds = time.Millisecond, 1
	r, err := Run(t.Context(), f)
	require.NoError(t, err)
	require.NoError(t, r.Verdict())
	require.Nil(t, r.WarmUp.Trickled)
	var came, cut int64
	for _, x := range r.Turns {
		require.EqualValues(t, 20*40, x.Deliveries, "those that trickle are no readers")
		require.Zero(t, x.Closed+x.Lost+x.Foreign)
		require.GreaterOrEqual(t, x.Trickled.Came, int64(4))
		require.GreaterOrEqual(t, x.Trickled.Cut, int64(2))
		require.Equal(t, map[string]int64{"3008 slow": x.Trickled.Cut}, x.Trickled.Closed)
		require.Positive(t, x.Trickled.Open)
		require.LessOrEqual(t, x.Trickled.Cut+int64(x.Trickled.Open), x.Trickled.Came)
		came, cut = came+x.Trickled.Came, cut+x.Trickled.Cut
	}
	require.Equal(t, came, r.Trickled.Came)
	require.Equal(t, cut, r.Trickled.Cut)
	modetest.Prints(t, r, "while one more that trickles comes every 1ms", fmt.Sprintf("of %d streams that trickle the server closed %d\n", came, cut))
}

func TestASipIsASmallRead(t *testing.T) {
	event := "data: " + strings.Repeat("z", 200<<10) + "\n\n"
	f := tinyOpen((&standin.Server{Behind: func(int) string { return event }}).Start(t).URL)
	r, err := rig.New(t.Context(), &f.CommonFlags, 64)
	require.NoError(t, err)
	t.Cleanup(r.Close)
	x := &opens{f: f, r: r}
	requests, err := r.Requests(1)
	require.NoError(t, err)
	s, err := x.newTrickling(requests)
	require.NoError(t, err)
	defer s.client.Close()
	require.NoError(t, s.client.Open(t.Context(), 1, standin.Patience))
	ctx, cancel := context.WithTimeout(t.Context(), standin.Patience)
	defer cancel()
	for taken := int64(0); taken < int64(len(event)); {
		require.NoError(t, proc.Pause(ctx, time.Millisecond))
		before := taken
		s.client.OnWorkers(func(int) {
			before = s.client.Taken(0)
			s.client.Sip(0)
			taken = s.client.Taken(0)
		})
		require.LessOrEqual(t, taken-before, int64(trickleRead), "also where the rest of an event does not matter")
	}
	require.NoError(t, s.client.Err())
}

func TestOpenRefusesWrongUse(t *testing.T) {
	f := tinyOpen((&standin.Server{}).Start(t).URL)
	f.Stalled = 95
	_, err := Run(t.Context(), f)
	require.ErrorContains(t, err, "-stalled")
	f = tinyOpen((&standin.Server{}).Start(t).URL)
	f.PIDs = ""
	_, err = Run(t.Context(), f)
	require.ErrorIs(t, err, proc.ErrNoPID)
}

func TestInFlightIsTheMostAtATime(t *testing.T) {
	f := func(want int, acked, last []int64) {
		t.Helper()
		turn := newReadersTurn(1)
		turn.last[0], turn.lastAt = last, 100
		require.Equal(t, want, turn.inFlight(&load.Poured{Acked: [][]int64{acked}}))
	}
	f(0, nil, nil)
	f(1, []int64{1, 3}, []int64{2, 4})
	f(2, []int64{1, 3}, []int64{4, 5})
	f(1, []int64{1, 2}, []int64{2, 3})
	f(0, []int64{5}, []int64{4})
	f(1, []int64{1, 0}, []int64{2, 0})
	f(2, []int64{1, 2}, []int64{9})
}
