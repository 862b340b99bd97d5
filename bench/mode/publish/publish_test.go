//go:build linux

package publish

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/bench/load"
	"sluice/bench/mode/modetest"
	"sluice/bench/rig"
	"sluice/bench/standin"
)

func TestScheduleIsFixedBeforehand(t *testing.T) {
	s := schedule{begin: 1000, end: 1000 + int64(time.Second), rate: 1000}
	for i := range int64(1000) {
		require.Equal(t, 1000+i*int64(time.Millisecond), s.next(5), "message "+strconv.FormatInt(i, 10))
		require.False(t, s.over(5))
		s.sent++
	}
	require.True(t, s.over(5))
	s.rate = 0
	require.EqualValues(t, 5, s.next(5), "without a rate, at once")
}

func TestPublishMeasuresFullAndHalfRate(t *testing.T) {
	f := &Flags{CommonFlags: modetest.Flags((&standin.Server{}).Start(t).URL), Conns: 3, Size: 128, Rounds: 2, Duration: 50 * time.Millisecond}
	r, err := Run(t.Context(), f)
	require.NoError(t, err)
	require.Len(t, r.Rounds, 2)
	for _, x := range r.Rounds {
		require.Positive(t, x.PerSecond)
		require.Positive(t, x.Half.P99)
		require.NotNil(t, x.CPU)
	}
	modetest.Prints(t, r, "requests/s")

	f.Key = "wrong"
	_, err = Run(t.Context(), f)
	require.ErrorContains(t, err, "401")
}

func TestHammerSaysWhatIsWrong(t *testing.T) {
	f := func(answer, want string) {
		t.Helper()
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_, _ = io.WriteString(conn, answer)
				_ = conn.Close()
			}
		}))
		t.Cleanup(srv.Close)
		addr := netip.MustParseAddrPort(srv.Listener.Addr().String())
		h, err := newHammer(addr, 1, []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), -1, (&load.Target{}).Dialect().Accepts, standin.Patience)
		require.NoError(t, err)
		defer h.Close()
		_, err = h.Run(t.Context(), time.Second, 0)
		require.ErrorContains(t, err, want)
	}
	f("", "closed a keep-alive connection")
	f("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "")
	f("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno", "401 no")
	f("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{\"error\":{}", "error")
	f("HTTP/1.1 200 OK\r\n\r\n", "Content-Length")
}

func TestPublishComparesTheProgramBefore(t *testing.T) {
	r := &Report{Sides: []publishSide{{Name: rig.OurSide}, {Name: rig.BeforeSide}}}
	for round := range 3 {
		ours, before := 10.0, 20.0
		r.Rounds = append(r.Rounds, publishTurn{Side: rig.OurSide, Round: round, PerSecond: 130, CPU: &ours}, publishTurn{Side: rig.BeforeSide, Round: round, PerSecond: 100, CPU: &before})
	}
	r.sumUp()
	modetest.Prints(t, r, "requests/s, ours ÷ before  1.30 (1.30–1.30)  budget ≥ 1.2: kept", "CPU per request, ours ÷ before  0.50")
}
