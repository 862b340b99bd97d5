package client

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
)

func TestTargetIsTheLastElement(t *testing.T) {
	f := func(header, host, scheme string, lines ...string) {
		t.Helper()
		h := &fasthttp.RequestHeader{}
		for _, line := range lines {
			name, value, _ := strings.Cut(line, ": ")
			h.Add(name, value)
		}
		gotHost, gotScheme := proxies(t, header, "10.0.0.1").Target(h)
		require.Equal(t, [2]string{host, scheme}, [2]string{gotHost, gotScheme}, "%q", lines)
	}
	f("", "", "")
	f("", "app.example.com", "https", "X-Forwarded-Host: app.example.com", "X-Forwarded-Proto: https")
	f("", "app.example.com:8443", "http", "X-Forwarded-Host: app.example.com:8443", "X-Forwarded-Proto: HTTP")
	f("", "b.example", "http", "X-Forwarded-Host: a.example, b.example", "X-Forwarded-Proto: https,http")
	f("", "b.example", "", "X-Forwarded-Host: a.example", "X-Forwarded-Host: b.example")
	f("", "", "", "X-Forwarded-Host: a.example/x", "X-Forwarded-Proto: wss")
	f("", "", "", "X-Forwarded-Host: "+strings.Repeat("a", maxHostLen+1))
	f("", "", "", "Forwarded: host=a.example;proto=https")
	f("none", "", "", "X-Forwarded-Host: a.example", "Forwarded: host=a.example;proto=https")
	f("forwarded", "a.example", "https", "Forwarded: for=192.0.2.1;host=a.example;proto=https")
	f("forwarded", "b.example:8443", "http", `Forwarded: host=a.example;proto=https, for="[::1]";Host="b.example:8443";Proto="http"`)
	f("forwarded", "", "", "Forwarded: host=a.example;host=b.example")
	f("forwarded", "", "", `Forwarded: host="a.example`)
	f("forwarded", "", "https", "Forwarded: for=192.0.2.1;proto=https")
	f("forwarded", "", "", "X-Forwarded-Host: a.example", "X-Forwarded-Proto: https")
	f("forwarded", "b.example", "", `Forwarded: for="a";host=b.example;by="c"`)
	f("forwarded", "b.example", "", `Forwarded: host="b.example";by="a much longer text than that"`)
}
