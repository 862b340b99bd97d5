package relay

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/broker"
	"sluice/gateway/testkit"
)

func TestStopIntakeEndsWhateverWaits(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, func(c *call) { c.hold() })
	r := newRig(t, quick(o))
	subscribed := make(chan error, 1)
	go func() { subscribed <- r.Subscribe(t.Context(), []string{channel}) }()
	testkit.Eventually(t, func() bool { return len(o.asked()) > 0 }, "a request")
	require.NoError(t, r.StopIntake(t.Context()))
	require.ErrorIs(t, <-subscribed, broker.ErrUnavailable)
	require.ErrorIs(t, r.Subscribe(t.Context(), []string{channel}), broker.ErrUnavailable)
}

func TestReadyTellsWhetherTheOriginIsThere(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, func(c *call) { c.hold() })
	opt := quick(o)
	require.Error(t, New(opt).Ready())
	r := newRig(t, opt)
	testkit.Eventually(t, func() bool { return r.Ready() == nil }, "ready")

	opt.Origin = nobody(t)
	r = newRig(t, opt)
	testkit.Eventually(t, func() bool { return strings.Contains(fmt.Sprint(r.Ready()), "127.0.0.1:1 is out of reach") }, "to say why not")
}

func TestAnOriginMayBeEncrypted(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodHead {
			return
		}
		h := w.Header()
		h.Set("Content-Type", "text/event-stream")
		h.Set("Sluice-Epoch", epoch)
		h.Set("Sluice-Backlog", "0-1")
		_, _ = io.WriteString(w, event(1))
		_ = http.NewResponseController(w).Flush()
		<-req.Context().Done()
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // of a handshake that is to fail
	s.StartTLS()
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL + "/broadcast")
	require.NoError(t, err)
	opt := Options{Origin: u, RetryMin: time.Millisecond, RetryMax: time.Millisecond, Wait: 200 * time.Millisecond}
	r := newRig(t, opt)
	require.ErrorIs(t, r.refused(patience), broker.ErrUnavailable)
	testkit.Eventually(t, func() bool { // on a slow machine nobody waits any more when it does
		return r.Stats().Ends["dial"] > 0 || r.refused(patience) == nil
	}, "an attempt to fail")
	require.ErrorContains(t, r.Ready(), "certificate")

	opt.Wait, opt.TLS = patience, &tls.Config{RootCAs: x509.NewCertPool()}
	opt.TLS.RootCAs.AddCert(s.Certificate())
	r = newRig(t, opt)
	r.subscribe()
	r.await("1")
}
