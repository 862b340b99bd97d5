package session

import (
	"sluice/codec"
	"sluice/gateway/loop"
)

// Shortage refuses what there is no room for at present: its client, or the caller
// of the API, is to come back. It is a codec.ErrTooManyRequests.
type Shortage struct {
	Detail string // what there is no room for
	Option string // that bounds it
}

func (e *Shortage) Error() string { return "session: " + e.Detail + " (" + e.Option + ")" }

func (e *Shortage) Unwrap() error { return codec.ErrTooManyRequests }

var (
	errNoRoom   = &Shortage{"too many calls to presence, joins and leaves wait", "client.presence_backlog_max"}
	errNoMemory = &Shortage{"no memory came free for what was missed", "uni_sse.recovery_max_total"}
)

// refuse ends an opening that failed. Only its own deadline makes it stale, not
// one that an engine has for its calls.
func (op *opening) refuse(err error) error {
	if op.ctx.Err() != nil {
		err = codec.DisconnectStale
	}
	op.loop.Post(&refuseTask{op: op, reason: loop.ReasonRefused, err: err})
	return err
}

// refuseTask ends an opening whose client is told why.
type refuseTask struct {
	op     *opening
	reason loop.Reason
	err    error
}

// Run implements loop.Task.
func (t *refuseTask) Run(l *loop.Loop) { t.op.reject(l, t.reason, t.err) }

// reject ends an opening that its goroutine is done with: it gives back what that holds,
// and answers. On-loop only.
func (op *opening) reject(l *loop.Loop, reason loop.Reason, err error) {
	op.giveBack()
	op.answer(l, reason, err)
}

// answer tells the client why there is no stream, if nothing was written to it yet, and
// ends the connection. On-loop only.
func (op *opening) answer(l *loop.Loop, reason loop.Reason, err error) {
	switch op.stage {
	case stageBegun: // no session: only the answer is due
		op.to(stageRefused)
		ref, refused := l.Adopt(op.conn.Socket, op.conn.Framing)
		if refused != nil {
			op.conn.Socket.Discard()
			return
		}
		op.ref = ref
	case stageAttached:
		op.to(stageRefused)
	default:
		return
	}
	countCode(&op.m.agent(l).stats.Refused, refusedCode(err))
	op.traceRefused(reason, err)
	l.SendExempt(op.ref.Slot, codec.RawFrame(op.conn.Request.Refusal(err)), loop.NoID)
	l.CloseBare(op.ref, reason, closeWithin)
}

// Refuse answers a connect with why there is no stream; its connection ends for
// the reason. It owns the socket from here on. Any goroutine but a turn.
func (m *Manager) Refuse(conn Conn, reason loop.Reason, err error) {
	op := &opening{m: m, conn: conn, loop: m.group.Pick()}
	op.loop.Post(&refuseTask{op: op, reason: reason, err: err})
}
