package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"sluice/codec"
	"sluice/gateway/auth"
	"sluice/gateway/problem"
	"sluice/gateway/tally"
)

// logEvery is how often a hook may log a failure.
const logEvery = 5 * time.Second

// maxDrained is how much of a body that nobody wants is read, so that its
// connection can be used again.
const maxDrained = 4 << 10

// Stats count the calls of one hook. The fields are atomic and may be read from
// any goroutine.
type Stats struct {
	Calls    atomic.Uint64 // that ended, however
	Errors   atomic.Uint64 // that brought no usable answer
	InFlight atomic.Int64  // sent and not answered yet
	Waiting  atomic.Int64  // for MaxInFlight, or with a large answer for others to be decoded
	Took     tally.Shared  // the durations of all Calls, waiting included
}

// hook is one endpoint of the backend.
type hook struct {
	// Immutable after newHook.
	name        string // for people
	endpoint    string
	timeout     time.Duration
	binary      bool
	includeMeta bool
	headers     headerRules
	transforms  map[int]error
	client      *http.Client
	log         *slog.Logger

	// slots holds an element for each call in flight. It is never closed.
	slots chan struct{}
	room  *answerRoom // of all hooks

	// Atomic.
	stats Stats

	// Guarded by mu.
	mu         sync.Mutex
	logged     time.Time
	suppressed int // failures since logged that were not
}

// newHook returns the hook of the options, nil for nil.
func newHook(name string, o *HookOptions, room *answerRoom, log *slog.Logger) (*hook, error) {
	if o == nil {
		return nil, nil
	}
	if err := o.Check().Err(""); err != nil {
		return nil, fmt.Errorf("proxy: client.proxy.%s: %w", name, err)
	}
	slots := o.MaxInFlight
	if slots <= 0 {
		slots = DefaultMaxInFlight
	}
	h := &hook{
		name: name, endpoint: o.Endpoint, timeout: o.Timeout, binary: o.BinaryEncoding,
		includeMeta: o.IncludeConnectionMeta, headers: newHeaderRules(o),
		transforms: make(map[int]error), log: log, slots: make(chan struct{}, slots), room: room,
	}
	for _, t := range o.Transforms {
		if _, first := h.transforms[t.Status]; first { // the first one counts
			continue
		}
		if t.Error != nil {
			h.transforms[t.Status] = t.Error
		} else {
			h.transforms[t.Status] = t.Disconnect
		}
	}
	// HTTP/1.1 only, as backends of the reference see it: a stalled connection
	// then holds up one call and not all of them.
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	h.client = &http.Client{
		Transport: &http.Transport{
			TLSClientConfig: o.TLS, Protocols: &protocols,
			DialContext: auth.Dial(o.Timeout), MaxConnsPerHost: slots, MaxIdleConnsPerHost: slots, IdleConnTimeout: 90 * time.Second, MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: auth.SameHost,
	}
	return h, nil
}

// call sends a body and has use decode that of the answer, which it must copy what it
// keeps of. An error that wraps a codec.Error or codec.Disconnect is what the status
// means, or use said; any other is a failure.
func (h *hook) call(ctx context.Context, body []byte, headers []auth.Header, use func(answer []byte) error) error {
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	if err := h.enter(ctx); err != nil {
		return err
	}
	defer func() { <-h.slots }()
	h.stats.InFlight.Add(1)
	defer h.stats.InFlight.Add(-1)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.endpoint, bytes.NewReader(body))
	if err != nil {
		return errors.New("the endpoint cannot be requested")
	}
	req.Header = h.headers.header(headers)
	resp, err := h.client.Do(req)
	if err != nil {
		return h.late(ctx, auth.CallError(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		if resp.ContentLength >= 0 && resp.ContentLength <= maxDrained {
			_, _ = io.Copy(io.Discard, resp.Body)
		}
		if told := h.transforms[resp.StatusCode]; told != nil {
			return told
		}
		return fmt.Errorf("status %d: 200 expected", resp.StatusCode)
	}
	answer, leave, err := h.room.read(ctx, resp, &h.stats)
	if err != nil {
		return h.late(ctx, err)
	}
	defer leave()
	return use(answer)
}

// enter waits until the call may be sent.
func (h *hook) enter(ctx context.Context) error {
	select {
	case h.slots <- struct{}{}: // Fast path: there is room.
		return nil
	default:
	}
	h.stats.Waiting.Add(1)
	defer h.stats.Waiting.Add(-1)
	select {
	case h.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%d calls under way and none ended within %s: %w", cap(h.slots), h.timeout, context.Cause(ctx))
	}
}

// late says in words that the time is over, if that is what err came from.
func (h *hook) late(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %s: %w", h.timeout, context.DeadlineExceeded)
	}
	return err
}

// end counts a call that began at that time and returns its error as the
// contract has it: what the client is told, or ErrHook for a failure, which is
// logged here.
func (h *hook) end(ctx context.Context, began time.Time, client string, err error) error {
	h.stats.Calls.Add(1)
	h.stats.Took.Add(time.Since(began))
	if err == nil || errors.As(err, new(*codec.Error)) || errors.As(err, new(*codec.Disconnect)) {
		return err
	}
	if !errors.Is(context.Cause(ctx), context.Canceled) { // else nobody waits for the answer any more
		h.stats.Errors.Add(1)
		h.warn("hook failed", client, err)
	}
	return fmt.Errorf("proxy: %s hook: %w: %w", h.name, auth.ErrHook, err)
}

// warn logs, unless it has done so a moment ago.
func (h *hook) warn(message, client string, err error) {
	h.mu.Lock()
	now := time.Now()
	if now.Sub(h.logged) < logEvery {
		h.suppressed++
		h.mu.Unlock()
		return
	}
	more := h.suppressed
	h.logged, h.suppressed = now, 0
	h.mu.Unlock()
	h.log.Warn(message, "hook", h.name, "endpoint", problem.StripURL(h.endpoint), "client", client, "error", err, "suppressed", more)
}

func (h *hook) close() {
	if h != nil {
		h.client.CloseIdleConnections()
	}
}
