package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// fan is a reader with sharded pub/sub: a part for each master of the Cluster, a reader
// of its own, which receives the channels of the slots there. When slots move, the parts
// of the masters concerned are made anew.
type fan struct {
	// Immutable after newFan.
	r    *Reader
	told chan struct{} // something may have moved

	// Guarded by mu, which is taken behind that of a part.
	mu      sync.Mutex
	wanted  map[string]struct{}
	parts   map[string]*part // by the address of their master
	owners  *[slots]string
	covered bool          // each slot has a part
	changed chan struct{} // closed when the parts are others
	gone    ReaderStats   // sums of parts that are gone

	telling sync.Mutex // orders what the handler is told; taken before mu
}

// part is a reader of one master.
type part struct {
	*Reader
	f    *fan
	addr string

	// Guarded by the fan's mu; up changes under telling.
	up  bool // between Back and Lost
	bad bool // a channel was elsewhere

	over bool // it tells of nothing any more; guarded by the fan's telling
}

var errMoved = errors.New("the slot of the channel is on another server")

func newFan(r *Reader) *fan {
	f := &fan{
		r: r, told: make(chan struct{}, 1), wanted: make(map[string]struct{}), parts: make(map[string]*part),
		owners: new([slots]string), changed: make(chan struct{}),
	}
	f.told <- struct{}{}
	return f
}

// Message, Lost and Back are those of the reader of a part.
func (p *part) Message(channel, payload []byte) { p.f.r.h.Message(channel, payload) }

func (p *part) Lost(_ *Part, err error) {
	p.lost(err, false)
	p.f.stir()
}

func (p *part) Back(*Part, bool) {
	p.f.telling.Lock()
	defer p.f.telling.Unlock()
	if !p.over && p.f.r.ctx.Err() == nil {
		p.f.mark(func() { p.up = true })
		p.f.r.h.Back(p.of, p.f.complete())
	}
}

// lost tells the handler, unless it knows; with over the part tells of nothing any more.
func (p *part) lost(err error, over bool) {
	p.f.telling.Lock()
	defer p.f.telling.Unlock()
	was := false
	p.f.mark(func() { was, p.up = p.up, false })
	p.over = p.over || over
	if was && p.f.r.ctx.Err() == nil {
		p.f.r.h.Lost(p.of, err)
	}
}

// elsewhere notes that a channel is not on the master of the part. It is called under
// the part's mu.
func (p *part) elsewhere() {
	p.f.mark(func() { p.bad = true })
	p.f.stir()
}

func (f *fan) mark(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// stir makes the manager look.
func (f *fan) stir() {
	select {
	case f.told <- struct{}{}:
	default:
	}
}

// complete reports whether all slots are served by parts that are live.
func (f *fan) complete() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.parts {
		if !p.up || p.bad {
			return false
		}
	}
	return f.covered
}

func (f *fan) live() bool { return f.complete() }

// manage keeps the parts fitting. It is a goroutine.
func (f *fan) manage() {
	ticker := time.NewTicker(refreshEvery)
	defer ticker.Stop()
	for {
		select {
		case <-f.r.closed:
			f.replace(nil)
			return
		case <-f.told:
		case <-ticker.C:
		}
		began, pause := time.Now(), restLeast
		if err := f.r.s.dial.learn(f.r.ctx); err != nil {
			f.r.s.log.Debug("redis: slots of the Cluster", "reader", f.r.name, "error", err)
		} else if f.replace(f.r.s.dial.cluster.get()) && f.awaitComplete() {
			pause = min(max(restTimes*time.Since(began), restLeast), restMost)
		}
		f.sleep(pause)
	}
}

// Slots that move one after another do not make parts anew for each, nor keep a node that has many
// channels from anything else: it rests for some times as long as the last time took.
const (
	restTimes           = 8
	restLeast, restMost = 10 * firstRetry, 2 * refreshEvery
)

// awaitComplete waits until all parts are live again; false if that takes too long.
func (f *fan) awaitComplete() bool {
	for deadline := time.Now().Add(refreshEvery); !f.complete(); {
		if time.Now().After(deadline) || !f.sleep(firstRetry) {
			return false
		}
	}
	return true
}

// sleep returns false if the reader was closed.
func (f *fan) sleep(d time.Duration) bool {
	select {
	case <-f.r.closed:
		return false
	case <-time.After(d):
		return true
	}
}

// replace makes the parts those of ranges: what changed is closed and made anew. It reports
// whether something did.
func (f *fan) replace(ranges []slotRange) (changed bool) {
	owners := ownersOf(ranges)
	of := partsOf(owners)
	var closing []*part
	f.mu.Lock()
	for addr, p := range f.parts {
		if p.bad || of[addr] == nil || *of[addr].slots != *p.of.slots {
			closing = append(closing, p)
		}
	}
	f.mu.Unlock()
	var gone ReaderStats
	for _, p := range closing {
		p.lost(errMoved, true)
		p.Close() // waits for the handler: the order of a channel holds over parts
		gone.add(p.Reader.Stats())
	}
	f.mu.Lock()
	f.gone.add(gone)
	for _, p := range closing {
		delete(f.parts, p.addr)
	}
	f.owners = owners
	tags := f.r.s.dial.cluster.perMaster()
	var fresh []*part
	for addr := range of {
		if f.parts[addr] == nil && tags[addr] != "" {
			fresh = append(fresh, f.newPart(addr, of[addr], tags[addr]))
		}
	}
	f.covered = !slices.ContainsFunc(owners[:], func(addr string) bool { return f.parts[addr] == nil })
	if changed = len(closing)+len(fresh) > 0; changed {
		close(f.changed)
		f.changed = make(chan struct{})
	}
	f.mu.Unlock()
	for _, p := range fresh {
		p.start()
	}
	return changed
}

// partsOf returns the part of each master.
func partsOf(owners *[slots]string) map[string]*Part {
	of := make(map[string]*Part)
	for slot, addr := range owners {
		if addr == "" {
			continue
		}
		if of[addr] == nil {
			of[addr] = &Part{slots: new([slots]bool)}
		}
		of[addr].slots[slot] = true
	}
	return of
}

// newPart makes the part of a master. The caller holds mu.
func (f *fan) newPart(addr string, of *Part, tag string) *part {
	p := &part{f: f, addr: addr}
	p.Reader = newReader(f.r.s, f.r.name, p, path{
		dial: func(ctx context.Context) (*wire, error) {
			ctx, cancel := context.WithTimeout(ctx, f.r.s.t.connect)
			defer cancel()
			return f.r.s.dial.server(ctx, addr)
		},
		marker: f.r.s.marker + ".{" + tag + "}", sharded: true, moved: p.elsewhere,
	})
	p.Reader.of = of
	for ch := range f.wanted {
		if of.Has(SlotOf(ch)) {
			p.wanted[ch] = struct{}{}
		}
	}
	f.parts[addr] = p
	return p
}

// divide divides channels among the parts; those that have none come under nil. It
// returns what is closed when the parts are others.
func (f *fan) divide(channels []string) (map[*part][]string, <-chan struct{}) {
	groups := make(map[*part][]string)
	for _, ch := range channels {
		p := f.parts[f.owners[SlotOf(ch)]]
		groups[p] = append(groups[p], ch)
	}
	return groups, f.changed
}

// subscribe is Subscribe: each part subscribes its channels; those of slots that move
// meanwhile are asked for again.
func (f *fan) subscribe(ctx context.Context, channels []string) error {
	left := channels
	f.mark(func() {
		for _, ch := range channels {
			f.wanted[ch] = struct{}{}
		}
	})
	var refused error
	for {
		f.mu.Lock()
		groups, changed := f.divide(left)
		f.mu.Unlock()
		left = groups[nil]
		delete(groups, nil)
		again, err := f.each(groups, func(p *part, group []string) error { return p.order(ctx, subscribe, group) })
		if left = append(left, again...); err != nil {
			if !errors.Is(err, ErrRefused) {
				return err
			}
			refused = err
			f.forget(groups)
		}
		if len(left) == 0 {
			return refused
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return f.r.s.unavailable(ReasonTimeout, fmt.Errorf("not acknowledged: %w", ctx.Err()))
		case <-f.r.closed:
			return f.r.s.unavailable(ReasonClosed, errClosed)
		}
	}
}

// forget does not want channels any more that their parts do not: those refused.
func (f *fan) forget(groups map[*part][]string) {
	var gone []string
	for p, group := range groups {
		p.Reader.mu.Lock()
		for _, ch := range group {
			if _, ok := p.Reader.wanted[ch]; !ok {
				gone = append(gone, ch)
			}
		}
		p.Reader.mu.Unlock()
	}
	f.mark(func() {
		for _, ch := range gone {
			delete(f.wanted, ch)
		}
	})
}

// each runs do for all parts at once. It returns the channels of those that are over,
// or whose slots moved, and an error of the others.
func (f *fan) each(groups map[*part][]string, do func(p *part, group []string) error) (again []string, failed error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for p, group := range groups {
		wg.Go(func() {
			err := do(p, group)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
			case errors.Is(err, errMoved), errors.Is(err, errClosed) && f.r.ctx.Err() == nil:
				again = append(again, group...)
			default:
				failed = err
			}
		})
	}
	wg.Wait()
	return again, failed
}

// unsubscribe is Unsubscribe.
func (f *fan) unsubscribe(ctx context.Context, channels []string) error {
	f.mu.Lock()
	for _, ch := range channels {
		delete(f.wanted, ch)
	}
	groups, _ := f.divide(channels)
	f.mu.Unlock()
	delete(groups, nil)
	_, err := f.each(groups, func(p *part, group []string) error { return p.order(ctx, unsubscribe, group) })
	return err
}

// marker is Marker: one of each part.
func (f *fan) marker(ctx context.Context) error {
	if !f.complete() {
		return f.r.s.unavailable(ReasonBroken, errReaderLost)
	}
	f.mu.Lock()
	groups := make(map[*part][]string, len(f.parts))
	for _, p := range f.parts {
		groups[p] = []string{p.addr}
	}
	f.mu.Unlock()
	again, err := f.each(groups, func(p *part, _ []string) error { return p.Reader.Marker(ctx) })
	switch {
	case err != nil:
		return err
	case len(again) > 0:
		return f.r.s.unavailable(ReasonBroken, fmt.Errorf("%w: %s", errReaderLost, strings.Join(again, " ")))
	case !f.complete(): // a slot was found to have moved before the marker came
		return f.r.s.unavailable(ReasonBroken, errMoved)
	}
	return nil
}

// stats is Stats: sums over the parts.
func (f *fan) stats() ReaderStats {
	f.mu.Lock()
	sum := f.gone
	parts := make([]*part, 0, len(f.parts))
	for _, p := range f.parts {
		parts = append(parts, p)
	}
	channels := len(f.wanted)
	f.mu.Unlock()
	sum.Shard, sum.Name, sum.ProbeAge = f.r.s.name, f.r.name, -1
	for _, p := range parts {
		s := p.Reader.Stats()
		sum.add(s)
		sum.Pending += s.Pending
		sum.ProbeAge = max(sum.ProbeAge, s.ProbeAge)
	}
	sum.Channels, sum.Live = channels, f.complete()
	return sum
}
