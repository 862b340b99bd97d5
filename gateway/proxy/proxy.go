package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"sluice/codec"
	"sluice/gateway/auth"
)

// Proxy calls the hooks of a backend. Make it with [New].
type Proxy struct {
	// Immutable after New; nil for a hook that is off.
	connect, refresh *hook
	maxChannels      int
}

var _ auth.Hook = (*Proxy)(nil)

// New checks the options; the error says everything that is wrong. Nothing is
// called yet, and no goroutine runs between calls but those of idle
// connections, until Close.
func New(o Options) (*Proxy, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.MaxChannels <= 0 {
		o.MaxChannels = DefaultMaxChannels
	}
	room := newAnswerRoom()
	connect, errConnect := newHook("connect", o.Connect, room, o.Log)
	refresh, errRefresh := newHook("refresh", o.Refresh, room, o.Log)
	if err := errors.Join(errConnect, errRefresh); err != nil {
		return nil, err
	}
	return &Proxy{connect: connect, refresh: refresh, maxChannels: o.MaxChannels}, nil
}

// Close drops the idle connections.
func (p *Proxy) Close() {
	p.connect.close()
	p.refresh.close()
}

// ConnectStats returns the counters of the connect hook, nil if it is off.
func (p *Proxy) ConnectStats() *Stats { return p.connect.counters() }

// RefreshStats returns the counters of the refresh hook, nil if it is off.
func (p *Proxy) RefreshStats() *Stats { return p.refresh.counters() }

func (h *hook) counters() *Stats {
	if h == nil {
		return nil
	}
	return &h.stats
}

// Headers implements auth.Hook.
func (p *Proxy) Headers() []string {
	names := make(map[string]string)
	for _, h := range []*hook{p.connect, p.refresh} {
		if h != nil {
			maps.Copy(names, h.headers.client)
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// RefreshHeaders implements auth.Hook.
func (p *Proxy) RefreshHeaders(all []auth.Header) []auth.Header {
	if p.refresh == nil {
		return nil
	}
	return p.refresh.headers.pick(all)
}

// Connect implements auth.Hook.
func (p *Proxy) Connect(ctx context.Context, call *auth.ConnectCall) (*auth.ConnectAnswer, error) {
	h := p.connect
	if h == nil {
		return nil, fmt.Errorf("proxy: the connect hook is off: %w", auth.ErrHook)
	}
	began := time.Now()
	var answer *auth.ConnectAnswer
	err := h.call(ctx, appendConnect(nil, call, h.binary), call.Headers, func(body []byte) (err error) {
		answer, err = decodeConnect(body, time.Now(), p.maxChannels)
		return err
	})
	return answer, h.end(ctx, began, call.Client, err)
}

// Refresh implements auth.Hook.
func (p *Proxy) Refresh(ctx context.Context, call *auth.RefreshCall) (*auth.RefreshAnswer, error) {
	h := p.refresh
	if h == nil {
		return nil, fmt.Errorf("proxy: the refresh hook is off: %w", auth.ErrHook)
	}
	began := time.Now()
	var answer *auth.RefreshAnswer
	err := h.call(ctx, appendRefresh(nil, call, h.includeMeta, h.binary), call.Headers, func(body []byte) (err error) {
		answer, err = decodeRefresh(body, time.Now())
		return err
	})
	if err = h.end(ctx, began, call.Client, err); errors.As(err, new(*codec.Error)) {
		// An error is not a result, and without one the connection ends
		// (PROTOCOL 8.4).
		h.warn("hook answered with an error, the connection ends", call.Client, err)
		return &auth.RefreshAnswer{Expired: true}, nil
	}
	return answer, err
}
