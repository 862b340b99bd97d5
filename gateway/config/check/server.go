package check

import (
	"net"
	"net/netip"
	"regexp"

	"sluice/gateway/config/schema"
)

func (v *checker) server() {
	s, u := &v.c.HTTPServer, &v.c.UniSSE
	const cursor, proxies, head = "uni_sse.cursor_exact_bytes", "http_server.trusted_proxies", "http_server.max_head_size"
	if u.CursorExactBytes >= s.MaxHeadSize {
		v.Fail(cursor, "%d: the cursor comes back in a header: allowed less than %s (%d)", u.CursorExactBytes, head, s.MaxHeadSize).With(head)
	}
	v.host("http_server.address", s.Address)
	v.host("http_server.internal_address", s.InternalAddress)
	v.tls("http_server.tls", &s.TLS, true)
	v.tls("http_server.internal_tls", &s.InternalTLS, true)
	if s.ProxyProtocol && len(s.TrustedProxies) == 0 {
		v.Fail("http_server.proxy_protocol", "true needs %s: allowed only with the addresses of the proxies that speak it", proxies).With(proxies)
	}
	const header, read = "http_server.header_timeout", "http_server.read_timeout"
	if s.HeaderTimeout > s.ReadTimeout {
		v.Fail(header, "%s is more than %s (%s): allowed at most that, the headers are a part of the request", s.HeaderTimeout, read, s.ReadTimeout).With(read)
	}
	v.idleCA("http_server.tls", &s.TLS)
	v.idleCA("http_server.internal_tls", &s.InternalTLS)
	const external, internal = "http_server.tls.enabled", "http_server.internal_tls.enabled"
	if s.TLSExternal && !s.TLS.Enabled {
		v.warn("http_server.tls_external", "true has no effect without %s", external).With(external)
	}
	if _, separate := s.Internal(); s.InternalTLS.Enabled && !separate {
		v.warn(internal, "true has no effect without an internal_port or internal_address of its own")
	}
}

// idleCA warns of mutual TLS that nobody asks for.
func (v *checker) idleCA(key string, t *schema.TLS) {
	if !t.Enabled && t.ClientCAPEM != "" {
		v.warn(key+".client_ca_pem", "has no effect without %s.enabled: clients need no certificate", key).With(key + ".enabled")
	}
}

// host checks a host or IP address to listen on.
func (v *checker) host(key, host string) {
	if host == "" {
		return
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return
	}
	if _, port, err := net.SplitHostPort(host); err == nil && portNumber.MatchString(port) {
		v.Fail(key, "%q holds a port: allowed a host or IP address; write %s into the port option", host, port)
		return
	}
	if !hostName.MatchString(host) {
		v.Fail(key, "%q is not a host: allowed a host name or an IP address without brackets", host)
	}
}

var portNumber = regexp.MustCompile(`^[0-9]+$`)

var hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?$`)
