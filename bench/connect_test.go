//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

func TestConnectMeasuresEveryKindInTurns(t *testing.T) {
	testkit.NeedProgram(t, []string{"gcc"}, "apt-get install gcc libc6-dev")
	var mu sync.Mutex
	seen := map[string]int{} // token → connects
	inner := (&standIn{}).start(t).Config.Handler
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

	f := &connectFlags{connects: 110, rounds: 1, floor: true}
	f.workers, f.ramp, f.quiet = 2, 16, patience
	f.url, f.secret, f.channel, f.pids = srv.URL+"/connection/uni_sse", "secret", "bench", strconv.Itoa(os.Getpid())
	r, err := runConnect(t.Context(), f)
	require.NoError(t, err)
	var order []string
	for _, x := range r.Turns {
		order = append(order, x.Kind)
		require.Positive(t, x.Open)
		require.GreaterOrEqual(t, x.CPU, x.Open)
		require.Positive(t, x.PerSecond)
	}
	require.Equal(t, []string{kindHS256, kindCached, kindFloor, kindAnonymous}, order, "a round begins one kind later than the one before")
	require.Len(t, r.Kinds, 4)
	require.Equal(t, kindFloor, r.Kinds[0].Kind)
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
	f := &connectFlags{connects: 1, rounds: 1}
	f.workers, f.ramp, f.quiet = 1, 1, time.Second
	f.url, f.anonymous = "http://127.0.0.1:1/x", true
	_, err := runConnect(t.Context(), f)
	require.ErrorIs(t, err, errNoPID)
	f.rounds = 0
	_, err = runConnect(t.Context(), f)
	require.ErrorContains(t, err, "-rounds")
}

func TestConnectReportComparesRoundByRound(t *testing.T) {
	r := &connectReport{}
	for i, cpu := range [][3]float64{{10, 30, 40}, {20, 50, 70}, {10, 60, 61}} {
		for k, kind := range []string{kindFloor, kindAnonymous, kindHS256} {
			r.Turns = append(r.Turns, connectTurn{Kind: kind, Round: i + 1, PerSecond: 1, Open: cpu[k], CPU: 2 * cpu[k]})
		}
	}
	r.sumUp()
	require.Len(t, r.Kinds, 3)
	floor, anonymous, hs := r.Kinds[0], r.Kinds[1], r.Kinds[2]
	require.Equal(t, connectFigure{CPU: spread{10, 10, 20}}, floor.Open)
	require.Equal(t, connectFigure{CPU: spread{50, 30, 60}, OverFloor: &spread{3, 2.5, 6}}, anonymous.Open)
	require.Equal(t, &spread{10, 1, 20}, hs.Open.More)
	require.Equal(t, &spread{20, 2, 40}, hs.Whole.More)
	var out bytes.Buffer
	require.NoError(t, writeReport(&out, r, false))
	require.Contains(t, out.String(), "3.00 (2.50–6.00)  budget ≤ 4: kept")
	require.Contains(t, out.String(), "20.00 (2.00–40.00)  budget ≤ 15: MISSED")
	out.Reset()
	require.NoError(t, writeReport(&out, r, true))
	require.True(t, json.Valid(out.Bytes()))

	r = &connectReport{Turns: []connectTurn{{Kind: kindAnonymous, Open: 1, CPU: 2}}}
	r.sumUp()
	require.Nil(t, r.Kinds[0].Open.OverFloor, "without a floor there is no ratio")
	require.Empty(t, r.budgets())
	require.NoError(t, writeReport(&out, r, false))
}

func TestTokensVerifyWithThePublicKeyThatWasPrinted(t *testing.T) {
	key, public, err := newKeyPair()
	require.NoError(t, err)
	token, err := signToken(jwt.SigningMethodRS256, key, jwt.MapClaims{"sub": userName(3)})
	require.NoError(t, err)
	parsed, err := jwt.ParseRSAPublicKeyFromPEM([]byte(public))
	require.NoError(t, err)
	got, err := jwt.Parse(token, func(*jwt.Token) (any, error) { return parsed, nil })
	require.NoError(t, err)
	sub, err := got.Claims.GetSubject()
	require.NoError(t, err)
	require.Equal(t, "bench-3", sub)
}

func TestMintAllKeepsOrderAndReportsErrors(t *testing.T) {
	tokens, err := mintAll(1001, func(i int) (string, error) { return strconv.Itoa(i), nil })
	require.NoError(t, err)
	for i, token := range tokens {
		require.Equal(t, strconv.Itoa(i), token)
	}
	_, err = mintAll(10, func(i int) (string, error) {
		if i == 7 {
			return "", os.ErrInvalid
		}
		return "x", nil
	})
	require.ErrorIs(t, err, os.ErrInvalid)
}
