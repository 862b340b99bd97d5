package check

import (
	"net/url"
	"strings"

	"sluice/gateway/problem"
)

// relay checks where publications come from if that is another node.
func (v *checker) relay() {
	const origin = "relay.origin"
	r := &v.c.Relay
	if !v.sound(origin) || r.Origin == "" {
		return
	}
	if why := originFault(r.Origin); why != "" {
		v.Fail(origin, "%s %s: allowed http:// or https://, a host, and the path of the origin's broadcast route", problem.URL(r.Origin), why)
	}
	if half := v.c.BrokerHalf(); half.Type != "memory" && v.sound(half.Section+".type") {
		v.Fail(origin, "set with %s.type %s: publications come from one of the two", half.Section, half.Type).With(half.Section + ".type")
	}
	if r.TLS.Enabled && strings.HasPrefix(r.Origin, "http://") {
		v.Fail("relay.tls.enabled", "true with an origin that is not encrypted (http://): allowed one of the two").With(origin)
	}
	v.tls("relay.tls", &r.TLS, false)
	if !v.c.HTTPAPI.Disabled && v.c.HTTPAPI.Key != "" {
		v.warn("http_api.key", "set on a node that relays: calls that publish get an error here, publish at the origin; set http_api.disabled unless other calls are wanted").With(origin)
	}
}

// originFault says what is wrong with the address of an origin, "" for nothing.
func originFault(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "":
		return "is no URL with a host"
	case u.Scheme != "http" && u.Scheme != "https":
		return "is not of HTTP"
	case u.User != nil:
		return "has a user"
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "has a query or a fragment"
	}
	return ""
}
