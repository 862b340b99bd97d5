//go:build e2e

package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// The script follows a channel over the ends of its streams and over restarts: each
// publication once and in order, and where the history began anew it says so.
func TestLongBrowserFollowsABroadcastChannel(t *testing.T) {
	browserTest(t)
	b := &broadcastServer{port: strconv.Itoa(testkit.FreePort(t))}
	s := b.start(t)
	home := newSite(t)
	home.serveAll(map[string]http.HandlerFunc{"/": htmlPage(fmt.Sprintf(followed, "http://"+s.addr+"/broadcast.js"))})
	p := openLive(t, home.addr())
	url := "http://" + s.addr + "/broadcast/news"
	evaluate[bool](t, p, fmt.Sprintf(`{ follow(%q); true; }`, url))
	told := func() []string {
		return evaluate[[]string](t, p, fmt.Sprintf(`told[%q].map((o) => JSON.stringify(o))`, url))
	}
	const first = 30
	for n := 1; n <= first; n++ { // over three lifetimes
		s.publishNumbers(t, "news", n, n)
		if n%10 == 0 {
			p.wait(t, fmt.Sprintf(`streams > %d`, n/10))
		}
	}
	p.wait(t, fmt.Sprintf(`told[%q].length >= %d`, url, first))
	want := make([]string, first)
	for i := range want {
		want[i] = strconv.Itoa(i + 1)
	}
	require.Equal(t, want, told())

	s.stop(t)
	p.waitForFailure(t)
	s = b.start(t) // the memory engine begins anew
	defer func() { s.stop(t) }()
	s.publishNumbers(t, "news", 1, 2)
	p.wait(t, fmt.Sprintf(`told[%q].length >= %d`, url, first+3))
	require.Equal(t, append(want, "{}", "1", "2"), told())
	evaluate[bool](t, p, fmt.Sprintf(`{ open[%q].close(); true; }`, url))
}

// What the script makes of streams: repeats, gaps, a history that began anew however that
// shows, and answers at which a browser gives up.
func TestLongBrowserScriptTellsRepeatsFromGaps(t *testing.T) {
	browserTest(t)
	b := &broadcastServer{port: "0"}
	s := b.start(t)
	defer s.stop(t)
	cases := map[string]struct {
		answers []string
		want    string
	}{
		"repeats":           {[]string{stream("1@E", "2", "3", "#E:3"), stream("2@E", "3", "4"), stream("3@E", "4", "5")}, `[1,2,3,4,5]`},
		"jump":              {[]string{stream("1@E", "2"), stream("5@E", "6")}, `[1,2,{"dropped":2,"from":3,"to":4},5,6]`},
		"gap":               {[]string{stream("1@E", "-3", "4"), stream("4@E", "-3", "5")}, `[1,{"dropped":1,"to":3},4,5]`},
		"anew-backlog":      {[]string{stream("8@E", "9"), stream("2@F", "3")}, `[8,9,{},2,3]`},
		"anew-live":         {[]string{stream("8@E", "9", "3", "4")}, `[8,9,{},3,4]`},
		"anew-checkpoint":   {[]string{stream("5@E", "#E:5", "6"), stream("#F:1", "2", "3")}, `[5,6,{},2,3]`},
		"anew-once":         {[]string{stream("5@E", "#E:5", "6"), stream("1@F", "#F:1", "2")}, `[5,6,{},1,2]`},
		"anew-further":      {[]string{stream("5@E", "#E:5", "6"), stream("9@F", "#F:9", "10")}, `[5,6,{},9,10]`},
		"refused":           {[]string{"503", "404", stream("1@E")}, `[1]`},
		"no-event-at-first": {[]string{stream("#E:1"), stream("2@E", "#E:2", "3")}, `[2,3]`},
	}
	home := newSite(t)
	handlers := map[string]http.HandlerFunc{"/": htmlPage(fmt.Sprintf(followed, "http://"+s.addr+"/broadcast.js"))}
	origins := make(map[string]*scripted)
	for name, c := range cases {
		origins[name] = &scripted{answers: c.answers}
		handlers["/"+name] = origins[name].ServeHTTP
	}
	home.serveAll(handlers)
	p := openLive(t, home.addr())
	for name, c := range cases { // one by one: a browser opens six streams to a host at most
		var want []json.RawMessage
		require.NoError(t, json.Unmarshal([]byte(c.want), &want))
		evaluate[bool](t, p, fmt.Sprintf(`{ follow("/%s"); true; }`, name))
		p.wait(t, fmt.Sprintf(`told["/%s"].length >= %d`, name, len(want)))
		require.Equal(t, c.want, evaluate[string](t, p, fmt.Sprintf(`JSON.stringify(told["/%s"])`, name)), name)
		evaluate[bool](t, p, fmt.Sprintf(`{ open["/%s"].close(); true; }`, name))
		o := origins[name]
		testkit.Eventually(t, func() bool {
			o.mu.Lock()
			defer o.mu.Unlock()
			return o.left == 1
		}, "the stream of "+name+" to be closed")
		require.Equal(t, len(c.answers), o.asked, name)
	}
}
