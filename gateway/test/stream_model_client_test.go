package test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	fdelta "github.com/shadowspore/fossil-delta"

	"sluice/gateway/testkit"
)

// modelOp is a call of the backend for one client.
type modelOp struct {
	kind       string // of the push that it brings
	channel    string
	pushes     int // how many it brings
	since      bool
	begin, end int64
}

// modelStream is one stream of a client, as it went.
type modelStream struct {
	user         string
	n            int
	id           string   // that it came back by
	asked        []string // channels of the connect
	begin, ready int64    // ticks from before the connect, and from behind its push
	ops          []modelOp
	log          []logged
	cut          bool // by the client, or for being slow; else it ends with the last op
	slow         bool // it may end for being slow
	final        bool // it was open to the end
}

// logged is a push as a stream keeps it.
type logged struct {
	said
	code uint32          // of a disconnect
	subs map[string]*sub // of a connect
	sub  *sub            // of a subscribe
}

// modelClient is one client over all its streams.
type modelClient struct {
	m    *model
	user string
	rnd  *rand.Rand
	n    int
	id   string

	// Of the stream in hand.
	st     *modelStream
	f      *follower
	subs   map[string]bool // as the backend knows them
	closed map[string]chan struct{}
	stall  atomic.Int64 // ns to stand still for before the next read
	events atomic.Int64
	calls  atomic.Int64      // pushes that calls brought
	due    int64             // of these
	bases  map[string][]byte // payloads that deltas are made against
	at     map[string]uint64 // offsets of what came last
	epoch  map[string]string
	mu     sync.Mutex // guards st.log, at, epoch
}

// live is a client's life. It calls acted when it has nothing left to do but to
// wait for what is published.
func (c *modelClient) live(acted func()) {
	acted = sync.OnceFunc(acted)
	defer acted()
	c.at, c.epoch = make(map[string]uint64), make(map[string]string)
	if !c.connect() {
		return
	}
	for range c.m.ops {
		c.await(c.rnd.IntN(12))
		if open, err := c.act(); err != nil {
			c.m.fail(fmt.Errorf("client %s, stream %d: %w", c.user, c.n, err))
			c.end()
			return
		} else if !open && !c.connect() {
			return
		}
	}
	acted()
	<-c.m.over
	for ch := range c.subs {
		select {
		case <-c.closed[ch]:
		case <-c.f.done:
			if !c.wasSlow() {
				c.m.fail(fmt.Errorf("client %s, stream %d ended: %v", c.user, c.n, c.f))
			}
			c.end()
			return
		case <-time.After(loadPatience):
			c.m.fail(fmt.Errorf("client %s, stream %d: the last publication of %s never came", c.user, c.n, ch))
		}
	}
	// Without a channel there was nothing to wait for: it may have more to read.
	c.st.final, c.st.cut = len(c.subs) > 0, len(c.subs) == 0
	c.end()
}

// wasSlow reports whether the stream ended because its client had stood still for
// too long.
func (c *modelClient) wasSlow() bool {
	d := c.f.disconnect
	if !c.st.slow || d == nil && !errors.Is(c.f.err, errCutShort) || d != nil && d.Code != 3008 {
		return false
	}
	c.st.cut = true
	return true
}

// await waits for so many pushes more, a moment at most: there may be none.
func (c *modelClient) await(n int) {
	want := c.events.Load() + int64(n)
	for until := time.Now().Add(100 * time.Millisecond); c.events.Load() < want && time.Now().Before(until); {
		time.Sleep(time.Millisecond)
	}
}

// end closes the stream from the client's side.
func (c *modelClient) end() {
	_ = c.f.conn.Close()
	<-c.f.done
	c.id = c.f.feed.id
	c.m.mu.Lock()
	c.m.streams = append(c.m.streams, c.st)
	c.m.mu.Unlock()
}

// connect opens the next stream. It reports whether that went well.
func (c *modelClient) connect() bool {
	m := c.m
	c.n++
	c.calls.Store(0)
	c.stall.Store(0)
	c.due = 0
	c.st = &modelStream{user: c.user, n: c.n, id: c.id}
	c.subs, c.closed, c.bases = make(map[string]bool), make(map[string]chan struct{}), make(map[string][]byte)
	asked := make(map[string]testkit.SubscribeRequest)
	for _, ch := range modelChannels {
		c.closed[ch] = make(chan struct{})
		if c.rnd.IntN(2) == 0 {
			c.st.asked = append(c.st.asked, ch)
			c.subs[ch] = true
			r := testkit.SubscribeRequest{}
			if ch[:2] == "dl" {
				r.Delta = "fossil"
			}
			asked[ch] = r
		}
	}
	buffer := 0
	if !m.tight && c.rnd.IntN(2) == 0 {
		buffer = 16 << 10
	}
	c.st.begin = tick()
	f, err := follow(m.s.addr, connectTarget(map[string]any{
		"token": testkit.HS256(m.t, testSecret, map[string]any{"sub": c.user}), "subs": asked,
	}), buffer, lastEventID(c.id))
	if err != nil {
		m.fail(err)
		return false
	}
	c.f, f.push = f, c.push
	go f.read(func() { time.Sleep(time.Duration(c.stall.Swap(0))) })
	select {
	case <-f.opened:
	case <-f.done:
		m.fail(fmt.Errorf("client %s, stream %d, by %q: %v", c.user, c.n, c.id, f))
		return false
	case <-time.After(loadPatience):
		m.fail(fmt.Errorf("client %s, stream %d never opened", c.user, c.n))
		c.end()
		return false
	}
	c.st.ready = tick()
	return true
}

// push keeps a push, in the goroutine that reads.
func (c *modelClient) push(p *said) error {
	h := logged{said: *p}
	h.raw, h.body = nil, nil
	switch p.kind {
	case "connect", "subscribe":
		body, err := p.decode()
		if err != nil {
			return err
		}
		if h.sub = body.Subscribe; h.sub == nil {
			h.subs = body.Connect.Subs
		}
		for ch, s := range h.subs {
			missed, err := s.notes()
			if err != nil {
				return err
			}
			if len(missed) > 0 {
				c.bases[ch] = missed[len(missed)-1].raw
			}
		}
	case "pub":
		if p.raw != nil {
			if err := c.undelta(p); err != nil {
				return err
			}
			h.note, h.offset = p.note, p.offset
		}
		if p.note.p >= closingNote {
			close(c.closed[p.channel])
		}
	case "unsubscribe":
		delete(c.bases, p.channel)
	case "disconnect":
		h.code = c.f.disconnect.Code
	}
	c.mu.Lock()
	c.st.log = append(c.st.log, h)
	switch {
	case p.kind == "pub":
		c.at[p.channel] = p.offset
	case h.sub != nil:
		c.at[p.channel], c.epoch[p.channel] = h.sub.Offset, h.sub.Epoch
	}
	for ch, s := range h.subs {
		c.at[ch], c.epoch[ch] = s.Offset+uint64(len(s.Publications)), s.Epoch
	}
	c.mu.Unlock()
	if p.kind != "pub" && p.kind != "connect" {
		c.calls.Add(1)
	}
	c.events.Add(1)
	return nil
}

// undelta decodes a publication for those who negotiated deltas.
func (c *modelClient) undelta(p *said) error {
	var body struct {
		Pub struct {
			Data   string
			Offset uint64
			Delta  bool
		}
	}
	if err := json.Unmarshal(p.raw, &body); err != nil {
		return err
	}
	text := []byte(body.Pub.Data)
	if body.Pub.Delta {
		var err error
		if text, err = fdelta.Apply(c.bases[p.channel], text); err != nil {
			return fmt.Errorf("a delta in %s at %d: %w", p.channel, body.Pub.Offset, err)
		}
	}
	c.bases[p.channel] = text
	sc := scan{text: text}
	p.note, p.offset = sc.note(), body.Pub.Offset
	if sc.bad {
		return fmt.Errorf("%w: %.80q in %s, from a delta: %v", errFeed, text, p.channel, body.Pub.Delta)
	}
	return c.f.took(p.channel, p.note)
}

// call asks the API for something about this client and notes when.
func (c *modelClient) call(op modelOp, method string, body map[string]any) {
	body["user"] = c.user
	op.begin = tick()
	c.m.s.api.MustResult(c.m.t, method, body)
	op.end = tick()
	c.st.ops = append(c.st.ops, op)
	c.due += int64(op.pushes)
}

// caughtUp waits until the client has seen what all calls brought, and so all
// that came before. It reports whether it has.
func (c *modelClient) caughtUp() bool {
	for until := time.Now().Add(loadPatience); c.calls.Load() < c.due; time.Sleep(time.Millisecond) {
		if c.f.ended() || time.Now().After(until) {
			return false
		}
	}
	return true
}

// act does one thing at random. It reports whether the stream is open still.
func (c *modelClient) act() (open bool, err error) {
	if c.f.ended() {
		if !c.wasSlow() {
			return false, fmt.Errorf("the stream ended: %v", c.f)
		}
		c.end()
		return false, nil
	}
	ch := modelChannels[c.rnd.IntN(len(modelChannels))]
	switch c.rnd.IntN(10) {
	case 0, 1:
		c.st.cut = true
		c.end()
		return false, nil
	case 2:
		return c.disconnect()
	case 3:
		c.call(modelOp{kind: "refresh", pushes: 1}, "refresh", map[string]any{"expire_at": time.Now().Add(time.Hour).Unix()})
	case 4, 5:
		c.subscribe(ch)
	case 6:
		op := modelOp{kind: "unsubscribe", channel: ch}
		if c.subs[ch] {
			op.pushes = 1
		}
		c.call(op, "unsubscribe", map[string]any{"channel": ch})
		delete(c.subs, ch)
	case 7:
		if c.rnd.IntN(3) == 0 {
			c.call(modelOp{kind: "unsubscribe", pushes: len(c.subs)}, "unsubscribe", map[string]any{"channel": ""})
			clear(c.subs)
		}
	case 8:
		if !c.m.tight {
			c.stall.Store(int64(c.rnd.IntN(150)) * int64(time.Millisecond))
		}
	case 9:
		if c.m.age < shortAge && c.rnd.IntN(4) == 0 {
			c.m.mu.Lock()
			c.m.stalls++
			c.m.mu.Unlock()
			c.st.slow = true
			c.stall.Store(int64(c.m.age) + int64(c.rnd.IntN(int(c.m.age))))
		}
	}
	return true, nil
}

// disconnect has the backend end the stream.
func (c *modelClient) disconnect() (open bool, err error) {
	c.call(modelOp{kind: "disconnect", pushes: 1}, "disconnect", map[string]any{
		"disconnect": map[string]any{"code": 4000, "reason": "come back"},
	})
	select {
	case <-c.f.done:
	case <-time.After(loadPatience):
		return true, errors.New("a disconnect never came")
	}
	if c.f.err != nil && !c.wasSlow() {
		return false, fmt.Errorf("a disconnect ended with %w", c.f.err)
	}
	c.end()
	return false, nil
}

// subscribe has the backend add a channel, now and then from where the client was in it.
func (c *modelClient) subscribe(ch string) {
	op := modelOp{kind: "subscribe", channel: ch, pushes: 1}
	body := map[string]any{"channel": ch}
	if isRecoverable(ch) && !c.subs[ch] && c.rnd.IntN(2) == 0 && c.caughtUp() {
		c.mu.Lock()
		at, known := c.at[ch]
		epoch := c.epoch[ch]
		c.mu.Unlock()
		if known {
			op.since = true
			body["recover_since"] = map[string]any{"offset": at, "epoch": epoch}
		}
	}
	c.call(op, "subscribe", body)
	c.subs[ch] = true
}
