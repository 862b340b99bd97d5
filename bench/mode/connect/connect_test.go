//go:build linux

package connect

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"sluice/bench/figures"
	"sluice/bench/proc"
	"sluice/bench/rig"
	"sluice/bench/standin"
	"sluice/gateway/testkit"
)

func TestConnectMeasuresEveryKindInTurns(t *testing.T) {
	testkit.NeedProgram(t, []string{"gcc"}, "apt-get install gcc libc6-dev")
	var mu sync.Mutex
	seen := map[string]int{} // token → connects
	inner := (&standin.Server{}).Start(t).Config.Handler
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var connect struct{ Token string }
		if json.Unmarshal([]byte(r.URL.Query().Get("cf_connect")), &connect) == nil {
			mu.Lock()
			seen[connect.Token]++
			mu.Unlock()
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)

	f := &Flags{Connects: 110, Rounds: 1, Floor: true}
	f.Workers, f.Ramp, f.Quiet = 2, 16, standin.Patience
	f.URL, f.Secret, f.Channel, f.PIDs = srv.URL+"/connection/uni_sse", "secret", "bench", strconv.Itoa(os.Getpid())
	r, err := Run(t.Context(), f)
	require.NoError(t, err)
	var order []string
	for _, x := range r.Turns {
		order = append(order, x.Kind)
		require.Positive(t, x.Open)
		require.GreaterOrEqual(t, x.CPU, x.Open)
		require.Positive(t, x.PerSecond)
	}
	require.Equal(t, []string{KindHS256, kindCached, KindFloor, KindAnonymous}, order, "a round begins one kind later than the one before")
	require.Len(t, r.Kinds, 4)
	require.Equal(t, KindFloor, r.Kinds[0].Kind)
	require.NotNil(t, r.Kinds[1].Whole.OverFloor)

	mu.Lock()
	defer mu.Unlock()
	// Two rounds, the warm-up included, and the capture of what the floor says.
	require.Equal(t, 2*110+1, seen[""])
	delete(seen, "")
	fresh, repeated := 0, 0
	for token, n := range seen {
		_, err := jwt.Parse(token, func(*jwt.Token) (any, error) { return []byte("secret"), nil })
		require.NoError(t, err)
		if n == 1 {
			fresh++
		} else {
			repeated++
		}
	}
	require.Equal(t, 2*110, fresh, "no token of the kind was shown before")
	require.Equal(t, repeatedUsers, repeated)
}

func TestConnectNeedsAProcessAndSomethingToDo(t *testing.T) {
	f := &Flags{Connects: 1, Rounds: 1}
	f.Workers, f.Ramp, f.Quiet = 1, 1, time.Second
	f.URL, f.Anonymous = "http://127.0.0.1:1/x", true
	_, err := Run(t.Context(), f)
	require.ErrorIs(t, err, proc.ErrNoPID)
	f.Rounds = 0
	_, err = Run(t.Context(), f)
	require.ErrorContains(t, err, "-rounds")
}

func TestConnectReportComparesRoundByRound(t *testing.T) {
	r := &Report{}
	for i, cpu := range [][3]float64{{10, 30, 40}, {20, 50, 70}, {10, 60, 61}} {
		for k, kind := range []string{KindFloor, KindAnonymous, KindHS256} {
			r.Turns = append(r.Turns, connectTurn{Kind: kind, Round: i + 1, PerSecond: 1, Open: cpu[k], CPU: 2 * cpu[k]})
		}
	}
	r.sumUp()
	require.Len(t, r.Kinds, 3)
	floor, anonymous, hs := r.Kinds[0], r.Kinds[1], r.Kinds[2]
	require.Equal(t, connectFigure{CPU: figures.Spread{Median: 10, Min: 10, Max: 20}}, floor.Open)
	require.Equal(t, connectFigure{CPU: figures.Spread{Median: 50, Min: 30, Max: 60}, OverFloor: &figures.Spread{Median: 3, Min: 2.5, Max: 6}}, anonymous.Open)
	require.Equal(t, &figures.Spread{Median: 10, Min: 1, Max: 20}, hs.Open.More)
	require.Equal(t, &figures.Spread{Median: 20, Min: 2, Max: 40}, hs.Whole.More)
	var out bytes.Buffer
	require.NoError(t, figures.WriteReport(&out, r, false))
	require.Contains(t, out.String(), "3.00 (2.50–6.00)  budget ≤ 2.5: MISSED")
	require.Contains(t, out.String(), "20.00 (2.00–40.00)  budget ≤ 12: MISSED")
	out.Reset()
	require.NoError(t, figures.WriteReport(&out, r, true))
	require.True(t, json.Valid(out.Bytes()))

	r = &Report{Turns: []connectTurn{{Kind: KindAnonymous, Open: 1, CPU: 2}}}
	r.sumUp()
	require.Nil(t, r.Kinds[0].Open.OverFloor, "without a floor there is no ratio")
	require.Empty(t, r.budgets())
	require.NoError(t, figures.WriteReport(&out, r, false))
}

func TestConnectComparesTheProgramBefore(t *testing.T) {
	r := &Report{Peers: []string{rig.NchanSide, rig.BeforeSide}}
	for kind, cpu := range map[string]float64{KindAnonymous: 30, rig.NchanSide: 20, rig.BeforeSide: 60, nameBefore(KindHS256): 90} {
		r.Turns = append(r.Turns, connectTurn{Kind: kind, Round: 1, PerSecond: cpu, Open: cpu, CPU: cpu})
	}
	r.sumUp()
	of := map[string]connectSummary{}
	for _, s := range r.Kinds {
		of[s.Kind] = s
	}
	require.InDelta(t, 0.5, of[rig.BeforeSide].Open.OursOver.Median, 1e-9)
	require.InDelta(t, 0.5, of[rig.BeforeSide].SpeedOver.Median, 1e-9)
	require.InDelta(t, 30, of[nameBefore(KindHS256)].Open.More.Median, 1e-9, "next to the anonymous connects of the same program")
	require.Contains(t, strings.Join(r.budgets(), "\n"), "anonymous ÷ nchan, opening             1.50 (1.50–1.50)  budget ≤ 1.1: MISSED")
}
