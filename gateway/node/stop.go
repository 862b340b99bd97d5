package node

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
func (node *Node) counted(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		node.requests.Add(1)
		defer node.requests.Add(-1)
		next(ctx)
	}
}

// Stop ends the server in the order that loses nothing it acknowledged:
//
//	/ready says no, and for shutdown.grace everything else goes on
//	the API answers 503, connects are turned away, the listeners close
//	requests under way end, and what is published reaches the out-queues
//	every client is told and its stream ends, shutdown.rate of them a second
//	what other nodes publish is taken in no longer, then the engine is closed
//
// Why the intake goes on until then: streams may have many seconds yet, and what is
// published meanwhile in channels without history would be lost to them.
//
// The error says what did not end before ctx did; the rest is cut.
func (node *Node) Stop(ctx context.Context) error {
	if node.abandoned {
		return nil
	}
	node.ready.Store(false)
	node.grace(ctx)
	node.stopping.Store(true)
	if node.api != nil {
		node.api.Drain()
	}
	if node.sse != nil {
		node.sse.Drain()
	}
	if node.tails != nil {
		node.tails.Drain()
	}
	if node.edge != nil {
		node.edge.Drain()
	}
	closed := node.closeServers(ctx)
	var errs []error
	if err := node.answered(ctx); err != nil {
		errs = append(errs, err)
	}
	if err := node.settle(ctx); err != nil {
		errs = append(errs, fmt.Errorf("gateway: publications may have been cut: %w", err))
	}
	node.sessions.Shutdown(ctx, node.cfg.Shutdown.Rate)
	if err := node.sessions.Idle(ctx); err != nil {
		errs = append(errs, err)
	}
	if err := node.group.Drained(node.left(ctx)); err != nil {
		errs = append(errs, fmt.Errorf("gateway: streams were cut: %w", err))
	}
	close(node.empty)
	closed()
	if err := node.broker.StopIntake(ctx); err != nil {
		errs = append(errs, fmt.Errorf("gateway: the engine goes on delivering: %w", err))
	}
	errs = append(errs, node.release(ctx))
	err := errors.Join(errs...)
	// The wait for streams has a timer of its own, which may be the first.
	late := errors.Is(ctx.Err(), context.DeadlineExceeded) || ctx.Err() == nil && errors.Is(err, loop.ErrStreamsLeft)
	if err != nil && late {
		return fmt.Errorf("gateway: %w: %w", ErrShutdownTimeout, err)
	}
	return err
}

// settle waits until what was published is in the out-queues. Why not for all the
// time there is: that may take as long as slow clients let it, and then nobody could
// be told that the server stops, nor when to come back.
//
// Without a stream there is nobody whom anything could be cut from: a second signal
// may be there before the wait has begun, and is no error then.
func (node *Node) settle(ctx context.Context) error {
	within, cancel := context.WithTimeout(ctx, node.left(ctx)/2)
	defer cancel()
	node.bringIn(within)
	err := node.hub.Drain(within)
	if node.group.Stats().Open == 0 {
		return nil
	}
	return err
}

// bringIn waits until what was published before, here or on other nodes, has come back
// from the engine. One that does not answer holds up nobody for long: clients resume
// what it has.
func (node *Node) bringIn(ctx context.Context) {
	within, cancel := context.WithTimeout(ctx, min(bringInWithin, node.left(ctx)/2))
	defer cancel()
	if err := node.broker.Barrier(within); err != nil {
		node.log.Warn("stopping without what the engine has on its way: clients of channels with history get it when they come back", "error", err)
	}
}

// bringInWithin is how long the engine may take to bring what is on its way.
const bringInWithin = 2 * time.Second

// ErrShutdownTimeout is the reference's text for it (PROTOCOL 9.4).
var ErrShutdownTimeout = errors.New("shutdown timeout reached")

// grace goes on serving while those in front find out that this node is not
// ready. Why never all of the time: streams need some of it.
func (node *Node) grace(ctx context.Context) {
	wait := min(node.cfg.Shutdown.Grace, node.left(ctx)*3/4)
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
func (node *Node) closeServers(ctx context.Context) (wait func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, len(node.servers))
	for i, srv := range node.servers {
		go func() { done <- srv.ShutdownWithContext(ctx) }()
		_ = node.listeners[i].Close() // Serve may not have begun
	}
	if node.gate != nil {
		node.gate.Drain()
	}
	close(node.quit)
	node.serving.Wait()
	return func() {
		timer := time.AfterFunc(idleWithin, cancel)
		defer timer.Stop()
		defer cancel()
		for range node.servers {
			if err := <-done; err != nil {
				node.log.Debug("connections without a request were cut", "error", err)
			}
		}
		for (node.asked() > 0 || node.lingering()) && ctx.Err() == nil {
			time.Sleep(stopPoll)
		}
		if node.gate != nil {
			node.gate.Close()
		}
	}
}

// asked is how many connections of the gate are being served, or have sent a part of a
// request; 0 without a gate.
func (node *Node) asked() int {
	if node.gate == nil {
		return 0
	}
	st := node.gate.Stats()
	return st.Head + st.Served
}

// lingering reports whether clients are heard out that have their answers.
func (node *Node) lingering() bool {
	return slices.ContainsFunc(node.listeners, func(l *front.Listener) bool { return l.Lingering() > 0 })
}

// answered waits until no request is being answered.
func (node *Node) answered(ctx context.Context) error {
	for node.requests.Load() > 0 {
		select {
		case <-ctx.Done():
			return fmt.Errorf("gateway: requests were cut: %w", context.Cause(ctx))
		case <-time.After(stopPoll):
		}
	}
	return nil
}

// left is how long a context has yet to run.
func (node *Node) left(ctx context.Context) time.Duration {
	if ctx.Err() != nil {
		return 0
	}
	if deadline, ok := ctx.Deadline(); ok {
		return max(time.Until(deadline), 0)
	}
	return node.cfg.Shutdown.Timeout
}

// release ends what carries the streams, the pools last.
func (node *Node) release(ctx context.Context) error {
	node.watching.Wait()
	node.group.Stop()
	node.sessions.Quiet()
	node.hub.Quiet()
	err := errors.Join(node.presence.Close(ctx), node.cluster.Close(ctx), node.broker.Close(ctx))
	node.releasePools()
	if node.proxy != nil {
		node.proxy.Close()
	}
	node.discard()
	return err
}

// abandon puts away a node that has not started to serve.
func (node *Node) abandon() {
	ctx, cancel := context.WithTimeout(context.Background(), abandonWithin)
	defer cancel()
	node.abandoned = true
	node.stopping.Store(true)
	closed := node.closeServers(ctx)
	close(node.empty)
	closed()
	if err := node.release(ctx); err != nil {
		node.log.Warn("a node that could not start was not put away", "error", err)
	}
}

// abandonWithin is how long that may take: engines may not answer.
const abandonWithin = 2 * time.Second

const (
	// cutMargin is the end of shutdown.timeout, when streams that are left
	// have been cut and the rest is put away; a tenth of it at the most.
	cutMargin = time.Second
	// cutWithin is how long that may take after a second signal.
	cutWithin = time.Second
)

// StopOn stops the gateway within shutdown.timeout, and at once when one more
// signal comes. why is the first one, nil if a listener ended.
func (node *Node) StopOn(signals <-chan os.Signal, why os.Signal) error {
	limit := node.cfg.Shutdown.Timeout
	ctx, cancel := context.WithTimeout(context.Background(), limit-min(cutMargin, limit/10))
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- node.Stop(ctx) }()
	end := time.After(limit)
	if why != nil { // said once the time is running, whatever becomes of the line
		node.log.Info("stopping", "signal", why.String())
	}
	for {
		select {
		case err := <-done:
			return err
		case sig := <-signals:
			if sig == syscall.SIGHUP {
				continue
			}
			node.log.Warn("stopping at once", "signal", sig.String())
			cancel()
			end = time.After(cutWithin)
		case <-end:
			return ErrShutdownTimeout
		}
	}
}
