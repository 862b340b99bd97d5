package session

import (
	"context"
	"math/rand/v2"
	"time"

	"sluice/codec"
	"sluice/gateway/loop"
)

// lifeTick is a moment on the loop's clock in tenths of a second, and in its
// highest bit whether the client wanted it: four bytes of a session last for 6
// years.
type lifeTick uint32

const (
	lifeUnit          = int64(100 * time.Millisecond)
	lifeWish lifeTick = 1 << 31
)

// at returns the moment in nanoseconds, 0 for none.
func (t lifeTick) at() int64 { return int64(t&^lifeWish) * lifeUnit }

// lifeTick returns the first moment that is at least so long from now.
func (a *Agent) lifeTick(life time.Duration) lifeTick {
	life = min(life, farAway/10)
	return lifeTick(min((a.loop.Now()+int64(life)+lifeUnit-1)/lifeUnit, int64(lifeWish)-1))
}

const (
	// lifeSpread is by how much of it, up or down, lives differ from
	// Options.MaxLifetime: streams that were opened together must not end
	// together.
	lifeSpread = 0.2
	// lifeRetryMin and lifeRetryMax are within what time a client comes back
	// whose stream had lived long enough: soon, for nothing is wrong, but not
	// those of one tick of the wheel at once.
	lifeRetryMin, lifeRetryMax = 100 * time.Millisecond, time.Second
)

// lifeEnd returns when the life of a stream that opens now will be over; wish is
// how long its client wants it, 0 for as long as may be.
func (a *Agent) lifeEnd(wish time.Duration) (end lifeTick) {
	if life := min(a.m.opt.MaxLifetime, farAway/10); life > 0 {
		life += time.Duration((2*a.rand.Float64() - 1) * lifeSpread * float64(life))
		end = a.lifeTick(life)
	}
	if wish > 0 {
		if t := a.lifeTick(wish); end == 0 || t < end {
			end = t | lifeWish
		}
	}
	return end
}

// endBounded ends a stream as its client wanted it: without a push, as at the
// end of its life, and without a reconnect delay.
func (a *Agent) endBounded(ref loop.Ref) {
	var last *codec.Frame
	if a.shard.Thinned(ref.Slot) {
		last = a.lastBlock(ref.Slot, 0, nil)
	}
	a.finish(ref, loop.ReasonBounded, codec.DisconnectConnectionClosed, last, closeWithin)
}

// Spent implements loop.Handler: a bounded stream has had its last event.
func (a *Agent) Spent(ref loop.Ref) { a.endBounded(ref) }

// endLife ends a stream that has lived long enough, for its client to come back
// to whichever node is the least busy then.
//
// Why no disconnect push: it would be an event, and pages show those of a
// disconnect to people. The end of the body alone is what a network does too, so
// every client knows what to do (PROTOCOL 1.6, code 3000), and nothing is lost:
// the last block says where the stream stands.
func (a *Agent) endLife(ref loop.Ref) {
	retry := time.Duration(0)
	if a.m.opt.RetryMax > 0 {
		retry = between(a.rand, lifeRetryMin, lifeRetryMax)
	}
	last := a.lastBlock(ref.Slot, retry, nil)
	a.finish(ref, loop.ReasonLifetime, codec.DisconnectConnectionClosed, last, closeWithin)
}

// between draws a duration from a range.
func between(r *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(r.Int64N(max(int64(high-low), 0)+1))
}

// lastBlock returns the block that a stream ends with: the reconnect delay, 0
// for none, the exact position, which an id that was thinned may lag behind, and
// the push, if there is one. It is nil if there is nothing to say.
func (a *Agent) lastBlock(slot uint32, retry time.Duration, push *codec.Frame) *codec.Frame {
	var b []byte
	if retry > 0 {
		b = codec.AppendRetry(b, retry)
	}
	id := a.shard.AppendCursor(nil, slot)
	if len(b) == 0 && len(id) == 0 {
		return push
	}
	if push != nil {
		b = append(b, push.Lines(codec.FramingClose)...)
	}
	return a.lastEvent(slot, b, id)
}

// lastEvent returns the frame of an event of these lines with an id of its own.
func (a *Agent) lastEvent(slot uint32, lines, id []byte) *codec.Frame {
	event := codec.AppendEventEnd(append(make([]byte, 0, len(lines)+len(id)+8), lines...), codec.FramingClose, id)
	return codec.OwnFrame(a.loop.Coding(slot), a.loop.Framing(slot), event)
}

// pace is how fast the streams of a node end when it stops.
type pace struct {
	perSecond float64 // 0 for all at once
	total     int
}

const (
	// paceTick is how often some streams end, and how much of the pace the
	// first ones are: few streams end at once.
	paceTick = 50 * time.Millisecond
	// The time left ends with a quarter of it, or what is more, in which all
	// have been told: for those that read slowly, and for connections whose
	// client does not end its half (a second, in package loop).
	paceShare = 0.75
	paceClose = 1500 * time.Millisecond
)

// newPace returns the pace for so many streams: perSecond (0: no limit), or
// faster where they would not all be told in time.
func newPace(total, perSecond int, within time.Duration) pace {
	span := min(time.Duration(float64(within)*paceShare), within-paceClose)
	seconds := max(span, within/4).Seconds()
	if perSecond <= 0 || seconds <= 0 {
		return pace{total: total}
	}
	return pace{perSecond: max(float64(perSecond), float64(total)/seconds), total: total}
}

// due returns how many streams have ended, or end now, so long after the start.
func (p pace) due(elapsed time.Duration) int {
	if p.perSecond == 0 {
		return p.total
	}
	n := p.perSecond * (elapsed + paceTick).Seconds()
	return max(int(min(n, float64(p.total))), 1)
}

// rest returns how long it takes from then on until all have ended.
func (p pace) rest(elapsed time.Duration) time.Duration {
	if p.perSecond == 0 {
		return 0
	}
	all := time.Duration(float64(p.total) / p.perSecond * float64(time.Second))
	return max(all-elapsed, 0)
}

// Shutdown tells every client that the server stops, and ends its stream: about
// perSecond of them each second, 0 for all at once, but more where ctx would end
// first, and all that are left when it does. It returns when all were told. A
// connect that is on its way is refused from here on.
//
// Clients are told to come back within the rest of the time that this takes and
// the delay that they were told before, so that they do not all come at once.
func (m *Manager) Shutdown(ctx context.Context, perSecond int) {
	m.stopping.Store(true)
	m.endCalls()
	open := make([]int, len(m.agents))
	m.group.Do(func(l *loop.Loop) { open[l.ID()] = m.agent(l).clients })
	d := &drain{m: m, open: open, next: make([]uint32, len(m.agents)), began: time.Now()}
	d.pace = newPace(sum(open), perSecond, remaining(ctx))
	for tick := time.NewTicker(paceTick); ; {
		if d.step(ctx) {
			tick.Stop()
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done(): // the next step ends all
		}
	}
}

// remaining is how long a context has yet to run.
func remaining(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	switch {
	case ctx.Err() != nil:
		return 0
	case !ok:
		return closeWithin
	}
	return max(time.Until(deadline), 0)
}

// drain is a Shutdown under way.
type drain struct {
	m     *Manager
	pace  pace
	began time.Time
	// By loop: sessions to be told, and the slot that they are looked for
	// from. Those that still come behind the walk end by themselves.
	open []int
	next []uint32
}

// step ends as many streams as are due, of each loop a share. It reports whether
// none is left.
func (d *drain) step(ctx context.Context) (done bool) {
	elapsed, within := time.Since(d.began), remaining(ctx)
	// By how many may still be open, and not by how many were ended: connects
	// that were on their way are met, too, and take no turn of others.
	due := sum(d.open) - (d.pace.total - d.pace.due(elapsed))
	if within <= 0 {
		due = sum(d.open)
	}
	give := shares(due, d.open)
	rest := d.pace.rest(elapsed)
	d.m.group.Do(func(l *loop.Loop) {
		i, a := l.ID(), d.m.agent(l)
		walked := false
		d.next[i], walked = a.endSome(d.next[i], give[i], rest, within)
		if d.open[i] = a.clients; walked {
			d.open[i] = 0
		}
	})
	return sum(d.open) == 0
}

// endSome ends up to n sessions from a slot on. It returns where to go on, and
// whether there is nothing left to see.
func (a *Agent) endSome(from uint32, n int, rest, within time.Duration) (next uint32, walked bool) {
	end := uint32(len(a.table.slabs)) << slabBits
	for ; from < end; from++ {
		s := a.table.at(from)
		if !s.used {
			continue
		}
		if n == 0 {
			return from, false
		}
		n--
		a.endForShutdown(a.loop.Ref(from), s, rest, within)
	}
	return from, true
}

func (a *Agent) endForShutdown(ref loop.Ref, s *session, rest, within time.Duration) {
	if s.opening != nil {
		a.end(ref, loop.ReasonShutdown, codec.DisconnectShutdown, within)
		return
	}
	if s.kind == Broadcast {
		a.endBroadcast(ref, loop.ReasonShutdown, within)
		return
	}
	retry := time.Duration(0)
	if o := &a.m.opt; o.RetryMax > 0 {
		retry = between(a.rand, o.RetryMin, o.RetryMax) + between(a.rand, 0, rest)
	}
	last := a.lastBlock(ref.Slot, retry, frameShutdown)
	a.sent(PushDisconnect, last.Len())
	a.finish(ref, loop.ReasonShutdown, codec.DisconnectShutdown, last, within)
}

// shares divides n among loops by how many sessions each has.
func shares(n int, of []int) []int {
	give := make([]int, len(of))
	total := sum(of)
	if n = min(n, total); n <= 0 {
		return give
	}
	rest := n
	for i := range of {
		give[i] = n * of[i] / total
		rest -= give[i]
	}
	for i := 0; rest > 0; i = (i + 1) % len(of) {
		if give[i] < of[i] {
			give[i]++
			rest--
		}
	}
	return give
}

func sum(ns []int) (total int) {
	for _, n := range ns {
		total += n
	}
	return total
}
