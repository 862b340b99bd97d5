package cli

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sluice/gateway/config"
	"sluice/gateway/front/client"
	"sluice/gateway/front/local"
	"sluice/gateway/node"
)

// healthCommand asks a server on this machine for its health: what a container's health
// check runs, where there is no shell and no curl.
func healthCommand(stdout io.Writer) *cobra.Command {
	var path string
	var ready, relay bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask the server of a configuration on this machine whether it lives, or is ready",
		Long: "Ask the server on this machine whether it lives. It reads the same configuration as the server, so give\n" +
			"it the same file, flags and environment: these say where the server listens, with or without TLS, and on\n" +
			"which path (health.handler_prefix). The exit code is 0 if it answers as it should, or 1 with the reason.",
		Example: "  sluice healthcheck -c config.json           code 0: it lives; restart what does not\n" +
			"  sluice healthcheck -c config.json --ready   code 0: new clients may be sent to it",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			flags, err := givenFlags(cmd)
			if err != nil {
				return err
			}
			src := configSource(cmd, path)
			src.Flags, src.Relay = flags, relay
			cfg, report, err := node.Load(src)
			if err != nil {
				return fmt.Errorf("the configuration is wrong:\n%w", errors.Join(err, node.Refused(report, err)))
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			url, err := checkHealth(ctx, cfg, ready)
			if err == nil {
				fmt.Fprintln(stdout, "ok:", url)
			}
			return err
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVarP(&path, "config", "c", "config.json", "config file of the server")
	f.BoolVar(&ready, "ready", false, "ask whether it is ready for new clients, not only whether it lives")
	f.BoolVar(&relay, "relay", false, "the server was started by `sluice relay`")
	f.DurationVar(&timeout, "timeout", 5*time.Second, "most time for the answer")
	f.VarP(&optionFlag{"8000", "port"}, "port", "p", "port of the endpoint (http_server.port)")
	f.VarP(&optionFlag{"", "string"}, "address", "a", "address it listens on (http_server.address)")
	addOptionFlags(cmd)
	markConfigFile(cmd, "config")
	return cmd
}

// checkHealth asks once, and returns where. The error says what came instead of a 200.
func checkHealth(ctx context.Context, cfg *config.Config, ready bool) (url string, err error) {
	if !cfg.Health.Enabled {
		return "", errors.New("health.enabled is off, so there is nothing to ask: switch it on for the server and for this check, in the configuration or by SLUICE_HEALTH_ENABLED=true")
	}
	at, err := healthAddress(cfg)
	if err != nil {
		return "", err
	}
	path, scheme := node.Root(cfg.Health.HandlerPrefix), "http://"
	if ready {
		path = node.ReadyPath(cfg.Health.HandlerPrefix)
	}
	if at.tls != nil {
		scheme = "https://"
	}
	url = strings.Replace(scheme, "://", at.suffix+"://", 1) + at.address + path
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"localhost"+path, nil)
	if err != nil {
		return "", fmt.Errorf("health.handler_prefix: %w", err)
	}
	transport := &http.Transport{DialContext: at.dial, TLSClientConfig: at.tls, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	answer, err := transport.RoundTrip(req)
	if err != nil {
		return "", fmt.Errorf("%s does not answer (expected 200): %w%s", url, err, at.advice(err))
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode == http.StatusOK {
		return url, nil
	}
	const most = 1024 // of a reason, or of the page of a stranger
	text, _ := io.ReadAll(io.LimitReader(answer.Body, most))
	return "", fmt.Errorf("%s: expected 200, got %s: %s", url, answer.Status, cmp.Or(strings.TrimSpace(string(text)), "nothing more"))
}

// healthEnd is where the health check of a server is, seen from its own machine.
type healthEnd struct {
	network, address string
	suffix           string      // of the scheme, where people read of it
	tls              *tls.Config // nil: plain
	mutual           bool        // it asks for certificates of clients
	proxies          *client.Proxies
}

// healthAddress finds the listener that has the operator's endpoints: the internal one, or
// the only one.
func healthAddress(cfg *config.Config) (*healthEnd, error) {
	s := &cfg.HTTPServer
	address, internal := s.Internal()
	at := &healthEnd{network: "tcp", address: address}
	host, port := cmp.Or(s.InternalAddress, s.Address), cmp.Or(s.InternalPort, fmt.Sprint(s.Port))
	if file, isFile := local.Path(host); isFile {
		at.network, at.address, at.suffix = "unix", file, "+unix"
	} else if port == "0" {
		return nil, errors.New("the port is 0, which is any free one: give the server's http_server.internal_port (or http_server.port) a number, so that this check finds it")
	}
	own, key := &s.TLS, "http_server.tls"
	switch {
	case internal && s.InternalTLS.Enabled:
		own, key = &s.InternalTLS, "http_server.internal_tls"
	case !s.TLS.Enabled, internal && s.TLSExternal:
		own = nil
	}
	var err error
	if own != nil {
		at.mutual = own.ClientCAPEM != ""
		if at.tls, err = healthTLS(own); err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
	}
	if s.ProxyProtocol {
		if at.proxies, err = client.NewProxies(s.TrustedProxies, s.ForwardedHeader); err != nil {
			return nil, fmt.Errorf("http_server.trusted_proxies: %w", err)
		}
	}
	return at, nil
}

// healthTLS is for a connection to the server itself: the name in its certificate is one of
// the outside, so it is not looked at. A listener that asks for certificates is shown the
// server's own, which the same authority may have signed.
func healthTLS(own *config.TLS) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true} // #nosec G402
	if own.ClientCAPEM == "" {
		return c, nil
	}
	cert, err := config.ReadPEM("", own.CertPEM)
	if err != nil {
		return nil, fmt.Errorf("cert_pem: %w", err)
	}
	key, err := config.ReadPEM("", own.KeyPEM)
	if err != nil {
		return nil, fmt.Errorf("key_pem: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	c.Certificates = []tls.Certificate{pair}
	return c, err
}

// proxyLocal is the PROXY header, version 2, of a proxy that speaks for itself: its own
// health checks are to have one.
const proxyLocal = "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"

// dial connects to the listener, whatever name the request has.
func (at *healthEnd) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, at.network, at.address)
	if err != nil || at.proxies == nil {
		return c, err
	}
	var peer netip.Addr // as the server sees us; of a socket of the file system none
	if own, isTCP := c.LocalAddr().(*net.TCPAddr); isTCP {
		peer = own.AddrPort().Addr().Unmap()
	}
	if !at.proxies.Trusts(peer) {
		return c, nil // not one of those who have to begin with a header
	}
	if _, err := io.WriteString(c, proxyLocal); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// advice says what may be wrong, if anything is known.
func (at *healthEnd) advice(err error) string {
	if at.mutual && strings.Contains(err.Error(), "certificate") {
		return "; the listener asks for a certificate that client_ca_pem has signed, and the server's own is none: give health checks an http_server.internal_port whose TLS has no client_ca_pem"
	}
	var refused *net.OpError
	if errors.As(err, &refused) && refused.Op == "dial" {
		return "; is the server running, with this configuration?"
	}
	return ""
}
