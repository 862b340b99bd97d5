package watch

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/api"
	"sluice/gateway/console"
	"sluice/gateway/console/series"
	"sluice/gateway/loop"
	"sluice/gateway/metrics"
	"sluice/gateway/session"
)

func TestFiguresComeBackAsTheyWere(t *testing.T) {
	data, err := json.Marshal(figures{1, math.NaN(), 0.1, 1e9})
	require.NoError(t, err)
	require.Equal(t, "[1,null,0.1,1e+09]", string(data))
	var back figures
	require.NoError(t, json.Unmarshal(data, &back))
	require.Len(t, back, 4)
	require.True(t, math.IsNaN(back[1]))
	require.Equal(t, figures{1, 0.1, 1e9}, append(back[:1:1], back[2:]...))
	require.Error(t, json.Unmarshal([]byte(`{"a":1}`), &back))
	require.Equal(t, 0.1, short(0.1), "with as many digits as it has")
	require.True(t, math.IsNaN(short(float32(math.NaN()))))
}

func TestFiguresOfNodesAreSummedOrTheWorst(t *testing.T) {
	nan := math.NaN()
	n := &console.Now{
		Series: map[string]console.Figures{"streams": {1, nan, nan}, "lag_p99_ms": {5, 1, nan}},
		Closes: map[string]uint64{"slow_age": 1}, Latest: map[string]float64{"streams": 1, "lag_p99_ms": 5},
	}
	shared := figures{2, 3, nan}
	add(n, &nowAnswer{
		Series: map[string]figures{"streams": shared, "lag_p99_ms": {2, 9, nan}, "users": {1, 2, 3}, "evil": {1, 2, 3}, "cpu": {1}},
		Closes: map[string]uint64{"slow_age": 2, "<script>": 5, "client_gone": 1}, Latest: map[string]float64{"streams": 2, "lag_p99_ms": 2, "evil": 1},
	}, 3)
	require.Equal(t, "[3,3,null]", text(t, n.Series["streams"]))
	require.Equal(t, "[5,9,null]", text(t, n.Series["lag_p99_ms"]))
	require.Equal(t, "[1,2,3]", text(t, n.Series["users"]), "only the other has it")
	require.NotContains(t, n.Series, "evil")
	require.NotContains(t, n.Series, "cpu", "of another length")
	require.Equal(t, map[string]uint64{"slow_age": 3, "client_gone": 1}, n.Closes)
	require.Equal(t, map[string]float64{"streams": 3, "lag_p99_ms": 5}, n.Latest)
	require.EqualValues(t, 2, shared[0], "what stands for others is not changed")
}

// Each node that has a subscriber hears a publication, one has accepted it.
func TestPublicationsOfAllNodesAreCountedOnce(t *testing.T) {
	f := func(all bool, heards, accepts figures, want string) {
		t.Helper()
		n := &console.Now{Series: map[string]console.Figures{}, Latest: map[string]float64{}}
		for i := range heards {
			add(n, &nowAnswer{
				Series: map[string]figures{heard: {heards[i]}, accepted: {accepts[i]}}, Latest: map[string]float64{heard: heards[i], accepted: accepts[i]},
			}, 1)
		}
		settle(n, all)
		require.Equal(t, want, text(t, n.Series)[len(`{"publications":[`):len(text(t, n.Series))-2])
		require.Len(t, n.Series, 1)
		require.Equal(t, want, text(t, n.Latest[heard]))
		require.Len(t, n.Latest, 1)
	}
	f(true, figures{19, 19}, figures{19, 0}, "19")  // both have subscribers
	f(true, figures{10, 10}, figures{10, 10}, "20") // of other channels each
	f(true, figures{30, 5}, figures{0, 0}, "30")    // a relay, or a backend that publishes into Redis
	f(false, figures{10}, figures{25}, "10")        // of one node: what it heard
}

func TestConnectsThatWereRefusedCloseNothing(t *testing.T) {
	var s sample
	s.Reading = new(metrics.Reading)
	s.Loops.Loop.Closes[loop.ReasonRefused] = 5
	s.Loops.Loop.Closes[loop.ReasonShutdown] = 2
	for _, c := range columns {
		if c.name == "closes" {
			require.EqualValues(t, 2, c.read(&s))
		}
	}
}

func text(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	require.NoError(t, err)
	return string(data)
}

// hostile are texts that clients and channels may be called.
var hostile = []string{
	"a", `\`, `\\`, `a\*`, "*", "?", "[a]", "{a,b}", "[!a]", "a-b", "!", "^", ",", "ä€", "\x00", "<script>alert(1)</script>",
	`"'&`, "a b", "[", "]", "{", "}", "\u2028", "news:$1#2,3",
}

func TestASearchIsForExactlyItsText(t *testing.T) {
	w := &Watch{opt: Options{Match: api.CompilePattern}}
	for _, part := range hostile {
		match, err := api.CompilePattern(escape(part))
		require.NoError(t, err, part)
		for _, name := range hostile {
			require.Equal(t, name == part, match(name), "%q matches %q", part, name)
		}
		if strings.ContainsAny(part, globSigns) {
			continue
		}
		pattern, err := w.pattern(part)
		require.NoError(t, err)
		match, err = api.CompilePattern(pattern)
		require.NoError(t, err)
		for _, name := range hostile {
			require.Equal(t, strings.Contains(name, part), match(name), "%q is a part of %q", part, name)
		}
	}
	f := func(q string) {
		t.Helper()
		_, err := w.pattern(q)
		var bad console.BadQuery
		require.ErrorAs(t, err, &bad, q)
	}
	f("[")
	f("{a")
	f(strings.Repeat("a", textMost+1))
	all, err := w.pattern("")
	require.NoError(t, err)
	require.Empty(t, all)
}

func TestListsAreInOrder(t *testing.T) {
	f := func(order string, desc bool, want string) {
		t.Helper()
		l := listing{order: order, desc: desc, rows: []channelRow{{"b", 1, 2}, {"a", 1, 1}, {"c", 0, 3}, {"d", 2, 0}}}
		l.sort()
		got := ""
		for _, r := range l.rows {
			got += r.name
		}
		require.Equal(t, want, got, "%s %v", order, desc)
	}
	f(console.OrderName, false, "abcd")
	f(console.OrderName, true, "dcba")
	f(console.OrderSubscribers, false, "cabd")
	f(console.OrderSubscribers, true, "dabc")
	f(console.OrderRate, true, "cbad")
}

func TestPagesAreWithinTheList(t *testing.T) {
	f := func(offset, limit, n, from, to int) {
		t.Helper()
		a, b := bounds(&console.Page{Offset: offset, Limit: limit}, n)
		require.Equal(t, []int{from, to}, []int{a, b})
	}
	f(0, 50, 10, 0, 10)
	f(5, 2, 10, 5, 7)
	f(10, 5, 10, 10, 10)
	f(console.MaxOffset, 200, 3, 3, 3)
	f(-1, -1, 3, 0, 0)
	require.Equal(t, 1000, portion(50))
	require.Equal(t, 2000, portion(1001))
	require.Equal(t, findMost, portion(console.MaxOffset+1))
}

func TestQuestionsOfOthersAreBounded(t *testing.T) {
	w := &Watch{opt: Options{UID: "me", Began: time.Now()}, ring: series.New(folds())}
	for _, q := range []string{
		``, `[]`, `{"op":5}`, `{"op":"dance"}`, `{"op":"top","most":-1}`, `{"op":"find","most":20001}`,
		`{"op":"rates","names":[` + strings.Repeat(`"a",`, 200) + `"a"]}`, `{"op":"top","q":"` + strings.Repeat("a", 513) + `"}`,
		`{"op":"rows","of":{"me":[` + strings.Repeat(`[0,0,0],`, 200) + `[0,0,0]]}}`, `{"op":"rows","of":{"me":[[-1,0,0]]}}`,
	} {
		_, err := w.Answer(t.Context(), []byte(q))
		require.Error(t, err, q)
	}
	data, err := w.Answer(t.Context(), []byte(`{"op":"now","range":"24h"}`))
	require.NoError(t, err)
	require.Less(t, len(data), 1<<20)
	var a nowAnswer
	require.NoError(t, json.Unmarshal(data, &a))
	require.Len(t, a.Series, len(columns))
	require.Len(t, a.Series["streams"], 360)
}

func TestWhatWasFoundAnswersWhatItHolds(t *testing.T) {
	q := question{Q: "a", By: "user", Order: "age", Most: 2000}
	same, more, other := q, q, q
	same.Most, more.Most, other.Desc = 1000, 3000, true
	require.True(t, q.answers(&same))
	require.False(t, q.answers(&more))
	require.False(t, q.answers(&other))
}

func TestEveryFigureHasOneName(t *testing.T) {
	require.Len(t, known, len(columns))
	require.Len(t, folds(), len(columns)+len(loop.Reasons()))
	require.Less(t, series.Bytes(len(folds())), 256<<10)
	require.Len(t, clientsBy, 5)
	require.Equal(t, session.OrderLag, clientsOrder[console.OrderLag])
}

func TestTheProcessIsMeasured(t *testing.T) {
	var r processReader
	p := r.read()
	require.Greater(t, p.memory, 1e6)
	require.Greater(t, p.heap, 1e5)
	require.Less(t, p.heap, p.memory)
	burn := time.Now()
	for time.Since(burn) < 50*time.Millisecond {
	}
	require.Greater(t, r.read().cpu, p.cpu)
}
