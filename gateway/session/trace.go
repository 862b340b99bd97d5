package session

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"sluice/codec"
	"sluice/gateway/advice"
	"sluice/gateway/broker"
	"sluice/gateway/loop"
)

// This file writes the log of connects and disconnects. It is for level debug:
// below it nothing here is called for a stream that opens, and nothing is kept
// for one that is open.

// Request is what a connect came with, as far as a session needs it. The methods
// are called one at a time, from any goroutine.
type Request interface {
	// Refusal returns the whole answer to a connect that failed with err, a
	// *codec.Error, a *codec.Disconnect or a failure of ours.
	Refusal(err error) []byte
	// RefusalAttrs says in a log what Refusal tells: the code of the disconnect, or the
	// status and the code that it was chosen by.
	RefusalAttrs(err error) []slog.Attr
	// ID names the request in logs. It is asked for when there is something
	// to write.
	ID() string
	// Peer is where the client is, for logs and where [Manager.KeepsSources]; the zero
	// Addr if nobody knows.
	Peer() netip.Addr
	// Free is called when the session has no use of the request any more, nor of the
	// [Conn] and the [Memory] that it came with. It is called at most once, as the last
	// one, and not for every connect: others are left to the collector.
	Free()
}

// trace is what the log will say of a stream when it ends.
type trace struct {
	began      int64 // on the loop's clock
	request    string
	peer       netip.Addr
	disconnect *codec.Disconnect // what its client is told at its end, nil for nothing
}

// setTrace notes what the log will say of a slot's stream.
func (t *table) setTrace(slot uint32, tr trace) {
	for int(slot>>slabBits) >= len(t.traces) {
		t.traces = append(t.traces, make([]trace, slabSize))
	}
	t.traces[slot>>slabBits][slot&(slabSize-1)] = tr
}

// takeTrace forgets it again and returns it.
func (t *table) takeTrace(slot uint32) (tr trace) {
	if int(slot>>slabBits) < len(t.traces) {
		at := &t.traces[slot>>slabBits][slot&(slabSize-1)]
		tr, *at = *at, trace{}
	}
	return tr
}

// traceDisconnect notes what the client of a stream that is about to be closed is told.
func (a *Agent) traceDisconnect(ref loop.Ref, d *codec.Disconnect) {
	if a.m.debug {
		tr := a.table.takeTrace(ref.Slot)
		tr.disconnect = d
		a.table.setTrace(ref.Slot, tr)
	}
}

// traceOpened logs that a stream began.
func (a *Agent) traceOpened(ref loop.Ref, op *opening, s *session) {
	if !a.m.debug {
		return
	}
	tr := trace{began: a.loop.Now(), request: op.conn.Request.ID(), peer: op.conn.Request.Peer()}
	a.table.setTrace(ref.Slot, tr)
	a.m.opt.Log.LogAttrs(context.Background(), slog.LevelDebug, "stream opened", append(s.attrs(&tr),
		slog.Int("subscriptions", len(op.plan.Grants)))...)
}

// slowOptions are the options that set the limits of slow streams.
var slowOptions = map[loop.Reason]string{
	loop.ReasonSlowBytes:  "client.queue_max_size",
	loop.ReasonSlowAge:    "client.queue_max_age",
	loop.ReasonSlowTotal:  "client.queues_max_total",
	loop.ReasonSlowResume: errNoMemory.Option,
}

// traceClosed logs that a stream ended, and why: the reason by its name in the
// metrics, the option that set the limit of one that was slow, and the code that
// its client was told, 0 for none.
func (a *Agent) traceClosed(ref loop.Ref, s *session, reason loop.Reason) {
	if !a.m.debug {
		return
	}
	tr := a.table.takeTrace(ref.Slot)
	code, d := uint64(0), tr.disconnect
	switch reason {
	case loop.ReasonSlowBytes, loop.ReasonSlowAge, loop.ReasonSlowTotal:
		d = codec.DisconnectSlow // the loop's own word: loop.Options.SlowFrame
	}
	if d != nil {
		code = uint64(d.Code)
	}
	if op := s.opening; op != nil {
		if op.stage != stageRefused {
			op.traceRefused(reason, nil)
		}
		return
	}
	attrs := append(s.attrs(&tr),
		slog.String("reason", reason.String()), slog.Uint64("code", code),
		slog.Duration("duration", time.Duration(a.loop.Now()-tr.began)))
	if option, slow := slowOptions[reason]; slow {
		attrs = append(attrs, slog.String("option", option))
	}
	a.m.opt.Log.LogAttrs(context.Background(), slog.LevelDebug, "stream closed", attrs...)
}

// attrs are what both records of a stream say.
func (s *session) attrs(tr *trace) []slog.Attr {
	attrs := append(make([]slog.Attr, 0, 8), slog.String("client", s.client.String()), slog.String("user", s.user))
	return appendOrigin(attrs, tr.request, tr.peer)
}

func appendOrigin(attrs []slog.Attr, request string, peer netip.Addr) []slog.Attr {
	if peer.IsValid() {
		attrs = append(attrs, slog.String("address", peer.String()))
	}
	return append(attrs, slog.String("request", request))
}

// traceRefused logs a connect that did not become a stream: for debugging, or as
// a warning if it was our fault. The reason is a word of ours or of the
// protocol's, the code what the client was told, which an error is not; err is nil
// if the client did not wait for an answer.
func (op *opening) traceRefused(reason loop.Reason, err error) {
	var d *codec.Disconnect
	var e *codec.Error
	var short *Shortage
	level, message := slog.LevelDebug, "connect refused"
	attrs := make([]slog.Attr, 0, 8)
	switch {
	case err == nil:
		message = "connect cut short"
		attrs = append(attrs, slog.String("reason", reason.String()))
	case errors.As(err, &d):
		attrs = append(attrs, slog.String("reason", d.Reason))
	case errors.As(err, &e):
		attrs = append(attrs, slog.String("reason", e.Message))
	case beyondUs(err):
	case reason != loop.ReasonRefused:
		attrs = append(attrs, slog.String("reason", reason.String()))
	default:
		level, message = slog.LevelWarn, "connect failed"
		attrs = append(attrs, slog.String("remedy", advice.Remedy(err, advice.Away)))
	}
	log := op.m.opt.Log
	if !log.Enabled(context.Background(), level) {
		return
	}
	if errors.As(err, &short) {
		attrs = append(attrs, slog.String("option", short.Option))
	}
	if err != nil {
		attrs = append(append(attrs, op.conn.Request.RefusalAttrs(err)...), slog.Any("error", err))
	}
	if op.plan != nil {
		attrs = append(attrs, slog.String("client", op.plan.client.String()), slog.String("user", op.plan.User))
	}
	attrs = appendOrigin(attrs, op.conn.Request.ID(), op.conn.Request.Peer())
	log.LogAttrs(context.Background(), level, message, attrs...)
}

// beyondUs reports whether an engine has no fault in an error: there is no such channel, or
// nodes ask each other for it.
func beyondUs(err error) bool {
	return errors.Is(err, broker.ErrNoChannel) || errors.Is(err, broker.ErrLoop)
}
