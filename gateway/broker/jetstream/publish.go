package jetstream

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"sluice/codec"
	"sluice/gateway/broker"
	"sluice/gateway/nats"
	"sluice/gateway/reference"
)

// Publish implements broker.Broker. What waits for a channel is kept as one group. With an idempotency key it is
// tried again until Options.Wait is over, whatever broke.
func (e *Engine) Publish(ctx context.Context, channel string, p *codec.Publication, opt broker.PublishOptions) (broker.Result, error) {
	began := time.Now()
	defer func() { e.calls.took(callPublish, time.Since(began)) }()
	if ctx.Err() != nil {
		return broker.Result{}, e.failed("publish", context.Cause(ctx))
	}
	p.Offset, p.Epoch = 0, ""
	payload := reference.AppendPublicationPush(make([]byte, 0, p.Size()+messageRoom+len(channel)), channel, p, opt.Binary)
	if err := e.tooLarge(payload); err != nil {
		return broker.Result{}, e.failed("publish", err)
	}
	if !opt.History.Enabled() {
		if opt.IdempotencyKey != "" {
			return e.publishOnce(ctx, channel, payload, opt.IdempotencyKey)
		}
		ctx, cancel := context.WithTimeout(ctx, e.opt.Wait)
		defer cancel()
		if err := e.nats.Calls().Send(ctx, nats.Request{Subject: e.subj.live(channel), Data: payload}); err != nil {
			return broker.Result{}, e.failed("publish", err)
		}
		return broker.Result{}, nil
	}
	w := &waiting{pub: p, opt: opt, payload: payload, until: began.Add(e.opt.Wait), turn: make(chan struct{}, 1)}
	w.opt.Credit, w.opt.Binary = nil, nil
	if err := e.lanes.enter(ctx, e, channel, w); err != nil {
		return broker.Result{}, e.failed("publish", err)
	}
	return w.result, nil
}

// messageRoom is what a message takes beyond its channel and the size of its publication, mostly.
const messageRoom = 64

// waiting is a publication on its way into a stream.
type waiting struct {
	pub     *codec.Publication
	opt     broker.PublishOptions
	payload []byte
	until   time.Time
	turn    chan struct{} // capacity 1: it leads now, or it is done

	// Written by the one who leads the lane, before turn.
	done   bool
	result broker.Result
	err    error
}

func (w *waiting) end(res broker.Result, err error) { w.done, w.result, w.err = true, res, err }

// lane is the publications that wait for one channel. Of those one leads: it takes the others along
// in groups.
type lane struct {
	queue []*waiting // without those that are being kept
	busy  bool
}

// lanes are those of all channels, and what the last publications left behind.
type lanes struct {
	mu     sync.Mutex
	by     map[string]*lane
	states *simplelru.LRU[string, state]
	purges int // how often all were forgotten
}

// statesMost bounds the channels whose last state is remembered, so that their next publication need not
// ask for it: about 250 bytes each.
const statesMost = 1 << 16

func (l *lanes) init() {
	l.by = make(map[string]*lane)
	l.states, _ = simplelru.NewLRU[string, state](statesMost, nil) // fails for sizes below 1 only
}

func (l *lanes) known() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.states.Len()
}

// remembered returns the state that is remembered of a channel.
func (l *lanes) remembered(channel string) (state, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.states.Get(channel)
}

// forgotten counts how often all were forgotten.
func (l *lanes) forgotten() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.purges
}

// remember keeps the state of a channel, unless a later one is known. forgotten is what was counted before it was asked for:
// if all were forgotten since, it may be of a stream that has gone.
func (l *lanes) remember(channel string, s state, forgotten int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if forgotten != l.purges {
		return
	}
	if known, ok := l.states.Peek(channel); !ok || known.seq < s.seq {
		l.states.Add(channel, s)
	}
}

// forget forgets it.
func (l *lanes) forget(channel string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.states.Remove(channel)
}

// forgetAll forgets those of all channels.
func (l *lanes) forgetAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.states.Purge()
	l.purges++
}

const (
	// groupMost and groupRoom bound a group, in publications and bytes.
	groupMost = nats.BatchMost / 2 // one may take two messages
	groupRoom = 1 << 20
)

// enter waits until a publication is kept or not.
func (l *lanes) enter(ctx context.Context, e *Engine, channel string, w *waiting) error {
	l.mu.Lock()
	one := l.by[channel]
	if one == nil {
		one = &lane{}
		l.by[channel] = one
	}
	one.queue = append(one.queue, w)
	lead := !one.busy
	one.busy = true
	l.mu.Unlock()
	if !lead {
		until := time.NewTimer(time.Until(w.until))
		defer until.Stop()
		select {
		case <-w.turn:
		case <-ctx.Done():
			if l.leave(one, w) {
				return context.Cause(ctx)
			}
			<-w.turn // within Options.Wait
		case <-until.C:
			if l.leave(one, w) {
				return &nats.Error{Kind: nats.ErrUnavailable, Reason: nats.ReasonBusy, Err: context.DeadlineExceeded}
			}
			<-w.turn
		}
		if w.done {
			return w.err
		}
	}
	for !w.done {
		group := l.take(one, e.groupMost())
		e.keep(channel, group)
		for _, other := range group {
			if other != w {
				other.turn <- struct{}{}
			}
		}
	}
	l.pass(channel, one)
	return w.err
}

// leave takes a publication out of the queue; false if it is being kept, or leads.
func (l *lanes) leave(one *lane, w *waiting) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, other := range one.queue {
		if other == w && len(w.turn) == 0 {
			one.queue = append(one.queue[:i], one.queue[i+1:]...)
			return true
		}
	}
	return false
}

// take takes a group from the front of the queue. No idempotency key is twice in it.
func (l *lanes) take(one *lane, most int) []*waiting {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, size := 0, 0
	var keys map[string]bool
	for n < len(one.queue) && n < most {
		w := one.queue[n]
		if size += len(w.payload) + groupCost; n > 0 && size > groupRoom {
			break
		}
		if key := w.opt.IdempotencyKey; key != "" {
			if keys[key] {
				break
			}
			if keys == nil {
				keys = make(map[string]bool)
			}
			keys[key] = true
		}
		n++
	}
	group := make([]*waiting, n)
	copy(group, one.queue)
	rest := copy(one.queue, one.queue[n:])
	clear(one.queue[rest:])
	one.queue = one.queue[:rest]
	return group
}

// groupCost is what a message takes beyond its payload, about.
const groupCost = 256

// pass lets the next one lead, or ends the lane.
func (l *lanes) pass(channel string, one *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(one.queue) == 0 {
		one.busy = false
		delete(l.by, channel)
		return
	}
	one.queue[0].turn <- struct{}{}
}

// groupMost is how many publications one group may have.
func (e *Engine) groupMost() int {
	if e.level.Load() < nats.LevelBatch {
		return 1
	}
	return groupMost
}

// Join implements broker.Broker.
func (e *Engine) Join(ctx context.Context, channel string, info *codec.ClientInfo, credit *broker.Credit) error {
	return e.event(ctx, reference.AppendJoinPush(nil, channel, info), channel, credit)
}

// Leave implements broker.Broker.
func (e *Engine) Leave(ctx context.Context, channel string, info *codec.ClientInfo, credit *broker.Credit) error {
	return e.event(ctx, reference.AppendLeavePush(nil, channel, info), channel, credit)
}
