//go:build e2e

package test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
)

// TestLongBrowserDictionaries measures what Chromium does with compression dictionaries
// (RFC 9842) for event streams; docs/edge.md says it. It is no test of ours: should a
// browser begin to behave differently, this tells.
//
// It is a dictionary only in a secure context whose certificate is beyond doubt, of a
// public root unless the host is localhost, and for pages of the same site.
//
//	go test -tags e2e -run TestLongBrowserDictionaries -v ./gateway/test
func TestLongBrowserDictionaries(t *testing.T) {
	plain, other, secure, pin := newDictionaryOrigins(t)
	for _, c := range []struct {
		name       string
		page, from string // the origins of the page, and of dictionary and streams
		flags      []chromedp.ExecAllocatorOption
		sent       bool
	}{
		{name: "localhost", page: plain.at("http", "localhost"), from: plain.at("http", "localhost"), sent: true},
		{name: "another origin of the site", page: other.at("http", "localhost"), from: plain.at("http", "localhost"), sent: true},
		{name: "another site", page: other.at("http", "localhost"), from: plain.at("http", "127.0.0.1")},
		{name: "no secure context", page: plain.at("http", "sluice.test"), from: plain.at("http", "sluice.test")},
		{
			name: "a certificate whose errors are ignored", page: secure.at("https", "localhost"), from: secure.at("https", "localhost"),
			flags: []chromedp.ExecAllocatorOption{chromedp.Flag("ignore-certificate-errors", true)},
		},
		{
			name: "TLS and HTTP/2", page: secure.at("https", "localhost"), from: secure.at("https", "localhost"),
			flags: []chromedp.ExecAllocatorOption{chromedp.Flag("ignore-certificate-errors-spki-list", pin)}, sent: true,
		},
		{
			name: "a root of its own", page: secure.at("https", "sluice.test"), from: secure.at("https", "sluice.test"),
			flags: []chromedp.ExecAllocatorOption{chromedp.Flag("ignore-certificate-errors-spki-list", pin)},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			flags := append(c.flags, chromedp.Flag("host-resolver-rules", "MAP sluice.test 127.0.0.1"))
			b := newChromium(needChromium(t), flags...)
			t.Cleanup(b.cancel)
			require.NoError(t, chromedp.Do(b.ctx))
			for _, way := range []string{"fetch", "link"} {
				for _, kind := range []string{"EventSource", "fetch", "EventSource of a worker"} {
					o := plain
					if strings.HasPrefix(c.from, "https") {
						o = secure
					}
					got := o.measure(t, b, c.page, c.from, way, kind)
					t.Logf("%-24s dictionary by %-5s %s", kind, way, got)
					require.Equal(t, c.sent, strings.Contains(got, "dcz"), "%s: %s", kind, got)
				}
			}
		})
	}
}

// dictionaryOrigin serves a page, dictionaries and streams. A stream goes as dcz where the
// browser has its dictionary: a frame for each event, the next one when the page has read
// the one before.
type dictionaryOrigin struct {
	*httptest.Server
	dictionary []byte

	// Guarded by mu.
	mu    sync.Mutex
	asked map[string]http.Header   // by path of a stream
	read  map[string]chan struct{} // the same: an event was read
	runs  int
}

// dictionaryEvents is how many events a stream has.
const dictionaryEvents = 5

func newDictionaryOrigins(t *testing.T) (plain, other, secure *dictionaryOrigin, pin string) {
	t.Helper()
	origin := func() *dictionaryOrigin {
		o := &dictionaryOrigin{
			dictionary: bytes.Repeat([]byte(`{"channel":"ticks","pub":{"data":{"bid":1,"ask":2}}}`), 40),
			asked:      map[string]http.Header{}, read: map[string]chan struct{}{},
		}
		o.Server = httptest.NewUnstartedServer(o)
		t.Cleanup(o.Close)
		return o
	}
	plain, other, secure = origin(), origin(), origin()
	plain.Start()
	other.Start()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost", "sluice.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	secure.EnableHTTP2 = true
	secure.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	secure.StartTLS()
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return plain, other, secure, base64.StdEncoding.EncodeToString(sum[:])
}

func (o *dictionaryOrigin) at(scheme, host string) string {
	_, port, _ := net.SplitHostPort(o.Listener.Addr().String())
	return scheme + "://" + net.JoinHostPort(host, port)
}

// ServeHTTP implements http.Handler.
func (o *dictionaryOrigin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	_, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch kind := strings.TrimPrefix(strings.TrimSuffix(r.URL.Path, rest), "/"); kind {
	case "page/":
		h.Set("Content-Type", "text/html")
		if from := r.URL.Query().Get("link"); from != "" {
			h.Set("Link", fmt.Sprintf(`<%s/dictionary/%s>; rel="compression-dictionary"; crossorigin="anonymous"`, from, rest))
		}
		fmt.Fprint(w, "<!doctype html><title>dictionaries</title>")
	case "dictionary/":
		h.Set("Use-As-Dictionary", fmt.Sprintf(`match="/stream/%s/*"`, rest))
		h.Set("Cache-Control", "public, max-age=3600")
		_, _ = w.Write(o.dictionary)
	case "read/":
		o.wasRead("/" + rest) <- struct{}{}
	case "stream/":
		o.stream(w, r)
	}
}

func (o *dictionaryOrigin) wasRead(path string) chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	path = strings.TrimPrefix(path, "/stream")
	if o.read[path] == nil {
		o.read[path] = make(chan struct{}, dictionaryEvents)
	}
	return o.read[path]
}

func (o *dictionaryOrigin) stream(w http.ResponseWriter, r *http.Request) {
	sum := sha256.Sum256(o.dictionary)
	mine := r.Header.Get("Available-Dictionary") == ":"+base64.StdEncoding.EncodeToString(sum[:])+":"
	o.mu.Lock()
	o.asked[r.URL.Path] = r.Header.Clone()
	o.mu.Unlock()
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store, no-transform")
	h.Set("Vary", "Accept-Encoding, Available-Dictionary")
	var enc *zstd.Encoder
	if mine && strings.Contains(r.Header.Get("Accept-Encoding"), "dcz") {
		h.Set("Content-Encoding", "dcz")
		_, _ = w.Write(append([]byte{0x5e, 0x2a, 0x4d, 0x18, 0x20, 0, 0, 0}, sum[:]...)) // RFC 9842 section 5
		var err error
		if enc, err = zstd.NewWriter(nil, zstd.WithEncoderDictRaw(0, o.dictionary), zstd.WithEncoderCRC(false)); err != nil {
			panic(err)
		}
	}
	for i := range dictionaryEvents {
		event := fmt.Appendf(nil, "data: {\"channel\":\"ticks\",\"pub\":{\"data\":{\"bid\":%d,\"ask\":2}}}\n\n", i)
		if enc != nil {
			event = enc.EncodeAll(event, nil)
		}
		_, _ = w.Write(event)
		w.(http.Flusher).Flush()
		select {
		case <-o.wasRead(r.URL.Path):
		case <-r.Context().Done():
			return
		}
	}
}

// dictionaryPage reads a stream to its end in each of the ways; it says after each event
// that it was read.
const dictionaryPage = `(async (kind, url, read, fetchFirst) => {
  if (fetchFirst) await (await fetch(fetchFirst)).text();
  const n = %d;
  if (kind === "fetch") {
    const reader = (await fetch(url)).body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "", seen = 0;
    while (seen < n) {
      const { value, done } = await reader.read();
      if (done) throw new Error("ended behind " + text);
      text += value;
      for (; seen < text.split("\n\n").length - 1; seen++) await fetch(read);
    }
    return seen;
  }
  const source = (url, read, n, done) => {
    let seen = 0;
    const es = new EventSource(url);
    es.onerror = () => done("an error behind " + seen);
    es.onmessage = async (e) => {
      if (JSON.parse(e.data).pub.data.bid !== seen++) done("got " + e.data);
      if (seen === n) es.close();
      await fetch(read);
      if (seen === n) done(seen);
    };
  };
  return new Promise((resolve, reject) => {
    const done = (v) => v === n ? resolve(v) : reject(new Error(v));
    if (kind === "EventSource") return source(url, read, n, done);
    const code = "(" + source + ")(" + [url, read].map((s) => JSON.stringify(s)) + "," + n + ", (v) => postMessage(v))";
    new Worker(URL.createObjectURL(new Blob([code]))).onmessage = (e) => done(e.data);
  });
})(%q, %q, %q, %q)`

// measure opens a page, has it take a dictionary and read a stream, and returns what the
// request for that said.
func (o *dictionaryOrigin) measure(t *testing.T, b chromium, page, from, way, kind string) string {
	t.Helper()
	o.mu.Lock()
	o.runs++
	run := fmt.Sprintf("%d", o.runs)
	o.mu.Unlock()
	target, first := page+"/page/"+run, from+"/dictionary/"+run
	if way == "link" {
		target, first = target+"?link="+from, ""
	}
	path := "/stream/" + run + "/"
	ctx, stop := context.WithTimeout(b.ctx, pageTimeout)
	defer stop()
	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate(target)))
	for try := 0; ; try++ { // a dictionary is stored a moment after it was read
		stream := fmt.Sprintf("%s%d", path, try)
		js := fmt.Sprintf(dictionaryPage, dictionaryEvents, kind, from+stream, from+"/read"+strings.TrimPrefix(stream, "/stream"), first)
		_, err := chromedp.Run(ctx, chromedp.Evaluate[int](js, chromedp.EvalAwaitPromise))
		require.NoError(t, err)
		o.mu.Lock()
		h := o.asked[stream]
		o.mu.Unlock()
		got := fmt.Sprintf("Accept-Encoding %q, Available-Dictionary %q", h.Get("Accept-Encoding"), h.Get("Available-Dictionary"))
		if strings.Contains(got, "dcz") || try == 10 {
			return got
		}
	}
}
