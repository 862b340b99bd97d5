//go:build linux

package connect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"sluice/bench/load"
	"sluice/bench/rig"
)

// What is held open in the mode idle.
const (
	KindStream    = "stream"
	KindKeepAlive = "keep-alive" // connections that asked for /health, and may ask again
	kindAPI       = "api"        // connections that published one message, and may do so again
	KindSilent    = "silent"     // connections that sent nothing yet
	KindHalfHead  = "half-head"  // connections that sent half of a stream's request
	kindLargeHead = "large-head" // connections that sent largeHead bytes of one
	KindTLS       = "tls"        // streams behind TLS
)

// largeHead is the size of a large head: below the largest that is taken by default.
const largeHead = 60 << 10

var idleKinds = []string{KindStream, KindKeepAlive, kindAPI, KindSilent, KindHalfHead, kindLargeHead, KindTLS}

// The budgets of a connection that waits for its client: bytes of RSS, and no
// goroutine, of which some may come and go meanwhile.
const (
	WaitingBudget       = 600.0
	GoroutinesTolerance = 0.005

	TLSIdleBudget = 8.0 // KiB of an idle stream behind TLS
)

// budgetOf is how many bytes of RSS one of a kind may cost; 0: that is judged elsewhere.
func budgetOf(kind string) float64 {
	switch kind {
	case KindStream, kindLargeHead:
		return 0
	case KindTLS:
		return TLSIdleBudget * 1024
	}
	return WaitingBudget
}

// holder holds connections open. load.Client is one.
type holder interface {
	Open(ctx context.Context, n int, quiet time.Duration) error // n more
	Held() int64                                                // how many were opened
	Err() error                                                 // what went wrong with any of them
	Close()
}

// takeKinds reads -kinds.
func (f *IdleFlags) takeKinds() error {
	f.kinds = nil
	for kind := range strings.SplitSeq(cmp.Or(f.Kinds, KindStream), ",") {
		if kind = strings.TrimSpace(kind); !slices.Contains(idleKinds, kind) {
			return fmt.Errorf("bench: -kinds should be some of %s, not %q", strings.Join(idleKinds, ", "), kind)
		}
		f.kinds = append(f.kinds, kind)
	}
	return nil
}

// hold returns what is to hold up to n connections of a kind to h.
func (f *IdleFlags) hold(ctx context.Context, r *rig.Rig, h *rig.Host, kind string, n int) (holder, error) {
	if kind == KindTLS {
		if h.Target.Secure == nil {
			return nil, errors.New("bench: streams behind TLS are those of servers of our own: no -url, no -peers")
		}
		return r.SecureClient(h, n, 0, false)
	}
	config, err := f.holding(ctx, r, h, kind, n)
	if err != nil {
		return nil, err
	}
	return load.New(config)
}

// holding is the client's settings for a kind.
func (f *IdleFlags) holding(ctx context.Context, r *rig.Rig, h *rig.Host, kind string, n int) (c load.Config, err error) {
	if kind == KindStream {
		requests, err := h.Requests(n)
		return r.ClientConfig(h, requests, 0, load.Ignore), err
	}
	request, err := f.waitingRequest(ctx, h, kind)
	c = r.ClientConfig(h, nil, 0, load.Ignore)
	c.Request = func(int) []byte { return request }
	switch kind {
	case KindKeepAlive:
		c.Answers = func(status int, _ []byte) bool { return status == http.StatusOK }
	case kindAPI:
		c.Answers = h.Target.Dialect().Accepts
	default:
		c.Mute = true
	}
	return c, err
}

// waitingRequest is what a connection sends before it waits.
func (f *IdleFlags) waitingRequest(ctx context.Context, h *rig.Host, kind string) (request []byte, err error) {
	switch kind {
	case KindKeepAlive:
		return fmt.Appendf(nil, "GET /health HTTP/1.1\r\nHost: %s\r\n\r\n", h.StreamURL.Host), nil
	case kindLargeHead:
		return fmt.Appendf(nil, "GET /health HTTP/1.1\r\nHost: %s\r\nX-Large: %s", h.StreamURL.Host, strings.Repeat("x", largeHead)), nil
	case kindAPI:
		if err := h.Target.NeedsAPI(); err != nil {
			return nil, err
		}
		_, api, err := load.Resolve(ctx, h.Target.APIURL, f.AllowRemote)
		if err != nil {
			return nil, err
		}
		request, _, err = h.Target.Dialect().Publish(api, h.Target.APIKey, h.Target.Channel, []byte("{}"))
		return request, err
	case KindHalfHead:
		request, err = h.Target.Request(h.StreamURL, "", "")
		return request[:len(request)/2], err
	}
	return nil, nil
}
