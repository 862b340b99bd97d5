package check

import (
	"net"
	"net/netip"
	"regexp"
	"slices"

	"sluice/gateway/config/schema"
	"sluice/gateway/front/client"
	"sluice/gateway/front/local"
	"sluice/gateway/problem"
)

func (v *checker) server() {
	s, u := &v.c.HTTPServer, &v.c.UniSSE
	const cursor, proxies, head = "uni_sse.cursor_exact_bytes", "http_server.trusted_proxies", "http_server.max_head_size"
	if u.CursorExactBytes >= s.MaxHeadSize {
		v.Fail(cursor, "%d: the cursor comes back in a header: allowed less than %s (%d)", u.CursorExactBytes, head, s.MaxHeadSize).With(head)
	}
	v.host("http_server.address", s.Address)
	v.sockets(s)
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

// sockets checks what stands beside the addresses of Unix sockets.
func (v *checker) sockets(s *schema.HTTPServer) {
	const address, internal, port, mode = "http_server.address", "http_server.internal_address", "http_server.internal_port", "http_server.unix_socket_mode"
	const proxies, others = "http_server.trusted_proxies", 0o002
	if m, err := local.ParseMode(s.UnixSocketMode); err != nil {
		v.Fail(mode, "%v", err)
	} else if m&others != 0 && slices.Contains(s.TrustedProxies, client.UnixPeers) {
		v.Note(mode, problem.Open, "%q lets every user of this machine connect, and %s believes what they say of addresses and users: use 0660 and %s, or take %s out there",
			s.UnixSocketMode, proxies, "http_server.unix_socket_group", client.UnixPeers).With(proxies)
	}
	switch {
	case s.InternalPort != "" && s.InternalAddress == "" && local.Is(s.Address):
		v.Fail(port, "%s is a port beside %s, which is a Unix socket: allowed only with %s, the address or socket of the internal endpoints", s.InternalPort, address, internal).With(address, internal)
	case s.InternalPort != "" && local.Is(s.InternalAddress):
		v.warn(port, "has no effect with %s, which is a Unix socket", internal).With(internal)
	}
	if !local.Is(s.Address) && !local.Is(s.InternalAddress) {
		return
	}
	if s.ReusePort != "off" {
		v.warn("http_server.reuse_port", "%s has no effect on Unix sockets: one process listens on each", s.ReusePort).With(address, internal)
	}
}

// host checks a host or IP address to listen on.
func (v *checker) host(key, host string) {
	if host == "" {
		return
	}
	if local.Is(host) {
		if err := local.Check(host); err != nil {
			v.Fail(key, "%v", err)
		}
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
