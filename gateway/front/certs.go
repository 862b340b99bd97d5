package front

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"hash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// TLSOptions say where the parts of a server's TLS come from. Each of the
// functions returns PEM text and is called again and again, from one goroutine
// at a time, to see whether it changed; its errors are logged, so they must not
// quote a key.
type TLSOptions struct {
	Cert func() ([]byte, error) // the certificate, and the chain above it
	Key  func() ([]byte, error) // its private key
	// ClientCA is the authorities of which every client must have a
	// certificate. nil: clients need none.
	ClientCA func() ([]byte, error)
	// Poll is how often the parts are looked at. 0: every second; less than
	// 0: only on Reload.
	Poll time.Duration
	Log  *slog.Logger // nil: no log
}

// defaultPoll is for how long a replaced certificate may go unnoticed.
const defaultPoll = time.Second

// Certs keeps the certificate, key and client authorities of a server, and
// replaces them together when they change. What does not fit together, or
// cannot be read, is logged once, and the former stays in use. Connections that
// are open keep what they began with.
type Certs struct {
	// Immutable after NewCerts.
	opt TLSOptions

	// Closed once by Close; done by the watcher.
	stop, done chan struct{}
	once       sync.Once

	// Guarded by mu.
	mu      sync.Mutex
	current digest // of what is in use
	bad     digest // of what was refused last
	told    bool   // that was logged

	// Atomic.
	config   atomic.Pointer[tls.Config]
	replaced atomic.Uint64
	refused  atomic.Uint64
}

// digest tells contents, and errors of reading them, apart.
type digest [sha256.Size]byte

// NewCerts reads the parts and starts to watch them; end it with Close. The
// error says which part is wrong.
func NewCerts(opt TLSOptions) (*Certs, error) {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Poll == 0 {
		opt.Poll = defaultPoll
	}
	c := &Certs{opt: opt, stop: make(chan struct{}), done: make(chan struct{})}
	if err := c.load(); err != nil {
		return nil, err
	}
	c.warnExpired()
	if opt.Poll < 0 {
		close(c.done)
	} else {
		go c.watch()
	}
	return c, nil
}

// Config returns the configuration for [Options.TLS]. Every handshake that
// begins with it takes what is in use then.
func (c *Certs) Config() *tls.Config {
	cfg := baseConfig()
	cfg.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.config.Load(), nil }
	return cfg
}

// baseConfig is what does not depend on certificates.
func baseConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1", "http/1.0"}, // streams are taken from connections of HTTP/1
		// One flush of a loop is one record.
		DynamicRecordSizingDisabled: true,
	}
}

// Reload looks at the parts now. The error says what is wrong with them; then
// the former stay in use. Any goroutine.
func (c *Certs) Reload() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.current
	err := c.load()
	c.report(old, err)
	return err
}

// CertStats count since the start.
type CertStats struct {
	Replaced uint64 // times that a new certificate, key or authority was taken into use
	Refused  uint64 // times that a new one was found unfit
}

// Stats returns the counters. Any goroutine.
func (c *Certs) Stats() CertStats {
	return CertStats{Replaced: c.replaced.Load(), Refused: c.refused.Load()}
}

// Close ends the watching. Config may still be used.
func (c *Certs) Close() {
	c.once.Do(func() { close(c.stop) })
	<-c.done
}

func (c *Certs) watch() {
	defer close(c.done)
	ticker := time.NewTicker(c.opt.Poll)
	defer ticker.Stop()
	for {
		select {
		case <-c.stop:
			return
		case <-ticker.C:
			c.look()
		}
	}
}

// look is what the watcher does each time. Something unfit is logged when it is
// there a second time: the files of a pair are replaced one after the other.
func (c *Certs) look() {
	c.mu.Lock()
	defer c.mu.Unlock()
	old, bad := c.current, c.bad
	err := c.load()
	if err != nil && c.bad != bad {
		return
	}
	c.report(old, err)
}

// report logs what load found. Caller holds mu.
func (c *Certs) report(old digest, err error) {
	switch {
	case err != nil && !c.told:
		c.told = true
		c.refused.Add(1)
		c.opt.Log.Error("the new TLS certificate is unfit, the former stays in use", "error", err)
	case err == nil && c.current != old:
		c.replaced.Add(1)
		leaf := c.leaf()
		c.opt.Log.Info("TLS certificate replaced", "serial", leaf.SerialNumber.String(), "expires", leaf.NotAfter)
		c.warnExpired()
	}
}

func (c *Certs) leaf() *x509.Certificate { return c.config.Load().Certificates[0].Leaf }

// warnExpired says that clients will refuse the certificate. It is served all
// the same: some do not look.
func (c *Certs) warnExpired() {
	if leaf := c.leaf(); time.Now().After(leaf.NotAfter) {
		c.opt.Log.Warn("the TLS certificate has expired", "serial", leaf.SerialNumber.String(), "expired", leaf.NotAfter)
	}
}

// load takes the parts into use if they changed and fit together. Caller holds
// mu, or nobody else has c yet.
func (c *Certs) load() error {
	sum := sha256.New()
	cert, certErr := part(sum, "the certificate", c.opt.Cert)
	key, keyErr := part(sum, "the private key", c.opt.Key)
	ca, caErr := part(sum, "the client authorities", c.opt.ClientCA)
	id := digest(sum.Sum(nil))
	if id == c.current {
		c.bad, c.told = digest{}, false
		return nil
	}
	err := errors.Join(certErr, keyErr, caErr)
	var cfg *tls.Config
	if err == nil {
		cfg, err = newConfig(cert, key, ca, c.opt.ClientCA != nil)
	}
	if err != nil {
		if id != c.bad {
			c.bad, c.told = id, false
		}
		return err
	}
	c.current, c.bad, c.told = id, digest{}, false
	c.config.Store(cfg)
	return nil
}

// part reads one part and adds what came of it to the digest.
func part(sum hash.Hash, name string, read func() ([]byte, error)) ([]byte, error) {
	if read == nil {
		return nil, nil
	}
	text, err := read()
	if err != nil {
		err = fmt.Errorf("front: %s cannot be read: %w", name, err)
		fmt.Fprintf(sum, "error %q;", err)
		return nil, err
	}
	fmt.Fprintf(sum, "%d:", len(text))
	sum.Write(text)
	return text, nil
}

// newConfig makes the configuration of one set of parts; mutual says that
// clients need a certificate of ca.
func newConfig(cert, key, ca []byte, mutual bool) (*tls.Config, error) {
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("front: the certificate and its private key: %w", err)
	}
	cfg := baseConfig()
	cfg.Certificates = []tls.Certificate{pair}
	if mutual {
		cfg.ClientCAs = x509.NewCertPool()
		if !cfg.ClientCAs.AppendCertsFromPEM(ca) {
			return nil, errors.New("front: the client authorities: no certificate in the PEM text")
		}
		cfg.ClientAuth = tls.RequireAndVerifyClientCert
	}
	// Each set has tickets of its own, with keys that crypto/tls makes and
	// rotates. With those of Config, which it would use otherwise, sessions that
	// began under the former key or authorities could be resumed. crypto/tls
	// looks whether the authorities of now would accept the certificate of a
	// resumed session; that is not left to it alone, and nobody should resume
	// what a stolen key began. The price is a full handshake for each client
	// after a replacement.
	cfg.WrapSession, cfg.UnwrapSession = cfg.EncryptTicket, cfg.DecryptTicket
	return cfg, nil
}
