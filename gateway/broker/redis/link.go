package redis

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"sluice/gateway/broker"
	"sluice/gateway/broker/follow"
	"sluice/gateway/pause"
	rds "sluice/gateway/redis"
	"sluice/gateway/reference"
)

// link is the engine's side of one shard: what it publishes to and reads from.
type link struct {
	// Immutable after newLink.
	engine *Engine
	index  int
	shard  *rds.Shard
	keys   rds.Keys
	// untagged says that in this Cluster the pub/sub channel of a channel does not lead to the
	// master of its history.
	untagged bool
	follower *follow.Follower
	reader   *rds.Reader
	stats    linkStats
	probe    prober
	control  subjects

	// Atomic: whether the log spoke of a loss and not yet of its end, and what had been replayed
	// and told before it.
	lossTold atomic.Bool
	before   [2]atomic.Uint64
}

func newLink(e *Engine, index int, s *rds.Shard, sink broker.Sink) *link {
	l := &link{engine: e, index: index, shard: s, keys: s.Keys()}
	l.untagged = s.Cluster() && !strings.HasSuffix(l.keys.Client("c"), "{c}")
	l.follower = follow.New(sink, l)
	l.probe.init(l)
	return l
}

func (l *link) start() {
	l.reader = l.shard.NewReader("engine", l)
	l.engine.done.Go(func() { l.follower.Run(l.engine.ctx) })
	l.engine.done.Go(func() { l.probe.run(l.engine.over) })
}

// Slot implements source.
func (l *link) Slot(channel string) int {
	if !l.shard.Sharded() {
		return 0 // one part has all
	}
	return rds.SlotOf(l.keys.Client(channel))
}

// names returns the pub/sub channels of channels.
func (l *link) names(channels []string) []string {
	names := make([]string, len(channels))
	for i, ch := range channels {
		names[i] = l.keys.Client(ch)
	}
	return names
}

// publishName is the command that publishes.
func (l *link) publishName() string {
	if l.shard.Sharded() {
		return "spublish"
	}
	return "publish"
}

// publish makes the command that publishes into a pub/sub channel.
func (l *link) publish(channel, payload string) rds.Cmd {
	if l.shard.Sharded() {
		return rds.Command("SPUBLISH", []string{channel}, payload)
	}
	return rds.Command("PUBLISH", []string{channel}, payload)
}

// publishClient makes the command that publishes to the subscribers of a channel, without
// history.
func (l *link) publishClient(channel, payload string) rds.Cmd {
	if l.untagged {
		return publishAt.Cmd([]string{l.keys.Stream(channel)}, payload, l.keys.Client(channel))
	}
	return l.publish(l.keys.Client(channel), payload)
}

// Message implements rds.Handler: it decodes what came and passes it on. It waits for credit.
func (l *link) Message(name, payload []byte) {
	channel, ok := l.keys.Channel(name)
	if !ok {
		l.control.receive(name, payload)
		return
	}
	p, epoch := l.follower.Find(rds.String(channel))
	if p == nil {
		l.stats.skipped(skipUnwanted)
		return
	}
	m, ok := l.decode(p.Channel(), epoch, payload)
	if ok {
		l.follower.Message(l.engine.ctx, p, m)
	}
}

// Lost implements rds.Handler.
func (l *link) Lost(p *rds.Part, err error) {
	l.follower.Lost(p)
	if l.engine.over.Err() != nil {
		return // by us
	}
	l.stats.lost.Add(1)
	if !l.lossTold.Swap(true) {
		st := l.follower.Stats()
		l.before[0].Store(st.Replayed)
		l.before[1].Store(st.Told)
	}
	l.engine.opt.Log.Warn("redis: the pub/sub connection is lost: what is missed will be read from the histories", "shard", l.shard.Name(), "error", err,
		"remedy", "see the line of its reader: whether Redis cut it (its log says why), fails over, or cannot be reached")
}

// Back implements rds.Handler.
func (l *link) Back(p *rds.Part, whole bool) {
	l.follower.Back(p, whole)
	if channels, pending, _ := l.follower.Counts(); pending > 0 || l.lossTold.Load() {
		l.engine.opt.Log.Info("redis: the pub/sub connection is back", "shard", l.shard.Name(), "channels", channels, "to_compare", pending)
	}
}

// report says in the log what became of a loss, once no channel is left to be compared. It
// is called by the probe, now and then.
func (l *link) report() {
	if up, left := l.follower.CaughtUp(); !up || left > 0 || !l.lossTold.CompareAndSwap(true, false) {
		return
	}
	st := l.follower.Stats()
	l.engine.opt.Log.Info("redis: all channels are compared with their histories", "shard", l.shard.Name(),
		"replayed", st.Replayed-l.before[0].Load(), "channels_told", st.Told-l.before[1].Load())
}

// markerAgain is between tries of a marker whose connection was lost.
const markerAgain = 10 * time.Millisecond

// marker sends one through the shard and waits for it, over losses of the connection too.
func (l *link) marker(ctx context.Context) error {
	for {
		err := l.follower.AwaitUp(ctx)
		if err == nil {
			if err = l.reader.Marker(ctx); err == nil {
				return nil
			}
		}
		if ctx.Err() != nil || !errors.Is(err, rds.ErrUnavailable) || !pause.For(ctx, markerAgain) {
			return fmt.Errorf("shard %s: no marker came back, see /ready: %w: %w", l.shard.Name(), rds.ErrUnavailable, err)
		}
	}
}

// barrier returns when what was published on the shard before has entered the Sink.
func (l *link) barrier(ctx context.Context) error {
	suspects := l.follower.TakeSuspects()
	if err := l.marker(ctx); err != nil {
		return err
	}
	if err := l.follower.Await(ctx, suspects); err != nil {
		return fmt.Errorf("shard %s: channels are compared with their histories: %w: %w", l.shard.Name(), rds.ErrUnavailable, err)
	}
	return nil
}

// skip counts something that is no publication, and says at debug where it was.
func (l *link) skip(channel string, why Skip, err error) {
	l.stats.skipped(why)
	l.engine.opt.Log.Debug("redis: skipped what is no publication", "shard", l.shard.Name(), "channel", channel, "reason", why.String(), "error", err)
}

// decode makes a message of a payload; what is none is counted.
func (l *link) decode(channel, epoch string, payload []byte) (m follow.Message, ok bool) {
	out, err := reference.Decode(payload, l.engine.limits(channel, epoch))
	l.stats.left(out.Left)
	if err != nil {
		l.skip(channel, skipFor(err), err)
		if !errors.Is(err, reference.ErrData) || out.Offset == 0 {
			return follow.Message{}, false
		}
	}
	switch out.Kind {
	case reference.KindJoin, reference.KindLeave:
		m.Kind, m.Info = follow.KindJoin, out.Info
		if out.Kind == reference.KindLeave {
			m.Kind = follow.KindLeave
		}
		c := out.Info
		m.Size = len(c.User) + len(c.Client) + c.ConnInfo.Len() + c.ChanInfo.Len()
		return m, true
	case reference.KindPositioned, reference.KindDelta:
		m.At = broker.Position{Offset: out.Offset, Epoch: out.Epoch}
		m.Sum = follow.Sum(stored(payload, &out))
	}
	if err != nil {
		return m, true
	}
	m.Pub, m.Prev = out.Publication, out.Previous
	m.Size = m.Pub.Size()
	return m, true
}

// stored returns the part of a positioned payload that its history keeps. out is what
// the payload was decoded to, so it is well-formed.
func stored(payload []byte, out *reference.Payload) []byte {
	rest := payload[bytes.IndexByte(payload, ':')+1:] // behind __p1 or __d1
	rest = rest[bytes.IndexByte(rest, ':')+1+len(out.Epoch):]
	if out.Kind != reference.KindDelta {
		return rest[len("__"):]
	}
	rest = rest[len(":"):]
	colon := bytes.IndexByte(rest, ':')
	n, err := strconv.Atoi(string(rest[:colon]))
	if err != nil || n > len(rest) { // cannot be
		return nil
	}
	rest = rest[colon+1+n+len(":"):]
	return rest[bytes.IndexByte(rest, ':')+1:]
}

// ready says why publications cannot be made here, or are not delivered, and what to do.
func (l *link) ready(now time.Time) error {
	if err := l.shard.Ready(); err != nil {
		return notReady(l, "commands do not work", "see that it runs and is reachable, and that address and password are right", err)
	}
	if up, left := l.follower.CaughtUp(); !up {
		return notReady(l, "the pub/sub connection is not there", "see that it runs, is reachable and lets this user subscribe", nil)
	} else if left > 0 {
		return notReady(l, strconv.Itoa(left)+" channels are compared with their histories after a loss", "wait; if it stays so, see why histories cannot be read", nil)
	}
	return l.probe.ready(now)
}
