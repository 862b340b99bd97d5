package session

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"sluice/codec"
	"sluice/gateway/hub"
	"sluice/gateway/loop"
)

// opening is a connect on its way from the hijack goroutine to its loop. The
// goroutine and the loop take turns with it: each touches it only between the
// posts that hand it over.
type opening struct {
	patience patience
	ctx      context.Context // of patience, see stale
	calls    context.Context // of calls to the engine: it ends before ctx
	m        *Manager
	plan     *Plan // nil if there is only an answer, see Manager.Refuse
	conn     *Conn
	loop     *loop.Loop
	// plain: the one post that is left hands the opening over to its loop for good. Nobody
	// else has any of it, nor of its plan.
	plain bool

	acquired int // grants whose interest is held
	results  []codec.SubscribeResult
	gap      codec.Gap // of a broadcast stream, see restored
	at       []hub.Start
	room     *ticket        // for what the client missed; nil if it asks for nothing
	blocks   []*codec.Frame // of what the client missed, shared with others
	first    *codec.Frame   // what leaves before them, in a write of its own; nil for nothing
	pieces   []*codec.Frame // the opening's bytes, once they are known
	push     int            // of these, the bytes of the connect push
	once     bool           // the only piece is a frame for once
	run      run            // what follows them
	// few is the memory of what a stream of one channel has of each, and of its ids.
	few struct {
		results [1]codec.SubscribeResult
		at      [1]hub.Start
		pieces  [1]*codec.Frame
		ids     [2]idText
	}
	// opened is closed when the last task has run; nil if nobody waits for it.
	opened chan struct{}

	// Owned by the loop once the first task of the opening is posted.
	stage   stage
	ref     loop.Ref // of the stream, from stageAttached on
	placed  int      // of the acquired grants, those whose interest the hub's shard owes
	present sync.WaitGroup
}

// Memory is what a connect takes until its stream is open. The zero value is for one.
//
// Why it is passed in: who has a request may have it together with this, and use both for
// another one when the session has freed it. In a storm of connects these were a third of
// what it allocated, and what a storm allocates makes the collector run in the midst of it.
type Memory struct {
	plan    Plan
	opening opening
}

// stage is how far an opening has come. It changes on the loop alone:
//
//	from      to        when                                       by
//	begun     attached  the loop took the socket                   attachTask, openTask
//	begun     refused   the client is answered without a stream    refuseTask, attachTask, openTask
//	begun     lost      the loop did not take the socket           attachTask, openTask
//	attached  open      the connect push is queued                 openTask
//	attached  refused   the client is told that there is none      refuseTask, openTask, Agent.end
//	attached  lost      the stream ended, and nobody was told      Agent.Closed
//
// Who owns what: until it leaves begun, the opening has the socket and what its plan
// reserved. With attached the loop has the socket and the session the reservation; with
// refused and lost the reservation was given back.
type stage uint8

const (
	stageBegun stage = iota
	stageAttached
	stageOpen
	stageRefused
	stageLost
)

var stageNames = [...]string{"begun", "attached", "open", "refused", "lost"}

func (s stage) String() string { return stageNames[s] }

// behind are the stages that may follow one.
var behind = [...][]stage{
	stageBegun:    {stageAttached, stageRefused, stageLost},
	stageAttached: {stageOpen, stageRefused, stageLost},
	stageOpen:     nil,
	stageRefused:  nil,
	stageLost:     nil,
}

// to takes the opening to a stage, and gives back what the plan reserved if no session
// has it from there on. On-loop only.
func (op *opening) to(next stage) {
	before := op.stage
	if !slices.Contains(behind[before], next) {
		panic(fmt.Sprintf("BUG: session: an opening that is %v cannot become %v", before, next))
	}
	op.stage = next
	if before == stageBegun && next != stageAttached && op.plan != nil {
		op.m.Abandon(op.plan)
	}
}

// giveBack returns what else the opening holds and the shard does not: on its end, however
// that came. A second time it does nothing. On-loop only.
func (op *opening) giveBack() {
	op.sent()
	for ; op.acquired > op.placed; op.acquired-- {
		g := &op.plan.Grants[op.acquired-1]
		op.m.hub.Release(g.Channel, op.loop.ID(), op.form(g))
	}
}

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
		ref, refused := l.Adopt(op.conn.Socket, op.conn.Framing, codec.CodingIdentity)
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
func (m *Manager) Refuse(conn *Conn, reason loop.Reason, err error) {
	op := &opening{m: m, conn: conn, loop: m.group.Pick()}
	op.loop.Post(&refuseTask{op: op, reason: reason, err: err})
}

// patienceSlices is into how many parts the time for an opening is cut.
const patienceSlices = 8

// errImpatient is the cause of a context whose patience is over.
var errImpatient = fmt.Errorf("session: opening took too long: %w", context.DeadlineExceeded)

// patience ends a context after a time that the process was there for. It is
// measured in slices, each from when the process has noticed the end of the one
// before: a process that was stopped for a minute has lost one slice, however
// long that was. With one timer for all of it, whoever was opening would be told
// that it was stale, which is final, though nobody but us was late.
//
// An opening of plain channels waits for nothing: until somebody asks for Done there
// is neither timer nor channel, and the time counts from then.
type patience struct {
	// Immutable after WithPatience.
	slice time.Duration

	// Guarded by mu.
	mu     sync.Mutex
	ctx    context.Context // nil until somebody waits
	end    context.CancelCauseFunc
	timer  *time.Timer
	slices int // that remain; 0: it is over
}

// WithPatience returns a context for something that a client waits for while it
// connects: it ends about d after somebody has first asked for Done, as contexts made
// of it do, with a cause that is [context.DeadlineExceeded]. Asking for Err alone does
// not begin it. It has no deadline that anybody could read, and its Err is
// context.Canceled.
func WithPatience(d time.Duration) (context.Context, context.CancelFunc) {
	p := &patience{}
	p.begin(d)
	return p, p.cancel
}

// begin makes the zero patience what WithPatience returns.
func (p *patience) begin(d time.Duration) { p.slice, p.slices = patienceSlice(d), patienceSlices }

func (p *patience) cancel() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.slices = 0
	if p.ctx != nil {
		p.timer.Stop()
		p.end(nil)
	}
}

// idle reports whether nobody has waited. Otherwise the timer, or that of a context made of
// it, may be about to run, which nothing stops then: the memory is nobody else's.
func (p *patience) idle() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ctx == nil
}

// waited returns what there is when somebody waits.
func (p *patience) waited() context.Context {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx == nil {
		p.ctx, p.end = context.WithCancelCause(context.Background())
		p.timer = time.AfterFunc(p.slice, p.tick)
		if p.slices == 0 {
			p.timer.Stop()
			p.end(nil)
		}
	}
	return p.ctx
}

// Deadline implements context.Context.
func (p *patience) Deadline() (_ time.Time, ok bool) { return }

// Done implements context.Context: the time counts from now.
func (p *patience) Done() <-chan struct{} { return p.waited().Done() }

// Err implements context.Context.
func (p *patience) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.slices == 0 {
		return context.Canceled
	}
	return nil
}

// Value implements context.Context. There are none but what the package context asks
// for, once somebody waits, to find the cause and those who are to be told.
func (p *patience) Value(key any) any {
	p.mu.Lock()
	ctx := p.ctx
	p.mu.Unlock()
	if ctx == nil {
		return nil
	}
	return ctx.Value(key)
}

func patienceSlice(d time.Duration) time.Duration { return max(d/patienceSlices, 1) }

// tick ends a slice.
func (p *patience) tick() {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.slices > 1:
		p.slices--
		p.timer.Reset(p.slice)
	case p.slices == 1:
		p.slices = 0
		p.end(errImpatient)
	}
}

// stale reports whether the opening has taken too long. One that has ended well
// and waits for its loop has not.
func (op *opening) stale() bool { return context.Cause(op.ctx) == errImpatient }
