package check

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gobwas/glob"

	"sluice/gateway/config/schema"
	"sluice/gateway/config/source"
)

// minPing bounds the ping interval: below it pings would be the load.
const minPing = 10 * time.Millisecond

func (v *checker) client() {
	c := &v.c.Client
	v.origins(c.AllowedOrigins)
	if c.Insecure {
		v.warn("client.insecure", "true: everybody can connect and subscribe; for development only")
	}
	if c.InsecureSkipTokenSignatureVerify {
		v.warn("client.insecure_skip_token_signature_verify", "true: everybody can make tokens; for development only")
	}
	if c.PingInterval >= 0 && c.PingInterval < minPing {
		v.fail("client.ping_interval", "%s is too short: allowed %s or more, or negative for no pings", c.PingInterval, minPing)
	}
	if c.QueuesMaxTotal < c.QueueMaxSize && v.sound("client.queues_max_total", "client.queue_max_size") {
		v.warn("client.queues_max_total", "%d is less than client.queue_max_size (%d), which then never counts", c.QueuesMaxTotal, c.QueueMaxSize)
	}
	v.headerToken("client.user_id_http_header", c.UserIDHTTPHeader, "a header name")
	v.userHeader()
	v.headerToken("client.token_cookie", c.TokenCookie, "a cookie name")
	v.disconnects("client.connect_code_to_unidirectional_disconnect.transforms", c.ConnectCodeToUnidirectionalDisconnect.Transforms)
	v.personal()
}

// compileGlob compiles p as the origin check will. Why recover: a pattern is the operator's text, and a panic of the
// library on an odd one must not stop the program without naming it.
func compileGlob(p string) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("malformed")
		}
	}()
	_, err = glob.Compile(p)
	return err
}

var tokenChars = regexp.MustCompile("^[-!#$%&'*+.^_`|~0-9A-Za-z]+$")

// headerToken checks a name that must be a token of RFC 9110, section 5.6.2; empty is fine.
func (v *checker) headerToken(key, s, what string) {
	if s != "" && !tokenChars.MatchString(s) {
		v.fail(key, "%q is not %s: allowed letters, digits and - _ . and the like", s, what)
	}
}

func (v *checker) disconnects(key string, transforms []schema.DisconnectTransform) {
	for i, t := range transforms {
		at := fmt.Sprintf("%s[%d]", key, i)
		if t.Code == 0 && v.sound(at+".code") {
			v.fail(at+".code", "0 or missing: allowed the code of a client error, 109 for example")
		}
		if t.To.Code == 0 && v.sound(at+".to.code") {
			v.fail(at+".to.code", "0 or missing: allowed a disconnect code, 4000-4999 for your own")
		}
		v.reason(at+".to.reason", t.To.Reason)
	}
}

// maxReason is the longest reason that every transport of the reference can carry.
const maxReason = 123

func (v *checker) reason(key, s string) {
	if len(s) > maxReason || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
		v.fail(key, "%s is not a reason: allowed at most %d printable ASCII characters", (&source.Node{Value: s}).Show(), maxReason)
	}
}

func (v *checker) personal() {
	p := &v.c.Client.SubscribeToUserPersonalChannel
	const section = "client.subscribe_to_user_personal_channel."
	if !p.Enabled || !v.sound(section+"personal_channel_namespace", section+"single_connection", schema.NamespacesKey) {
		return
	}
	o, key := &v.c.Channel.WithoutNamespace, "channel.without_namespace"
	if p.PersonalChannelNamespace != "" {
		i := slices.IndexFunc(v.c.Channel.Namespaces, func(n schema.Namespace) bool { return n.Name == p.PersonalChannelNamespace })
		if i < 0 {
			v.fail(section+"personal_channel_namespace", "%q is not among channel.namespaces: allowed %s, or empty for none",
				p.PersonalChannelNamespace, v.namespaceNames())
			return
		}
		o, key = &v.c.Channel.Namespaces[i].ChannelOptions, fmt.Sprintf("%s[%d]", schema.NamespacesKey, i)
	}
	if p.SingleConnection && !o.Presence && v.sound(key+".presence") {
		v.fail(section+"single_connection", "true needs presence in %s", key)
	}
}

func (v *checker) namespaceNames() string {
	if len(v.c.Channel.Namespaces) == 0 {
		return "the name of a namespace (there are none)"
	}
	names := make([]string, 0, len(v.c.Channel.Namespaces))
	for _, n := range v.c.Channel.Namespaces {
		names = append(names, fmt.Sprintf("%q", n.Name))
	}
	return strings.Join(names, ", ")
}

func (v *checker) hooks() {
	for _, h := range v.c.Hooks() {
		if h.Proxy.Enabled {
			v.hook(h.Key, h.Proxy)
		}
	}
}

func (v *checker) hook(key string, p *schema.Proxy) {
	v.endpoint(key+".endpoint", p.Endpoint)
	if p.Timeout <= 0 && v.sound(key+".timeout") {
		v.fail(key+".timeout", "%s: allowed more than 0; the hook is enabled", p.Timeout)
	}
	for _, name := range p.HTTPHeaders {
		v.headerToken(key+".http_headers", name, "a header name")
	}
	for _, name := range p.EmulatedHeaders {
		v.headerToken(key+".emulated_headers", name, "a header name")
	}
	for _, name := range slices.Sorted(maps.Keys(p.HTTP.StaticHeaders)) {
		if !tokenChars.MatchString(name) {
			v.fail(key+".http.static_headers", "%q is not a header name: allowed letters, digits and - _ . and the like", name)
		}
		if strings.ContainsAny(p.HTTP.StaticHeaders[name], "\r\n\x00") {
			v.fail(key+".http.static_headers", "header %q: %s holds a line end or a zero byte", name, source.Hidden)
		}
	}
	for i, t := range p.HTTP.StatusToCodeTransforms {
		v.statusTransform(fmt.Sprintf("%s.http.status_to_code_transforms[%d]", key, i), &t)
	}
	v.tls(key+".http.tls", &p.HTTP.TLS, false)
}

// endpoint checks the URL of an enabled hook. A gRPC hook is refused, not ignored: without it everybody would be let in whom
// it would have stopped (PROTOCOL 12.44).
func (v *checker) endpoint(key, endpoint string) {
	if !v.sound(key) {
		return
	}
	u, err := url.Parse(endpoint)
	switch {
	case endpoint == "":
		v.fail(key, "missing: the hook is enabled: allowed a URL with http:// or https://")
	case !strings.Contains(endpoint, "://") && strings.Contains(endpoint, "/"):
		v.fail(key, "%s: a scheme is missing: write %s", v.showURL(key, endpoint), v.showURL(key, "http://"+strings.TrimLeft(endpoint, "/")))
	case !strings.HasPrefix(endpoint, "http://") && !strings.HasPrefix(endpoint, "https://"):
		v.fail(key, "%s is the address of a gRPC hook, which is not supported: allowed a URL with http:// or https://", v.showURL(key, endpoint))
	case err != nil || u.Host == "":
		v.fail(key, "%s is not a URL: allowed a URL with http:// or https:// and a host", v.showURL(key, endpoint))
	}
}

func (v *checker) statusTransform(key string, t *schema.StatusTransform) {
	if !v.sound(key+".status_code", key+".to_error.code", key+".to_disconnect.code") {
		return
	}
	if t.StatusCode < 100 || t.StatusCode > 599 {
		v.fail(key+".status_code", "%d is not an HTTP status: allowed 100-599", t.StatusCode)
	}
	if (t.ToError.Code == 0) == (t.ToDisconnect.Code == 0) {
		v.fail(key, "allowed exactly one of to_error and to_disconnect, with a code that is not 0")
	}
	v.reason(key+".to_error.message", t.ToError.Message)
	v.reason(key+".to_disconnect.reason", t.ToDisconnect.Reason)
}
