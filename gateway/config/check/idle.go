package check

import (
	"sluice/gateway/config/schema"
)

// This file notes options that mean nothing as long as another one is as it is: whoever set them meant something.

func (v *checker) idle() {
	v.idleSections()
	v.idleServer()
}

// noEffect notes that key means nothing without another option.
func (v *checker) noEffect(idle bool, key, without string) {
	if idle && v.sound(key, without) {
		v.warn(key, "has no effect without %s", without)
	}
}

// idleSections notes what was set in sections that are not enabled. Why not all of them: a path or a name may well stand there
// for the day when it is.
func (v *checker) idleSections() {
	for _, h := range v.c.Hooks() {
		v.noEffect(!h.Proxy.Enabled && h.Proxy.Endpoint != "", h.Key+".endpoint", h.Key+".enabled")
	}
	for _, b := range []struct {
		key, kind string
		enabled   bool
	}{{"broker", v.c.Broker.Type, v.c.Broker.Enabled}, {"presence_manager", v.c.PresenceManager.Type, v.c.PresenceManager.Enabled}} {
		v.noEffect(!b.enabled && b.kind != "memory", b.key+".type", b.key+".enabled")
	}
}

func (v *checker) idleServer() {
	s := &v.c.HTTPServer
	for _, t := range []struct {
		key string
		tls *schema.TLS
	}{{"http_server.tls", &s.TLS}, {"http_server.internal_tls", &s.InternalTLS}} {
		v.noEffect(!t.tls.Enabled && t.tls.CertPEM != "", t.key+".cert_pem", t.key+".enabled")
	}
	v.noEffect(s.ForwardedHeader != schema.Default().HTTPServer.ForwardedHeader && len(s.TrustedProxies) == 0,
		"http_server.forwarded_header", "http_server.trusted_proxies")
	_, separate := s.Internal()
	v.noEffect(v.c.HTTPAPI.External && !v.c.HTTPAPI.Disabled && !separate, "http_api.external", "http_server.internal_port")
	u := &v.c.UniSSE
	v.noEffect(!u.LastEventID && u.CursorExactBytes != schema.Default().UniSSE.CursorExactBytes, "uni_sse.cursor_exact_bytes", "uni_sse.last_event_id")
}
