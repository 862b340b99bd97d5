package front

import (
	"bytes"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// dialTLS makes one request and returns the state of its connection.
func (s *served) dialTLS(cfg *tls.Config) (tls.ConnectionState, error) {
	nc, err := net.DialTimeout("tcp", s.addr, patience)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer func() { _ = nc.Close() }()
	c := tls.Client(nc, cfg)
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return tls.ConnectionState{}, err
	}
	if _, err := io.WriteString(c, strings.Replace(get, "Host", "Connection: close\r\nHost", 1)); err != nil {
		return tls.ConnectionState{}, err
	}
	_, err = io.ReadAll(c) // a client of TLS 1.3 learns only now that it was refused
	return c.ConnectionState(), err
}

func (s *served) serial(t *testing.T, cfg *tls.Config) int64 {
	t.Helper()
	state, err := s.dialTLS(cfg)
	require.NoError(t, err)
	return state.PeerCertificates[0].SerialNumber.Int64()
}

func TestCertificatesAreReplacedUnderLoad(t *testing.T) {
	ca := newAuthority(t, "ca")
	f := newFiles(t, ca.issue(t, 1))
	certs, err := NewCerts(f.options())
	require.NoError(t, err)
	defer certs.Close()
	s := serve(t, Options{TLS: certs.Config()}, nil)

	var handshakes atomic.Int64
	var stop atomic.Bool
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for !stop.Load() {
				if _, err := s.dialTLS(ca.client()); err != nil {
					t.Errorf("a handshake failed: %v", err)
					return
				}
				handshakes.Add(1)
			}
		})
	}
	const replacements = 10
	for i := int64(2); i <= replacements; i++ {
		seen := handshakes.Load()
		f.put(t, ca.issue(t, i)) // first the certificate, then its key
		testkit.EventuallyWithin(t, 2*patience, func() bool {
			return t.Failed() || s.serial(t, ca.client()) == i && handshakes.Load() >= seen+20
		}, "handshakes to show the new certificate")
	}
	stop.Store(true)
	clients.Wait()
	testkit.EventuallyWithin(t, patience, func() bool { return certs.Stats().Replaced >= replacements-1 }, "all to be counted")
	require.Zero(t, s.Stats().HandshakesFailed)
}

func TestUnfitCertificateLeavesTheFormerInUse(t *testing.T) {
	ca := newAuthority(t, "ca")
	first, second := ca.issue(t, 1), ca.issue(t, 2)
	f := func(name string, spoil func(t *testing.T, f *files), reason string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			testkit.Snapshot(t)
			var log testkit.LogBuffer
			files := newFiles(t, first)
			opt := files.options()
			opt.Log = slog.New(slog.NewTextHandler(&log, nil))
			certs, err := NewCerts(opt)
			require.NoError(t, err)
			defer certs.Close()
			s := serve(t, Options{TLS: certs.Config()}, nil)
			spoil(t, files)
			testkit.EventuallyWithin(t, patience, func() bool { return certs.Stats().Refused > 0 }, "the new one to be refused")
			looked := files.looks.Load()
			testkit.EventuallyWithin(t, patience, func() bool { return files.looks.Load() > looked+20 }, "the files to be looked at again")
			require.EqualValues(t, 1, s.serial(t, ca.client()))
			require.ErrorContains(t, certs.Reload(), reason)
			require.EqualValues(t, 1, certs.Stats().Refused, "told once")
			require.Equal(t, 1, strings.Count(log.String(), "\n"), log.String())
			require.Contains(t, log.String(), reason)
			for _, line := range bytes.Fields(append(first.key, second.key...)) {
				if len(line) > 40 {
					require.NotContains(t, log.String(), string(line), "no key in the log")
				}
			}

			files.put(t, second)
			testkit.EventuallyWithin(t, patience, func() bool { return s.serial(t, ca.client()) == 2 }, "a fit one to be taken")
			testkit.EventuallyWithin(t, patience, func() bool { return strings.Contains(log.String(), "replaced") }, "that to be logged")
		})
	}
	f("a key that does not fit", func(t *testing.T, f *files) { f.write(t, "cert", second.cert) }, "does not match")
	f("no PEM", func(t *testing.T, f *files) { f.write(t, "key", []byte("nothing")) }, "PEM")
	f("cut off", func(t *testing.T, f *files) { f.write(t, "key", second.key[:len(second.key)/2]) }, "PEM")
	f("the key for the certificate", func(t *testing.T, f *files) { f.write(t, "cert", second.key) }, "certificate")
	f("a file that is gone", func(t *testing.T, f *files) {
		require.NoError(t, os.Remove(filepath.Join(f.dir, "key")))
	}, "cannot be read")
}

// A pair is replaced in two steps; the moment between them is not worth a word.
func TestHalfAReplacementIsNotLogged(t *testing.T) {
	ca := newAuthority(t, "ca")
	first, second := ca.issue(t, 1), ca.issue(t, 2)
	var log testkit.LogBuffer
	cert := first.cert
	opt := TLSOptions{
		Cert: func() ([]byte, error) { return cert, nil }, Key: text(first.key),
		Poll: -1, Log: slog.New(slog.NewTextHandler(&log, nil)),
	}
	c, err := NewCerts(opt)
	require.NoError(t, err)
	cert = second.cert
	c.look()
	require.Empty(t, log.String())
	c.opt.Key = text(second.key)
	c.look()
	require.Contains(t, log.String(), "replaced")
	require.Equal(t, CertStats{Replaced: 1}, c.Stats())

	cert = first.cert
	c.look()
	c.look()
	c.look()
	require.Equal(t, CertStats{Replaced: 1, Refused: 1}, c.Stats())
	cert = second.cert
	c.look()
	cert = first.cert
	c.look()
	c.look()
	require.Equal(t, CertStats{Replaced: 1, Refused: 2}, c.Stats(), "it was gone in between: told again")
}

func TestReloadTakesANewCertificateAtOnce(t *testing.T) {
	ca := newAuthority(t, "ca")
	f := newFiles(t, ca.issue(t, 1))
	opt := f.options()
	opt.Poll = -1
	certs, err := NewCerts(opt)
	require.NoError(t, err)
	defer certs.Close()
	s := serve(t, Options{TLS: certs.Config()}, nil)
	require.EqualValues(t, 1, s.serial(t, ca.client()))
	f.put(t, ca.issue(t, 2))
	require.EqualValues(t, 1, s.serial(t, ca.client()), "nobody looked yet")
	require.NoError(t, certs.Reload())
	require.EqualValues(t, 2, s.serial(t, ca.client()))
	require.NoError(t, certs.Reload(), "nothing changed")
	require.EqualValues(t, 1, certs.Stats().Replaced)
}

func TestExpiredCertificateIsServedAndSaid(t *testing.T) {
	ca := newAuthority(t, "ca")
	old := ca.issueUntil(t, 7, time.Now().Add(-time.Minute))
	var log testkit.LogBuffer
	certs, err := NewCerts(TLSOptions{
		Cert: text(old.cert), Key: text(old.key), Poll: -1, Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	require.NoError(t, err)
	defer certs.Close()
	require.Contains(t, log.String(), "expired")
	s := serve(t, Options{TLS: certs.Config()}, nil)
	cfg := ca.client()
	cfg.InsecureSkipVerify = true
	require.EqualValues(t, 7, s.serial(t, cfg))
}

func TestStartNeedsACompletePair(t *testing.T) {
	ca := newAuthority(t, "ca")
	p, other := ca.issue(t, 1), ca.issue(t, 2)
	gone := func() ([]byte, error) { return nil, io.ErrUnexpectedEOF }
	f := func(name string, opt TLSOptions, reason string) {
		t.Helper()
		testkit.Snapshot(t)
		_, err := NewCerts(opt)
		require.ErrorContains(t, err, reason, name)
	}
	f("no certificate", TLSOptions{Key: text(p.key)}, "certificate")
	f("no key", TLSOptions{Cert: text(p.cert)}, "key")
	f("another key", TLSOptions{Cert: text(p.cert), Key: text(other.key)}, "does not match")
	f("unreadable", TLSOptions{Cert: text(p.cert), Key: gone}, "private key cannot be read")
	f("authorities without a certificate", TLSOptions{Cert: text(p.cert), Key: text(p.key), ClientCA: text(p.key)}, "authorities")
	f("no authorities", TLSOptions{Cert: text(p.cert), Key: text(p.key), ClientCA: text(nil)}, "authorities")
}

func TestMutualTLS(t *testing.T) {
	ca, other := newAuthority(t, "ca"), newAuthority(t, "other")
	p := ca.issue(t, 1)
	certs, err := NewCerts(TLSOptions{Cert: text(p.cert), Key: text(p.key), ClientCA: text(ca.pem), Poll: -1})
	require.NoError(t, err)
	defer certs.Close()
	s := serve(t, Options{TLS: certs.Config()}, nil)
	f := func(name string, accepted bool, own ...pair) {
		t.Helper()
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			cfg := ca.client(own...)
			cfg.MaxVersion = version
			// Presented whatever authorities the server asks for.
			cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if len(cfg.Certificates) == 0 {
					return new(tls.Certificate), nil
				}
				return &cfg.Certificates[0], nil
			}
			_, err := s.dialTLS(cfg)
			if accepted {
				require.NoError(t, err, name)
			} else {
				require.ErrorContains(t, err, "tls: ", "%s: the client is told", name)
			}
		}
	}
	f("none", false)
	f("of another authority", false, other.issue(t, 2))
	f("expired", false, ca.issueUntil(t, 3, time.Now().Add(-time.Minute)))
	f("good", true, ca.issue(t, 4))
	testkit.EventuallyWithin(t, patience, func() bool { return s.Stats().HandshakesFailed == 6 }, "the refused to be counted")
}

// Who could resume a session would not be asked for a certificate again.
func TestReplacedAuthoritiesAreNotBypassedBySessions(t *testing.T) {
	f := func(name string, version uint16) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			ca, next := newAuthority(t, "ca"), newAuthority(t, "next")
			files := newFiles(t, ca.issue(t, 1))
			files.write(t, "ca", ca.pem)
			opt := files.options()
			opt.ClientCA, opt.Poll = files.read("ca"), -1
			certs, err := NewCerts(opt)
			require.NoError(t, err)
			defer certs.Close()
			s := serve(t, Options{TLS: certs.Config()}, nil)

			cfg := ca.client(ca.issue(t, 2))
			cfg.MaxVersion, cfg.ClientSessionCache = version, tls.NewLRUClientSessionCache(4)
			state, err := s.dialTLS(cfg)
			require.NoError(t, err)
			require.False(t, state.DidResume)
			state, err = s.dialTLS(cfg)
			require.NoError(t, err)
			require.True(t, state.DidResume, "sessions are resumed while nothing changes")
			require.NoError(t, certs.Reload())
			state, err = s.dialTLS(cfg)
			require.NoError(t, err)
			require.True(t, state.DidResume, "looking changes nothing")

			// The certificate of the server stays: only the authorities change.
			files.write(t, "ca", next.pem)
			require.NoError(t, certs.Reload())
			_, err = s.dialTLS(cfg)
			require.Error(t, err)
			cfg = ca.client(next.issue(t, 3))
			cfg.MaxVersion = version
			_, err = s.dialTLS(cfg)
			require.NoError(t, err, "the new ones count")
		})
	}
	f("TLS 1.2", tls.VersionTLS12)
	f("TLS 1.3", tls.VersionTLS13)
}

// A session of the former key proves nothing about the new one.
func TestReplacedCertificateEndsSessions(t *testing.T) {
	ca := newAuthority(t, "ca")
	f := newFiles(t, ca.issue(t, 1))
	opt := f.options()
	opt.Poll = -1
	certs, err := NewCerts(opt)
	require.NoError(t, err)
	defer certs.Close()
	s := serve(t, Options{TLS: certs.Config()}, nil)
	cfg := ca.client()
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	require.EqualValues(t, 1, s.serial(t, cfg))
	state, err := s.dialTLS(cfg)
	require.NoError(t, err)
	require.True(t, state.DidResume)
	f.put(t, ca.issue(t, 2))
	require.NoError(t, certs.Reload())
	state, err = s.dialTLS(cfg)
	require.NoError(t, err)
	require.False(t, state.DidResume)
	require.EqualValues(t, 2, state.PeerCertificates[0].SerialNumber.Int64())
}
