package check

import (
	"fmt"
	"slices"
	"strings"

	"sluice/gateway/front/client"
	"sluice/gateway/origin"
)

const (
	originsKey = "client.allowed_origins"
	proxiesKey = "http_server.trusted_proxies"
	userKey    = "client.user_id_http_header"
)

// origins checks client.allowed_origins, with what makes a browser's own credentials count.
func (v *checker) origins() {
	ambient := v.ambient()
	if !v.sound(ambientKeys...) {
		ambient = ""
	}
	v.Add(originsKey, origin.Check(v.c.Client.AllowedOrigins, ambient))
}

// ambientKeys are the options that make ambient credentials count.
var ambientKeys = []string{
	"client.token_cookie", userKey,
	"client.proxy.connect.enabled", "client.proxy.connect.http_headers", "client.proxy.refresh.enabled", "client.proxy.refresh.http_headers",
}

// ambient returns the option with which a browser's own credentials say who the user is, "" without one. Authorization
// is none of them: tokens that pages send are there as well, and what browsers add is not passed on for pages of just
// anybody (package origin).
func (v *checker) ambient() string {
	c := &v.c.Client
	switch {
	case c.TokenCookie != "":
		return "client.token_cookie"
	case c.UserIDHTTPHeader != "":
		return userKey
	}
	for _, h := range v.c.Hooks() {
		if h.Proxy.Enabled && slices.ContainsFunc(h.Proxy.HTTPHeaders, func(name string) bool { return strings.EqualFold(name, "cookie") }) {
			return fmt.Sprintf("Cookie in %s.http_headers", h.Key)
		}
	}
	return ""
}

// userHeader checks that not everybody may say who the user is.
func (v *checker) userHeader() {
	c, s := &v.c.Client, &v.c.HTTPServer
	const header = "http_server.forwarded_header"
	everybody := client.Everybody(s.TrustedProxies)
	switch {
	case c.UserIDHTTPHeader == "":
	case s.ForwardedHeader == "none":
		v.Fail(userKey, "%q cannot be the proxy's with %s none, which says that proxies do not look into requests: allowed with another value of that",
			c.UserIDHTTPHeader, header).With(header)
	case len(s.TrustedProxies) == 0 && c.Insecure:
		v.warn(userKey, "has no effect without %s: it is taken from the proxies named there only", proxiesKey).With(proxiesKey, "client.insecure")
	case len(s.TrustedProxies) == 0:
		v.Fail(userKey, "%q needs %s: without it every client could say who it is; allowed only with the addresses of the proxies that authenticate",
			c.UserIDHTTPHeader, proxiesKey).With(proxiesKey, "client.insecure")
	case everybody != "" && !c.Insecure:
		v.Fail(userKey, "%q is taken from everybody in %q, which %s has: everybody there could say who it is; allowed only with the addresses of the proxies that authenticate",
			c.UserIDHTTPHeader, everybody, proxiesKey).With(proxiesKey, "client.insecure")
	}
}
