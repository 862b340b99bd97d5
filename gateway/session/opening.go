package session

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"sluice/codec"
	"sluice/gateway/hub"
	"sluice/gateway/loop"
)

// opening is a connect on its way from the hijack goroutine to its loop. The
// goroutine and the loop take turns with it: each touches it only between the
// posts that hand it over.
type opening struct {
	ctx  context.Context // see stale
	m    *Manager
	plan *Plan // nil if there is only an answer, see Manager.Refuse
	conn Conn
	loop *loop.Loop

	acquired int // grants whose interest is held
	results  []codec.SubscribeResult
	at       []hub.Start
	room     *ticket        // for what the client missed; nil if it asks for nothing
	blocks   []*codec.Frame // of what the client missed, shared with others
	pieces   []*codec.Frame // the opening's bytes, once they are known
	push     int            // of these, the bytes of the connect push
	run      run            // what follows them

	// Owned by the loop once the first task of the opening is posted.
	stage   stage
	ref     loop.Ref // of the stream, from stageAttached on
	placed  int      // of the acquired grants, those whose interest the hub's shard owes
	present sync.WaitGroup
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
		op.m.hub.Release(g.Channel, op.loop.ID(), g.Delta)
	}
}
