package check

import (
	"sluice/gateway/config/schema"
)

// idle notes options that mean nothing as long as another one is as it is: whoever set them meant something. Why not all options
// of sections that are not enabled: a path or a name may well stand there for the day when they are.
func (v *checker) idle() {
	s, u, b, p, def := &v.c.HTTPServer, &v.c.UniSSE, &v.c.Broker, &v.c.PresenceManager, schema.Default()
	_, separate := s.Internal()
	type idle struct {
		is           bool
		key, without string
	}
	var all []idle
	for _, h := range v.c.Hooks() {
		all = append(all, idle{!h.Proxy.Enabled && h.Proxy.Endpoint != "", h.Key + ".endpoint", h.Key + ".enabled"})
	}
	for _, i := range append(all,
		idle{!b.Enabled && b.Type != "memory", "broker.type", "broker.enabled"},
		idle{!p.Enabled && p.Type != "memory", "presence_manager.type", "presence_manager.enabled"},
		idle{!s.TLS.Enabled && s.TLS.CertPEM != "", "http_server.tls.cert_pem", "http_server.tls.enabled"},
		idle{!s.InternalTLS.Enabled && s.InternalTLS.CertPEM != "", "http_server.internal_tls.cert_pem", "http_server.internal_tls.enabled"},
		idle{s.ForwardedHeader != def.HTTPServer.ForwardedHeader && len(s.TrustedProxies) == 0, "http_server.forwarded_header", "http_server.trusted_proxies"},
		idle{v.c.HTTPAPI.External && !v.c.HTTPAPI.Disabled && !separate, "http_api.external", "http_server.internal_port"},
		idle{v.c.Admin.External && v.c.Admin.Enabled && !separate, "admin.external", "http_server.internal_port"},
		idle{!u.LastEventID && u.CursorExactBytes != def.UniSSE.CursorExactBytes, "uni_sse.cursor_exact_bytes", "uni_sse.last_event_id"},
	) {
		if i.is {
			v.Idle(i.key, i.without)
		}
	}
	for _, ns := range v.namespaces() {
		if compression := ns.key + ".compression"; u.Enabled && u.Padding > 0 && len(ns.options.Compression) > 0 {
			v.warn(compression, "has no effect on streams of uni_sse, with uni_sse.padding: these are not compressed").With("uni_sse.padding")
		}
	}
}
