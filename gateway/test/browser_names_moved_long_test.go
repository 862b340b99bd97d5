//go:build e2e

package test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// Over plain http a browser says of its pages no more than Origin and Referer.
func TestLongBrowserOverPlainHTTPIsKnownByWhatItSays(t *testing.T) {
	browserTest(t)
	s := startText(t, trusting(fmt.Sprintf(strictConfig, "", "", withSecret+`, "user_id_http_header": "X-User-Id"`, "")), nil)
	f := newNamedFront(t, s, [][2]string{{"X-User-Id", "victim"}})
	path, own := testkit.DefaultPath, f.at(t, "stream.test")
	p := openLive(t, strings.TrimPrefix(own, "http://"), names)

	script := fmt.Sprintf(`listen("source", %q); ask("get", %q); ask("post", %q, {method: "POST", body: "{}"});`, path, path, path)
	for _, policy := range []string{"", "same-origin", "strict-origin"} {
		answers := p.call(t, own+"/"+policy, script, 3)
		for as := range answers {
			require.Equal(t, 200, answers[as].Status, "%s %s %s", policy, as, answers[as].Text)
			head, _ := f.passed(t, as)
			require.Empty(t, head.Values("Sec-Fetch-Site"), "a name over plain http")
		}
	}
	answers := p.call(t, own+"/no-referrer", script, 3)
	for as, want := range map[string]int{"source": 403, "get": 403, "post": 200} {
		head, status := f.passed(t, as)
		require.Equal(t, want, status, as)
		if want == 403 {
			saysNothing(t, head)
		}
	}
	require.Contains(t, answers["get"].Text, "if the page is yours, use TLS, or give it a Referrer-Policy")

	// Another site can have the same sent, and chooses what it accepts.
	p.call(t, f.at(t, "evil.test")+"/", fmt.Sprintf(`const url = %q;
		ask("mute", url, {mode: "no-cors", credentials: "include", referrerPolicy: "no-referrer", headers: {Accept: "text/event-stream"}});
		ask("loud", url, {mode: "no-cors", credentials: "include"});`, own+path), 2)
	head, status := f.passed(t, "mute")
	saysNothing(t, head)
	require.Equal(t, "text/event-stream", head.Get("Accept"))
	require.Equal(t, 403, status)
	head, status = f.passed(t, "loud")
	require.Equal(t, f.at(t, "evil.test")+"/", head.Get("Referer"))
	require.Equal(t, 403, status)
	p.takeProblems() // the console's lines on refused requests
}

// A page of a name that was made to lead here is of our own origin. It chooses what
// it says, but not that it takes compressed answers, and speaks a language.
func TestLongBrowserUnderANameThatWasMadeToLeadHereGetsNothingForFree(t *testing.T) {
	browserTest(t)
	s := startText(t, fmt.Sprintf(strictConfig, "", `, "insecure": true`,
		withSecret+`, "insecure": true, "allowed_origins": ["http://stream.example.com:*"]`, ""), nil)
	f := newNamedFront(t, s, nil)
	p := openLive(t, strings.TrimPrefix(f.at(t, "evil.example.com"), "http://"), names)
	script := fmt.Sprintf(`const url = %q, agent = {"User-Agent": "x", "Accept-Language": "", "Accept-Encoding": ""};
		listen("source", url);
		ask("get", url);
		ask("odd", url, {referrerPolicy: "no-referrer", headers: agent});
		ask("post", url, {method: "POST", body: "{}", headers: agent});
		ask("mute", url, {method: "POST", body: "{}", headers: agent, mode: "same-origin", referrerPolicy: "no-referrer"});
		ask("call", "/api/info", {method: "POST", body: "{}", headers: {...agent, "Content-Type": "application/json"}});`, testkit.DefaultPath)
	statuses := func(want map[string]int) {
		t.Helper()
		for as, status := range want {
			head, got := f.passed(t, as)
			require.Equal(t, status, got, "%s %v", as, head)
			require.NotEmpty(t, head.Get("Accept-Encoding"), as)
			require.Contains(t, head, "Accept-Language", as)
			require.Empty(t, head.Values("Sec-Fetch-Site"), as)
		}
	}
	p.call(t, f.at(t, "evil.example.com")+"/", script, 6)
	statuses(map[string]int{"source": 403, "get": 403, "odd": 403, "post": 403, "mute": 403, "call": 403})
	head, _ := f.passed(t, "odd")
	saysNothing(t, head)
	for _, as := range []string{"post", "mute", "call"} {
		head, _ := f.passed(t, as)
		require.NotEmpty(t, head.Get("Origin"), as)
	}

	// A name that is listed is ours, but the list says nothing of who may publish.
	p.call(t, f.at(t, "stream.example.com")+"/", script, 6)
	statuses(map[string]int{"source": 200, "get": 200, "post": 200, "call": 403})
	p.takeProblems()
}
