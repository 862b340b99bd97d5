package proxy

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/auth"
	"sluice/gateway/testkit"
)

func TestBackendFaultsAreFailuresOfThatCallOnly(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the redirect to another host was followed")
	}))
	defer elsewhere.Close()
	const good = `{"result":{"user":"42"}}`
	for name, h := range backendFaults(good, elsewhere.URL) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBackend(t)
			p, log := newProxy(t, b.URL, func(o *HookOptions) { o.Timeout = 300 * time.Millisecond })
			b.do(h)
			answer, err := connect(p)
			requireFailure(t, answer, err)
			require.Equal(t, 1, log.lines(), log)
			require.Contains(t, log.String(), "hook=connect")
			if strings.HasPrefix(name, "late") && name != "late error body" {
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.ErrorContains(t, err, "no answer within 300ms")
			}
			// The next call is none the worse.
			b.say(good)
			testkit.Eventually(t, func() bool {
				answer, err = connect(p)
				return err == nil
			}, "the next call to be answered")
			require.Equal(t, "42", answer.Identity.User)
			require.Zero(t, p.ConnectStats().InFlight.Load())
		})
	}
}

// backendFaults are answers of a backend that are none, though some have one, good, in
// them; elsewhere is the URL of another host.
func backendFaults(good, elsewhere string) map[string]http.HandlerFunc {
	raw := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
				_, _ = c.Write([]byte(text))
				_ = c.Close()
			}
		}
	}
	return map[string]http.HandlerFunc{
		"500": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, good, 500) },
		"404": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, good, 404) },
		"204": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) },
		"201": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(201); _, _ = w.Write([]byte(good)) },
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere, http.StatusTemporaryRedirect)
		},
		"redirect loop": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusTemporaryRedirect) },
		"nothing":       raw(""),
		"not HTTP":      raw("220 smtp.example.com ESMTP\r\n"),
		"bad header":    raw("HTTP/1.1 200 OK\r\nno colon\r\n\r\n" + good),
		"cut off":       raw("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + good),
		"endless":       func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 2*auth.MaxAnswer)) },
		"gzip bomb": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = io.Copy(z, io.LimitReader(spaces{}, 64<<20))
			_ = z.Close()
		},
		"late": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"late body": func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte(good[:5]))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
		"late error body": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(500)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
	}
}

// spaces reads as white space without end.
type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestBackendThatRefusesConnections(t *testing.T) {
	// Bound and not listening: the port cannot become another program's.
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, syscall.Close(fd)) })
	require.NoError(t, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	name, err := syscall.Getsockname(fd)
	require.NoError(t, err)
	p, log := newProxy(t, fmt.Sprintf("http://127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port), nil)
	answer, err := connect(p)
	requireFailure(t, answer, err)
	require.Contains(t, log.String(), "refused")
}

func TestAnswersMayBeCompressed(t *testing.T) {
	b := newBackend(t)
	p, _ := newProxy(t, b.URL, nil)
	b.do(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = z.Write([]byte(`{"result":{"user":"42"}}`))
		_ = z.Close()
	})
	answer, err := connect(p)
	require.NoError(t, err)
	require.Equal(t, "42", answer.Identity.User)
}

func TestRedirectOnTheSameHostIsFollowed(t *testing.T) {
	b := newBackend(t)
	p, _ := newProxy(t, b.URL+"/connect", func(o *HookOptions) { o.StaticHeaders = map[string]string{"X-Key": "k"} })
	b.do(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/connect" {
			http.Redirect(w, r, "/connect/", http.StatusPermanentRedirect)
			return
		}
		_, _ = w.Write([]byte(`{"result":{"user":"42"}}`))
	})
	answer, err := connect(p)
	require.NoError(t, err)
	require.Equal(t, "42", answer.Identity.User)
	body, header := b.got()
	require.Contains(t, body, clientID)
	require.Equal(t, "k", header.Get("X-Key"))
}

func TestStatusTransforms(t *testing.T) {
	b := newBackend(t)
	p, log := newProxy(t, b.URL, func(o *HookOptions) {
		o.Transforms = []Transform{
			{Status: 404, Disconnect: &codec.Disconnect{Code: 4504, Reason: "not found"}},
			{Status: 401, Error: &codec.Error{Code: 101, Message: "unauthorized"}},
			{Status: 401, Error: &codec.Error{Code: 1}},
			{Status: 302, Error: &codec.Error{Code: 302}},
		}
	})
	f := func(status int, want error) {
		t.Helper()
		b.do(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://elsewhere.invalid/")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(`{"result":{"user":"42"}}`))
		})
		answer, err := connect(p)
		require.Nil(t, answer)
		require.Equal(t, want, err)
	}
	f(404, &codec.Disconnect{Code: 4504, Reason: "not found"})
	f(401, &codec.Error{Code: 101, Message: "unauthorized"})
	f(302, &codec.Error{Code: 302})
	require.Zero(t, log.lines(), "what the operator mapped is no failure")
	b.status(403, "")
	answer, err := connect(p)
	requireFailure(t, answer, err)
	require.ErrorContains(t, err, "status 403")
}

func TestCallsInFlightAreBoundedAndOthersWaitTheirTimeoutAtMost(t *testing.T) {
	const slots, calls = 3, 10
	b := newBackend(t)
	p, _ := newProxy(t, b.URL, func(o *HookOptions) { o.MaxInFlight = slots })
	release := make(chan struct{})
	b.do(func(w http.ResponseWriter, _ *http.Request) {
		<-release
		_, _ = w.Write([]byte(`{"result":{"user":"42"}}`))
	})
	var all sync.WaitGroup
	for range calls {
		all.Go(func() {
			if _, err := connect(p); err != nil {
				t.Error(err)
			}
		})
	}
	s := p.ConnectStats()
	testkit.Eventually(t, func() bool {
		return b.asked.Load() == slots && s.InFlight.Load() == slots && s.Waiting.Load() == calls-slots
	}, "all slots to be taken")
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	_, err := p.Connect(ctx, &auth.ConnectCall{Client: clientID})
	require.ErrorIs(t, err, auth.ErrHook)
	require.ErrorContains(t, err, "3 calls under way")
	// The other hook has slots of its own.
	require.Zero(t, p.RefreshStats().InFlight.Load())
	close(release)
	all.Wait()
	require.Equal(t, uint64(calls+1), s.Calls.Load())
	require.Equal(t, uint64(1), s.Errors.Load())
	took := s.Took.Read()
	require.Equal(t, s.Calls.Load(), took.Count())
	require.Positive(t, took.Sum())
	require.Zero(t, s.InFlight.Load())
	require.Zero(t, s.Waiting.Load())
}

func TestCallerThatGivesUpIsNoFailureOfTheBackend(t *testing.T) {
	b := newBackend(t)
	p, log := newProxy(t, b.URL, nil)
	b.do(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() {
		_, err := p.Connect(ctx, &auth.ConnectCall{Client: clientID})
		ended <- err
	}()
	testkit.Eventually(t, func() bool { return b.asked.Load() == 1 }, "the call to arrive")
	cancel()
	err := <-ended
	require.ErrorIs(t, err, auth.ErrHook)
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, p.ConnectStats().Errors.Load())
	require.Zero(t, log.lines())
}

func TestFailuresAreLoggedOnceInAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, log := newProxy(t, "http://backend/", nil)
		p.connect.client = &http.Client{Transport: refuser{}}
		for range 1000 {
			_, err := connect(p)
			require.ErrorIs(t, err, auth.ErrHook)
		}
		require.Equal(t, 1, log.lines())
		require.Contains(t, log.String(), "suppressed=0")
		time.Sleep(logEvery)
		_, _ = connect(p)
		require.Equal(t, 2, log.lines())
		require.Contains(t, log.String(), "suppressed=999")
	})
}

// refuser is a backend that cannot be reached.
type refuser struct{}

// RoundTrip implements http.RoundTripper.
func (refuser) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("refused") }

func TestCloseLeavesNothingBehind(t *testing.T) {
	testkit.Snapshot(t)
	b := newBackend(t)
	p, err := New(Options{Connect: &HookOptions{Endpoint: b.URL, Timeout: time.Minute}})
	require.NoError(t, err)
	_, err = connect(p)
	require.NoError(t, err)
	_, err = refresh(p)
	require.ErrorIs(t, err, auth.ErrHook, "that hook is off")
	require.Nil(t, p.RefreshStats())
	p.Close()
}

func TestSecretsNeverShow(t *testing.T) {
	const planted = "hunter2"
	b := newBackend(t)
	url := "http://" + planted + ":" + planted + "@" + strings.TrimPrefix(b.URL, "http://") + "/hook?key=" + planted
	var said []string
	f := func(h http.HandlerFunc) {
		t.Helper()
		p, log := newProxy(t, url, func(o *HookOptions) {
			o.HTTPHeaders, o.EmulatedHeaders, o.StaticHeaders = []string{"Cookie"}, []string{"Authorization"}, map[string]string{"X-Key": planted}
			o.IncludeConnectionMeta = true
		})
		if h != nil {
			b.do(h)
		}
		_, err := p.Connect(context.Background(), &auth.ConnectCall{
			Client: clientID, Data: codec.QuoteJSON(planted), Name: planted,
			Headers: []auth.Header{sent("Cookie", planted), emulated("Authorization", planted)},
		})
		require.ErrorIs(t, err, auth.ErrHook)
		require.Contains(t, log.String(), "/hook", "nothing was logged: the test means nothing")
		_, err2 := p.Refresh(context.Background(), &auth.RefreshCall{Client: clientID, User: planted, Meta: codec.QuoteJSON(planted)})
		require.ErrorIs(t, err2, auth.ErrHook)
		said = append(said, err.Error(), err2.Error(), log.String())
	}
	write := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) }
	}
	raw := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
				_, _ = c.Write([]byte(text))
				_ = c.Close()
			}
		}
	}
	f(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, planted, 500) })
	f(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+planted+".invalid/", http.StatusFound)
	})
	f(write(planted))
	f(write(`{"result":"` + planted + `"}`))
	f(write(`{"result":{"user":{"` + planted + `":1},"expired":"` + planted + `"}}`))
	f(write(`{"result":{"user":"1","b64info":"` + planted + `!"}}`))
	f(raw(planted + "\r\n\r\n"))
	f(raw("HTTP/1.1 " + planted + "\r\n\r\n"))
	f(raw("HTTP/1.1 200 OK\r\n" + planted + "\r\n\r\n"))
	f(raw("HTTP/1.1 200 OK\r\n" + planted + " x: y\r\n\r\n"))
	f(raw("HTTP/1.1 200 OK\r\nContent-Length: " + planted + "\r\n\r\n"))
	f(raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: " + planted + "\r\n\r\n"))
	f(raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + planted + "\r\n"))
	f(raw("HTTP/1.1 302 Found\r\nLocation: http://%" + planted + "\r\n\r\n"))
	b.Close()
	f(nil)
	_, err := New(Options{Connect: &HookOptions{Endpoint: "grpc://" + planted, StaticHeaders: map[string]string{"A": planted + "\n"}}})
	said = append(said, err.Error())
	require.NotContains(t, strings.Join(said, "\n"), planted)
}
