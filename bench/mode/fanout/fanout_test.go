//go:build linux

package fanout

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/bench/proc"
	"sluice/bench/rig"
	"sluice/bench/standin"
	"sluice/gateway/testkit"
)

func TestFanOutCountsEveryDeliveryOfServerAndFloor(t *testing.T) {
	testkit.NeedProgram(t, []string{"gcc"}, "apt-get install gcc libc6-dev")
	for _, p := range []Pattern{PatternClosed, PatternBurst, PatternPaced} {
		t.Run(string(p), func(t *testing.T) {
			r, err := measure(t, &standin.Server{}, func(f *Flags) { f.Pattern, f.Floor = string(p), true })
			require.NoError(t, err)
			require.Len(t, r.Rounds, 4)
			require.Equal(t, []string{"floor", "server", "server", "floor"},
				[]string{r.Rounds[0].Side, r.Rounds[1].Side, r.Rounds[2].Side, r.Rounds[3].Side}, "who goes first alternates")
			for _, x := range r.Rounds {
				require.EqualValues(t, 20*30, x.Deliveries)
				require.Zero(t, x.Lost+x.Duplicated+x.Reordered+x.Foreign)
				require.Positive(t, *x.CPU)
				require.Positive(t, x.Lag.P50)
				require.GreaterOrEqual(t, x.Lag.Max, x.LastLag.Max-0.001)
			}
			require.NotNil(t, r.Ratios.CPU)
			require.NoError(t, r.Verdict())
		})
	}
}

// playBurst plays a warm-up and a round of bursts to the streams of s, and calls
// during on another goroutine, which is to return when the context ends.
func playBurst(t *testing.T, s *standin.Server, during func(context.Context, *side)) (*Report, error) {
	t.Helper()
	f := tinyFanOut(s.Start(t).URL)
	f.Pattern, f.Rounds = "burst", 1
	require.NoError(t, f.check())
	r, err := rig.New(t.Context(), &f.CommonFlags, 100)
	require.NoError(t, err)
	t.Cleanup(r.Close)
	listening, err := openHost(t.Context(), f, r, &r.Host, &rig.Captured{})
	require.NoError(t, err)
	t.Cleanup(listening.close)
	ctx, cancel := context.WithCancel(t.Context())
	var aside sync.WaitGroup
	aside.Go(func() { during(ctx, listening) })
	defer aside.Wait()
	defer cancel()
	report := newReport(f, r, 0)
	return report, takeTurns(t.Context(), f, r, []*side{listening}, report)
}

func TestFanOutReportsLostAndRepeatedDeliveries(t *testing.T) {
	// The first publication is the one that is captured; 3 messages warm up.
	lost := make(chan struct{})
	r, err := playBurst(t, &standin.Server{Mangle: func(n int, frame string) string {
		switch n {
		case 10:
			close(lost)
			return ""
		case 20:
			return frame + frame
		}
		return frame
	}}, func(ctx context.Context, s *side) {
		select {
		case <-lost:
			s.goal.Add(20) // nobody waits for what will not come
		case <-ctx.Done():
		}
	})
	require.NoError(t, err)
	require.EqualValues(t, 20, r.Rounds[0].Lost)
	require.EqualValues(t, 20, r.Rounds[0].Duplicated)
	require.EqualValues(t, 20*29, r.Rounds[0].Deliveries)
	require.ErrorContains(t, r.Verdict(), "20 deliveries were lost and 20 repeated")
}

func TestFanOutStopsWhenTheServerEndsStreams(t *testing.T) {
	_, err := playBurst(t, &standin.Server{Mangle: func(n int, frame string) string {
		if n == 10 {
			return "data: {\"disconnect\":{\"code\":3008,\"reason\":\"slow\"}}\n\n"
		}
		return frame
	}}, func(ctx context.Context, s *side) {
		for s.client.Closed.Load() < 20 {
			if proc.Pause(ctx, time.Millisecond) != nil {
				return
			}
		}
		s.goal.Add(20 * 30) // nobody waits for what will not come
	})
	require.ErrorContains(t, err, "3008")
	require.ErrorContains(t, err, "20 of 20 streams were closed")
}

func TestFanOutSaysWhyStreamsOrPublicationsAreRefused(t *testing.T) {
	_, err := measure(t, &standin.Server{Refuse: "data: {\"disconnect\":{\"code\":3500,\"reason\":\"invalid token\"}}\n\n"}, func(*Flags) {})
	require.ErrorContains(t, err, "the server ended the stream")
	_, err = measure(t, &standin.Server{}, func(f *Flags) { f.Key = "wrong" })
	require.ErrorContains(t, err, "401")
}
