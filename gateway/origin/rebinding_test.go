package origin

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A page cannot choose what tells it from a program: neither by its User-Agent nor
// by what a proxy would say.
func TestHostsThatAnybodyMayOwn(t *testing.T) {
	l, err := NewList([]string{"http://listed.example.com", "https://own.example.com:8000", "https://*.fam.example.com", "http://*.com:9"})
	require.NoError(t, err)
	judge := func(want bool, method string, front Front, lines ...string) {
		t.Helper()
		h := header(lines...)
		h.SetMethod(method)
		require.Equal(t, want, l.Judge(h, front).Rebindable, "%s %+v %q", method, front, lines)
	}
	const evil, odd, gzip = "evil.example.com:8000", "User-Agent: x", "Accept-Encoding: gzip, deflate"
	get := func(want bool, host, scheme string, lines ...string) {
		t.Helper()
		judge(want, "GET", Front{Host: host, Scheme: scheme}, lines...)
	}
	get(true, evil, "", "Origin: http://evil.example.com:8000")
	get(true, evil, "http", "Sec-Fetch-Site: same-origin")
	get(true, evil, "", "Referer: http://evil.example.com:8000/")
	get(true, evil, "", "Referer: http://evil.example.com:8000/", odd)
	get(true, evil, "", chrome)
	get(true, evil, "", odd, gzip)
	get(true, evil, "", odd, "Accept-Language: de")
	get(true, evil, "", odd, "Accept-Language: ")
	get(true, evil, "https", odd, gzip) // it may have said so itself
	get(false, evil, "", "User-Agent: curl/8", "Accept: */*")
	get(false, evil, "https", "Origin: https://evil.example.com:8000")
	get(false, evil, "", "Origin: http://listed.example.com")
	judge(false, "GET", Front{Host: evil, Scheme: "https", TLS: true}, odd, gzip)
	judge(false, "GET", Front{Host: evil, TLS: true}, "Referer: http://evil.example.com:8000/")

	post := func(want bool, lines ...string) {
		t.Helper()
		judge(want, "POST", Front{Host: evil}, lines...)
	}
	post(true, "Origin: http://evil.example.com:8000", odd, gzip)
	post(true, "Referer: http://evil.example.com:8000/", odd, gzip)
	post(true, chrome, gzip)
	post(false, odd, gzip) // no browser since 2020
	post(false, chrome)    // PowerShell 5.1

	// What a page says of the host in the name of a proxy hides nothing.
	for _, said := range []string{"localhost", "own.example.com:8000"} {
		get(false, said, "", odd, gzip, "Host: "+said)
		get(true, said, "https", odd, gzip, "Host: "+evil)
	}
	// Hosts that the list names are ours, if it names an owner.
	for _, host := range []string{"own.example.com:8000", "OWN.example.com:8000", "listed.example.com", "a.fam.example.com"} {
		get(false, host, "", "Referer: http://"+host+"/")
		get(false, host, "", odd, gzip)
	}
	get(true, "own.example.com", "", odd, gzip)
	get(true, "evil.com:9", "", odd, gzip)
	for _, host := range []string{
		"localhost:8000", "localhost", "a.localhost", "127.0.0.1:8000", "192.0.2.1", "[::1]:8000", "[2001:db8::1]", "sluice", "sluice:8000",
		"sluice.default.svc", "sluice.default.svc.cluster.local", "nas.home.arpa", "",
	} {
		get(false, host, "", "Origin: http://"+host, chrome, gzip)
		get(false, host, "", odd, gzip)
	}
}
