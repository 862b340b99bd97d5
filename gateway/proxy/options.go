package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"sluice/codec"
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
	TLS                          *TLS              // http.tls; nil for what the system has
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

// TLS is how a backend is to prove itself, and Sluice to it. The bytes are PEM.
type TLS struct {
	ServerCA           []byte // authorities of the backend's certificate; nil for those of the system
	Cert, Key          []byte // Sluice's own certificate; nil for none
	ServerName         string // in the backend's certificate; "" for the host of the endpoint
	InsecureSkipVerify bool
}

func (t *TLS) config() (*tls.Config, error) {
	if t == nil {
		return nil, nil
	}
	c := &tls.Config{ServerName: t.ServerName, InsecureSkipVerify: t.InsecureSkipVerify} // #nosec G402: the operator's choice, warned of
	if len(t.ServerCA) > 0 {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(t.ServerCA) {
			return nil, errors.New("http.tls.server_ca_pem: no certificate in it")
		}
	}
	if len(t.Cert) > 0 || len(t.Key) > 0 {
		own, err := tls.X509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("http.tls.cert_pem and key_pem: %w", err)
		}
		c.Certificates = []tls.Certificate{own}
	}
	return c, nil
}

// check says what is wrong with the options, without values that may be
// secrets.
func (o *HookOptions) check() error {
	var errs []error
	u, err := url.Parse(o.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		errs = append(errs, errors.New("endpoint: a URL with http:// or https:// and a host expected"))
	}
	if o.Timeout <= 0 {
		errs = append(errs, fmt.Errorf("timeout is %s: more than 0 expected", o.Timeout))
	}
	for name, value := range o.StaticHeaders {
		if !isToken(name) || !isFieldValue(value) {
			errs = append(errs, fmt.Errorf("http.static_headers: %q: the name or the value cannot be sent", name))
		}
	}
	for i, t := range o.Transforms {
		if (t.Error == nil) == (t.Disconnect == nil) || t.Status == http.StatusOK {
			errs = append(errs, fmt.Errorf("http.status_to_code_transforms[%d]: another status than 200 and either an error or a disconnect expected", i))
		}
	}
	return errors.Join(errs...)
}

// isToken reports whether s is a token (RFC 9110 section 5.6.2), as names of
// headers are.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
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
