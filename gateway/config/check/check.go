package check

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"sluice/gateway/config/report"
	"sluice/gateway/config/schema"
	"sluice/gateway/config/source"
	"sluice/gateway/problem"
)

// Input is what is checked.
type Input struct {
	Config *schema.Config
	Report *report.Report // of how the configuration was read; it gets the findings
	Dir    string         // that relative paths of files are seen from; "" = that of the process
	Now    time.Time
}

// Run returns an error for everything that is wrong, each of an option. What deserves a look becomes a finding.
func Run(in Input) []error {
	v := &checker{c: in.Config, rep: in.Report, dir: in.Dir, now: in.Now}
	v.all()
	return v.errs
}

// checker is the state of one Run.
type checker struct {
	c    *schema.Config
	rep  *report.Report
	dir  string
	now  time.Time
	errs []error
}

func (v *checker) all() {
	v.usable()
	v.shortTimes()
	v.uniSSE()
	v.lacking()
	v.httpServer()
	v.client()
	v.hookTLS()
	v.secrets()
	v.httpAPI()
	v.limits()
	v.reach()
	v.idle()
	v.engines()
	v.operations()
	v.handlers()
}

// fail notes that key is wrong.
func (v *checker) fail(key, format string, args ...any) {
	v.errs = append(v.errs, v.rep.Wrong(key, fmt.Sprintf(format, args...)))
}

// warn notes that key deserves a look.
func (v *checker) warn(key, format string, args ...any) {
	v.note(key, report.KindAdvice, fmt.Sprintf(format, args...))
}

func (v *checker) note(key string, kind report.Kind, detail string) { v.rep.Note(key, kind, detail) }

func (v *checker) sound(keys ...string) bool { return v.rep.Sound(keys...) }

// showURL renders the value of key, or a part of it, as far as it may be seen.
func (v *checker) showURL(key, value string) string {
	if v.rep.Hidden(key) {
		return problem.Hidden
	}
	return problem.URL(value)
}

// lacking notes options of this table that nothing serves yet.
func (v *checker) lacking() {
	if v.c.Admin.Enabled && v.sound("admin.enabled") {
		v.note("admin.enabled", report.KindUnsupported, "not supported, ignored: the live page comes with the flag --dev")
	}
}

func (v *checker) uniSSE() {
	s := &v.c.UniSSE
	const cursor = "uni_sse.cursor_exact_bytes"
	if s.CursorExactBytes >= v.c.HTTPServer.MaxHeadSize && v.sound(cursor, "http_server.max_head_size") {
		v.fail(cursor, "%d: the cursor comes back in a header: allowed less than http_server.max_head_size (%d)",
			s.CursorExactBytes, v.c.HTTPServer.MaxHeadSize)
	}
}

func (v *checker) httpServer() {
	s := &v.c.HTTPServer
	v.host("http_server.address", s.Address)
	v.host("http_server.internal_address", s.InternalAddress)
	v.tls("http_server.tls", &s.TLS, true)
	v.tls("http_server.internal_tls", &s.InternalTLS, true)
	v.frontLine()
	if s.TLSExternal && !s.TLS.Enabled && v.sound("http_server.tls.enabled") {
		v.warn("http_server.tls_external", "true has no effect without http_server.tls.enabled")
	}
	if _, separate := s.Internal(); s.InternalTLS.Enabled && !separate {
		v.warn("http_server.internal_tls.enabled", "true has no effect without an internal_port or internal_address of its own")
	}
}

// frontLine checks what stands between the listeners and the internet.
func (v *checker) frontLine() {
	s := &v.c.HTTPServer
	const proxies = "http_server.trusted_proxies"
	if s.ProxyProtocol && len(s.TrustedProxies) == 0 && v.sound(proxies) {
		v.fail("http_server.proxy_protocol", "true needs %s: allowed only with the addresses of the proxies that speak it", proxies)
	}
	const header, read = "http_server.header_timeout", "http_server.read_timeout"
	if s.HeaderTimeout > s.ReadTimeout && v.sound(header, read) {
		v.fail(header, "%s is more than %s (%s): allowed at most that, the headers are a part of the request", s.HeaderTimeout, read, s.ReadTimeout)
	}
	v.idleCA("http_server.tls", &s.TLS)
	v.idleCA("http_server.internal_tls", &s.InternalTLS)
}

// idleCA warns of mutual schema.TLS that nobody asks for.
func (v *checker) idleCA(key string, t *schema.TLS) {
	if !t.Enabled && t.ClientCAPEM != "" && v.sound(key+".enabled") {
		v.warn(key+".client_ca_pem", "has no effect without %s.enabled: clients need no certificate", key)
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
		v.fail(key, "%q holds a port: allowed a host or IP address; write %s into the port option", host, port)
		return
	}
	if !hostName.MatchString(host) {
		v.fail(key, "%q is not a host: allowed a host name or an IP address without brackets", host)
	}
}

var portNumber = regexp.MustCompile(`^[0-9]+$`)

var hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?$`)

// tls checks that what an enabled TLS object names can be read. A server needs a certificate.
func (v *checker) tls(key string, t *schema.TLS, server bool) {
	if !t.Enabled {
		return
	}
	cert, certOK := v.pem(key+".cert_pem", t.CertPEM)
	private, keyOK := v.pem(key+".key_pem", t.KeyPEM)
	switch {
	case server && t.CertPEM == "" && v.sound(key+".cert_pem"):
		v.fail(key+".cert_pem", "missing: TLS is enabled and needs a certificate")
	case server && t.KeyPEM == "" && v.sound(key+".key_pem"):
		v.fail(key+".key_pem", "missing: TLS is enabled and needs the key of its certificate")
	case (t.CertPEM == "") != (t.KeyPEM == "") && v.sound(key+".cert_pem", key+".key_pem"):
		v.fail(key, "cert_pem and key_pem go together: allowed both or neither")
	case certOK && keyOK && t.CertPEM != "":
		if _, err := tls.X509KeyPair(cert, private); err != nil {
			v.fail(key+".key_pem", "(hidden) and cert_pem are no pair: %s", strings.TrimPrefix(err.Error(), "tls: "))
		}
	}
	v.authorities(key+".client_ca_pem", t.ClientCAPEM)
	v.authorities(key+".server_ca_pem", t.ServerCAPEM)
}

// authorities checks that a PEM value holds certificates.
func (v *checker) authorities(key, value string) {
	if data, ok := v.pem(key, value); ok && value != "" && !x509.NewCertPool().AppendCertsFromPEM(data) {
		v.fail(key, "holds no certificate: allowed certificates of authorities in PEM")
	}
}

// pem reads a PEM value; an empty one is fine.
func (v *checker) pem(key, value string) ([]byte, bool) {
	if value == "" {
		return nil, true
	}
	data, err := source.ReadPEM(v.dir, value)
	if err != nil {
		detail := strings.TrimPrefix(err.Error(), "config: ")
		v.fail(key, "%s is %s", problem.Hidden, detail)
		return nil, false
	}
	return data, true
}

func (v *checker) httpAPI() {
	a := &v.c.HTTPAPI
	if a.Disabled {
		return
	}
	if largest, _ := largestPublication(a); largest > a.PublishInflightMaxBytes && v.sound("http_api.max_body_size", "http_api.publish_inflight_max_bytes") {
		v.warn("http_api.max_body_size", "%d is more than http_api.publish_inflight_max_bytes (%d): a publication above that takes all room, and waits until every other has left",
			a.MaxBodySize, a.PublishInflightMaxBytes)
	}
}

func (v *checker) operations() {
	if a := &v.c.Admin; a.Enabled {
		switch {
		case a.Insecure:
			v.warn("admin.insecure", "true: everybody who reaches the web pages can use them")
		case (a.Password == "" || a.Secret == "") && v.sound("admin.password", "admin.secret"):
			v.warn("admin.password", "password or secret is empty: nobody can log in to the web pages")
		}
	}
	s := &v.c.Shutdown
	if s.Grace >= s.Timeout && v.sound("shutdown.grace", "shutdown.timeout") {
		v.fail("shutdown.grace", "%s leaves no time to end streams: allowed less than shutdown.timeout (%s)", s.Grace, s.Timeout)
	}
}

// handlers checks the paths of all endpoints, and that no two that are served have the same.
func (v *checker) handlers() {
	c := v.c
	taken := map[string]string{}
	for _, h := range []struct {
		section string
		prefix  *string
		on      bool
	}{
		{"uni_sse", &c.UniSSE.HandlerPrefix, c.UniSSE.Enabled},
		{"http_api", &c.HTTPAPI.HandlerPrefix, !c.HTTPAPI.Disabled},
		{"health", &c.Health.HandlerPrefix, c.Health.Enabled},
		{"prometheus", &c.Prometheus.HandlerPrefix, c.Prometheus.Enabled},
		{"debug", &c.Debug.HandlerPrefix, c.Debug.Enabled},
		{"admin", &c.Admin.HandlerPrefix, c.Admin.Enabled},
		{"init", &c.Init.HandlerPrefix, c.Init.Enabled},
	} {
		key := h.section + ".handler_prefix"
		if !v.sound(key) {
			continue
		}
		if err := checkPath(*h.prefix); err != nil {
			v.fail(key, "%q %v", *h.prefix, err)
			continue
		}
		*h.prefix = strings.TrimRight(*h.prefix, "/")
		if !h.on {
			continue
		}
		if other := taken[*h.prefix]; other != "" {
			v.fail(key, "%q is already the path of %s: allowed a path of its own", *h.prefix, other)
			continue
		}
		taken[*h.prefix] = h.section
	}
}

func checkPath(p string) error {
	if p == "" {
		return nil
	}
	if p[0] != '/' {
		return errors.New("does not start with /: allowed a path such as \"/connection/uni_sse\"")
	}
	for i := range len(p) {
		if c := p[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("?#%\\{}*", c) >= 0 {
			return errors.New("is not a plain path: allowed letters, digits and - _ . ~ / : @ ! $ & ' ( ) + , ; =")
		}
	}
	return nil
}
