package test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// Passwords and secret of the console in tests.
const (
	adminPassword  = "the password of the admins"
	viewerPassword = "the password of the viewers"
	adminSecret    = "the secret of the console of the tests"
)

// consoleText is the text of a config file with a console; more are further options of it.
func consoleText(p parts, more string) string {
	text := fmt.Sprintf(baseConfig, p.sse, p.api, p.client, p.channel)
	return strings.Replace(text, `"health":`, fmt.Sprintf(`"admin": {"enabled": true, "password": %q, "read_only_password": %q, "secret": %q %s},
  "health":`, adminPassword, viewerPassword, adminSecret, more), 1)
}

// operator is somebody at the console.
type operator struct {
	addr, path string
	cookie     string // "" without a login
	headers    [][2]string
}

// ofThePages are the headers that the pages send besides the cookie.
var ofThePages = [][2]string{{"X-Sluice-Console", "1"}, {"Content-Type", "application/json"}}

func (o *operator) ask(t *testing.T, method, path, body string, headers ...[2]string) (testkit.Head, string) {
	t.Helper()
	r := testkit.Request{Method: method, Target: o.path + path, Body: body, Headers: append(append([][2]string{}, ofThePages...), o.headers...)}
	if o.cookie != "" {
		r.Headers = append(r.Headers, [2]string{"Cookie", o.cookie})
	}
	r.Headers = append(r.Headers, headers...)
	head, text := testkit.RoundTrip(t, o.addr, r)
	return head, string(text)
}

// get and post expect a status, and return the answer.
func (o *operator) get(t *testing.T, status int, path string) map[string]any {
	t.Helper()
	head, text := o.ask(t, "GET", path, "")
	return answered(t, status, path, head, text)
}

func (o *operator) post(t *testing.T, status int, path, body string) map[string]any {
	t.Helper()
	head, text := o.ask(t, "POST", path, body)
	return answered(t, status, path, head, text)
}

func answered(t *testing.T, status int, path string, head testkit.Head, text string) (v map[string]any) {
	t.Helper()
	require.Equal(t, status, head.Status, "%s: %s", path, text)
	if text != "" {
		require.NoError(t, json.Unmarshal([]byte(text), &v), "%s: %s", path, text)
	}
	return v
}

// logIn logs somebody in to the console of s at /admin.
func logIn(t *testing.T, addr, password string) *operator {
	t.Helper()
	o := &operator{addr: addr, path: "/admin"}
	head, text := o.ask(t, "POST", "/login", fmt.Sprintf(`{"password":%q}`, password))
	require.Equal(t, 200, head.Status, text)
	o.cookie, _, _ = strings.Cut(head.Get("Set-Cookie"), ";")
	require.NotEmpty(t, o.cookie)
	return o
}

// open opens a stream by a POST to a path of the console.
func (o *operator) open(t *testing.T, path, body, lastEventID string) *testkit.Client {
	t.Helper()
	opt := testkit.ConnectOptions{Method: "POST", Path: o.path + path, Request: body, HTTPHeaders: append([][2]string{{"Cookie", o.cookie}}, ofThePages...)}
	opt.HTTPHeaders = append(opt.HTTPHeaders, o.headers...)
	if lastEventID != "" {
		opt.HTTPHeaders = append(opt.HTTPHeaders, [2]string{"Last-Event-ID", lastEventID})
	}
	return testkit.Connect(t, o.addr, opt)
}
