package proxy

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"sluice/codec"
	"sluice/gateway/problem"
)

// DefaultMaxInFlight is how many calls of one hook may be under way at once.
const DefaultMaxInFlight = 512

// DefaultMaxChannels is how many channels an answer may grant.
const DefaultMaxChannels = 128

// Options of a [Proxy].
type Options struct {
	// Connect and Refresh are the hooks; nil is a hook that is never called.
	Connect, Refresh *HookOptions
	// MaxChannels is how many channels a connection may have (client.channel_limit),
	// DefaultMaxChannels: an answer that grants more is no use, and is not decoded.
	MaxChannels int
	// Log is told of failures, a line in logEvery for each hook; nil for
	// nothing.
	Log *slog.Logger
}

// HookOptions are those of one hook; unless said otherwise the fields are the
// keys under client.proxy.connect and client.proxy.refresh (PROTOCOL 8, 9.2).
type HookOptions struct {
	Endpoint string        // http:// or https://
	Timeout  time.Duration // of a whole call, waiting for its turn included
	// HTTPHeaders and EmulatedHeaders are the names of headers of the client
	// that are passed on, in any case.
	HTTPHeaders, EmulatedHeaders []string
	StaticHeaders                map[string]string // http.static_headers
	BinaryEncoding               bool              // data goes as b64data
	IncludeConnectionMeta        bool              // of the refresh hook
	Transforms                   []Transform       // http.status_to_code_transforms
	TLS                          *tls.Config       // http.tls; nil for what the system has
	// MaxInFlight is not a key: 0 means DefaultMaxInFlight.
	MaxInFlight int
}

// Transform is what an answer with another status than 200 means: exactly one
// of the two is set.
type Transform struct {
	Status     int
	Error      *codec.Error
	Disconnect *codec.Disconnect
}

// Check returns what is wrong with the options of a hook that is on, by their keys
// below that of the hook.
func (o *HookOptions) Check() problem.List {
	var l problem.List
	o.checkEndpoint(&l)
	if o.Timeout <= 0 {
		l.Fail("timeout", "%s: allowed more than 0; the hook is enabled", o.Timeout)
	}
	for _, list := range []struct {
		key   string
		names []string
	}{{"http_headers", o.HTTPHeaders}, {"emulated_headers", o.EmulatedHeaders}, {"http.static_headers", slices.Sorted(maps.Keys(o.StaticHeaders))}} {
		for _, s := range list.names {
			l.Token(list.key, s, "a header name")
		}
	}
	for _, s := range slices.Sorted(maps.Keys(o.StaticHeaders)) {
		if !isFieldValue(o.StaticHeaders[s]) {
			l.Fail("http.static_headers", "header %q: %s holds a line end or a zero byte", s, problem.Hidden)
		}
	}
	for i := range o.Transforms {
		l.Add(fmt.Sprintf("http.status_to_code_transforms[%d]", i), o.Transforms[i].check())
	}
	return l
}

// checkEndpoint checks the URL. A gRPC hook is refused, not ignored: without it
// everybody would be let in whom it would have stopped (PROTOCOL 12.44).
func (o *HookOptions) checkEndpoint(l *problem.List) {
	const key = "endpoint"
	fail := func(format string, args ...any) { l.Fail(key, format, args...).Secret = true }
	u, err := url.Parse(o.Endpoint)
	switch {
	case o.Endpoint == "":
		fail("missing: the hook is enabled: allowed a URL with http:// or https://")
	case !strings.Contains(o.Endpoint, "://") && strings.Contains(o.Endpoint, "/"):
		fail("%s: a scheme is missing: write %s", problem.URL(o.Endpoint), problem.URL("http://"+strings.TrimLeft(o.Endpoint, "/")))
	case !strings.HasPrefix(o.Endpoint, "http://") && !strings.HasPrefix(o.Endpoint, "https://"):
		fail("%s is the address of a gRPC hook, which is not supported: allowed a URL with http:// or https://", problem.URL(o.Endpoint))
	case err != nil || u.Host == "":
		fail("%s is not a URL: allowed a URL with http:// or https:// and a host", problem.URL(o.Endpoint))
	}
}

func (t *Transform) check() problem.List {
	const status, toError, toDisconnect = "status_code", "to_error.code", "to_disconnect.code"
	var l problem.List
	if t.Status < 100 || t.Status > 599 {
		l.Fail(status, "%d is not an HTTP status: allowed 100-599", t.Status).With(toError, toDisconnect)
	}
	if t.Status == http.StatusOK {
		l.Fail(status, "%d is that of an answer: allowed another one", t.Status)
	}
	if (t.Error == nil) == (t.Disconnect == nil) {
		l.Fail("", "allowed exactly one of to_error and to_disconnect, with a code that is not 0").With(status, toError, toDisconnect)
	}
	if t.Error != nil {
		l.Reason("to_error.message", t.Error.Message)
	}
	if t.Disconnect != nil {
		l.Reason("to_disconnect.reason", t.Disconnect.Reason)
	}
	return l
}

// isFieldValue reports whether s can be sent as the value of a header (RFC 9110
// section 5.5).
func isFieldValue(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' && s[i] != '\t' || s[i] == 0x7f {
			return false
		}
	}
	return true
}
