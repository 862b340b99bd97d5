package gateway

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/gateway/front"
	"sluice/gateway/loop"
)

// counted counts the requests that are being answered: Stop waits for them.
func (g *Gateway) counted(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		g.requests.Add(1)
		defer g.requests.Add(-1)
		next(ctx)
	}
}

// Stop ends the server in the order that loses nothing it acknowledged:
//
//	/ready says no, and for shutdown.grace everything else goes on
//	the API answers 503, connects are turned away, the listeners close
//	requests under way end, and what is published reaches the out-queues
//	every client is told and its stream ends, shutdown.rate of them a second
//
// The error says what did not end before ctx did; the rest is cut.
func (g *Gateway) Stop(ctx context.Context) error {
	g.ready.Store(false)
	g.grace(ctx)
	g.stopping.Store(true)
	if g.api != nil {
		g.api.Drain()
	}
	if g.sse != nil {
		g.sse.Drain()
	}
	closed := g.closeServers(ctx)
	var errs []error
	if err := g.answered(ctx); err != nil {
		errs = append(errs, err)
	}
	if err := g.settle(ctx); err != nil {
		errs = append(errs, fmt.Errorf("gateway: publications may have been cut: %w", err))
	}
	g.sessions.Shutdown(ctx, g.cfg.Shutdown.Rate)
	if err := g.sessions.Idle(ctx); err != nil {
		errs = append(errs, err)
	}
	if err := g.group.Drained(g.left(ctx)); err != nil {
		errs = append(errs, fmt.Errorf("gateway: streams were cut: %w", err))
	}
	closed()
	errs = append(errs, g.release(ctx))
	err := errors.Join(errs...)
	// The wait for streams has a timer of its own, which may be the first.
	late := errors.Is(ctx.Err(), context.DeadlineExceeded) || ctx.Err() == nil && errors.Is(err, loop.ErrStreamsLeft)
	if err != nil && late {
		return fmt.Errorf("gateway: %w: %w", errShutdownTimeout, err)
	}
	return err
}

// settle waits until what was published is in the out-queues. Why not for all the
// time there is: that may take as long as slow clients let it, and then nobody could
// be told that the server stops, nor when to come back.
//
// Without a stream there is nobody whom anything could be cut from: a second signal
// may be there before the wait has begun, and is no error then.
func (g *Gateway) settle(ctx context.Context) error {
	within, cancel := context.WithTimeout(ctx, g.left(ctx)/2)
	defer cancel()
	err := g.hub.Settle(within)
	if g.group.Stats().Open == 0 {
		return nil
	}
	return err
}

// errShutdownTimeout is the reference's text for it (PROTOCOL 9.4).
var errShutdownTimeout = errors.New("shutdown timeout reached")

// grace goes on serving while those in front find out that this node is not
// ready. Why never all of the time: streams need some of it.
func (g *Gateway) grace(ctx context.Context) {
	wait := min(g.cfg.Shutdown.Grace, g.left(ctx)*3/4)
	if wait <= 0 {
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

const (
	// idleWithin is how long connections without a request, and those whose client
	// is heard out, may hold up the end, once all streams have ended: browsers open
	// some to no purpose.
	idleWithin = 2 * time.Second
	// stopPoll is how often a wait for the end looks again.
	stopPoll = time.Millisecond
)

// closeServers closes the listeners and every connection that is idle. The
// returned function waits for the others.
func (g *Gateway) closeServers(ctx context.Context) (wait func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, len(g.servers))
	for i, srv := range g.servers {
		go func() { done <- srv.ShutdownWithContext(ctx) }()
		_ = g.listeners[i].Close() // Serve may not have begun
	}
	close(g.quit)
	g.serving.Wait()
	return func() {
		timer := time.AfterFunc(idleWithin, cancel)
		defer timer.Stop()
		defer cancel()
		for range g.servers {
			if err := <-done; err != nil {
				g.log.Debug("connections without a request were cut", "error", err)
			}
		}
		for g.lingering() && ctx.Err() == nil {
			time.Sleep(stopPoll)
		}
	}
}

// lingering reports whether clients are heard out that have their answers.
func (g *Gateway) lingering() bool {
	return slices.ContainsFunc(g.listeners, func(l *front.Listener) bool { return l.Lingering() > 0 })
}

// answered waits until no request is being answered.
func (g *Gateway) answered(ctx context.Context) error {
	for g.requests.Load() > 0 {
		select {
		case <-ctx.Done():
			return fmt.Errorf("gateway: requests were cut: %w", context.Cause(ctx))
		case <-time.After(stopPoll):
		}
	}
	return nil
}

// left is how long a context has yet to run.
func (g *Gateway) left(ctx context.Context) time.Duration {
	if ctx.Err() != nil {
		return 0
	}
	if deadline, ok := ctx.Deadline(); ok {
		return max(time.Until(deadline), 0)
	}
	return g.cfg.Shutdown.Timeout
}

// release ends what carries the streams, the pools last.
func (g *Gateway) release(ctx context.Context) error {
	g.watching.Wait()
	g.group.Stop()
	g.sessions.Quiet()
	err := g.broker.Close(ctx)
	g.releasePools()
	if g.proxy != nil {
		g.proxy.Close()
	}
	g.discard()
	return err
}

const (
	// cutMargin is the end of shutdown.timeout, when streams that are left
	// have been cut and the rest is put away; a tenth of it at the most.
	cutMargin = time.Second
	// cutWithin is how long that may take after a second signal.
	cutWithin = time.Second
)

// stopOn stops the gateway within shutdown.timeout, and at once when one more
// signal comes. why is the first one, nil if a listener ended.
func (g *Gateway) stopOn(signals <-chan os.Signal, why os.Signal) error {
	limit := g.cfg.Shutdown.Timeout
	ctx, cancel := context.WithTimeout(context.Background(), limit-min(cutMargin, limit/10))
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- g.Stop(ctx) }()
	end := time.After(limit)
	if why != nil { // said once the time is running, whatever becomes of the line
		g.log.Info("stopping", "signal", why.String())
	}
	for {
		select {
		case err := <-done:
			return err
		case sig := <-signals:
			if sig == syscall.SIGHUP {
				continue
			}
			g.log.Warn("stopping at once", "signal", sig.String())
			cancel()
			end = time.After(cutWithin)
		case <-end:
			return errShutdownTimeout
		}
	}
}
