package hub

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/actor"
	"sluice/gateway/broker"
	"sluice/gateway/loop"
	"sluice/gateway/testkit"
)

// patience is how long a test waits for what must happen: also on a machine that
// stands still for seconds.
const patience = time.Minute

// instantEngine does nothing: tests call the Sink themselves.
type instantEngine struct{ broker.Broker }

func (instantEngine) Abilities() broker.Abilities {
	return broker.Abilities{Everything: true, Synchronous: true, Local: true}
}

// rig is a hub over real loops whose streams are socketpairs.
type rig struct {
	t     testing.TB
	group *loop.Group
	hub   *Hub

	// Guarded by mu.
	mu           sync.Mutex
	insufficient []string
	explode      string // the channel for which Insufficient panics
	panics       int
	// onInsufficient is called for each, on-loop; set before the first stream.
	onInsufficient func()
}

func newRig(t testing.TB, loops int, opt Options) *rig {
	t.Helper()
	r := &rig{t: t}
	note := func(any, []byte) {
		r.mu.Lock()
		r.panics++
		r.mu.Unlock()
	}
	opt.OnPanic = note
	turns, err := actor.NewPool(2 * loops)
	require.NoError(t, err)
	blocking, err := actor.NewPool(BlockingActors)
	require.NoError(t, err)
	r.group, err = loop.NewGroup(loops, turns, loop.Options{OnPanic: note, QueueMaxAge: time.Hour})
	require.NoError(t, err)
	r.hub = New(r.group, instantEngine{}, turns, blocking, opt)
	for i, l := range r.group.Loops {
		r.hub.shards[i].SetOwner(rigOwner{r, l})
	}
	r.group.Start(func(l *loop.Loop) loop.Handler { return rigOwner{r, l} })
	t.Cleanup(func() {
		r.group.Do(func(l *loop.Loop) { r.hub.Shard(l).Verify() })
		r.group.Stop()
		channels, subs := r.hub.Interest()
		require.Zero(t, channels+subs, "interest after the last stream")
		require.Zero(t, r.hub.left())
		require.Zero(t, r.hub.Stats().CreditUsed, "credit after the last publication")
		turns.Release()
		blocking.Release()
	})
	return r
}

// rigOwner stands for the sessions of a loop.
type rigOwner struct {
	r *rig
	l *loop.Loop
}

func (o rigOwner) Timer(loop.Ref)                       {}
func (o rigOwner) Closed(ref loop.Ref, _ loop.Reason)   { o.r.hub.Shard(o.l).Drop(ref.Slot) }
func (o rigOwner) Spent(loop.Ref)                       {}
func (o rigOwner) Passed(loop.Ref, string)              {}
func (o rigOwner) Inappropriate(ref loop.Ref, _ string) { o.l.Cut(ref, loop.ReasonInput) }
func (o rigOwner) Insufficient(ref loop.Ref, channel string) {
	o.r.mu.Lock()
	o.r.insufficient = append(o.r.insufficient, channel)
	explode := o.r.explode == channel
	o.r.mu.Unlock()
	if o.r.onInsufficient != nil {
		o.r.onInsufficient()
	}
	if explode {
		panic("the owner has a bug")
	}
	o.l.Close(ref, loop.ReasonInsufficient, codec.DisconnectFrame(codec.DisconnectInsufficientState), time.Second)
}

// peer is a stream and the client's end of its socket.
type peer struct {
	r   *rig
	l   *loop.Loop
	ref loop.Ref
	fd  int
	got strings.Builder
}

// stream opens one on a loop, without any subscription.
func (r *rig) stream(i int) *peer {
	r.t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	require.NoError(r.t, err)
	require.NoError(r.t, syscall.SetNonblock(fds[0], true))
	require.NoError(r.t, syscall.SetNonblock(fds[1], true))
	p := &peer{r: r, l: r.group.Loops[i], fd: fds[1]}
	p.do(func(s *Shard) {
		p.ref, err = p.l.Adopt(loop.PlainSocket(fds[0]), codec.FramingClose, codec.CodingIdentity)
	})
	require.NoError(r.t, err)
	r.t.Cleanup(func() { _ = syscall.Close(fds[1]) })
	return p
}

// do runs f in the turn of the peer's loop.
func (p *peer) do(f func(s *Shard)) {
	done := make(chan struct{})
	p.l.Post(once(func() { f(p.r.hub.Shard(p.l)); close(done) }))
	<-done
}

type once func()

func (f once) Run(*loop.Loop) { f() }

// subscribe acquires the interest and takes a place.
func (p *peer) subscribe(channel string, f Features) { p.take((*Shard).Subscribe, channel, f) }

// hold is subscribe for a place that is silent until Activate.
func (p *peer) hold(channel string, f Features) { p.take((*Shard).Hold, channel, f) }

func (p *peer) take(place func(s *Shard, slot uint32, channel string, f Features) bool, channel string, f Features) {
	p.r.t.Helper()
	require.NoError(p.r.t, p.r.hub.Acquire(context.Background(), channel, p.l.ID(), f.Form(codec.CodingIdentity, nil)))
	p.do(func(s *Shard) { require.True(p.r.t, place(s, p.ref.Slot, channel, f)) })
}

// read returns everything that came so far.
func (p *peer) read() string {
	buf := make([]byte, 64<<10)
	for {
		n, err := syscall.Read(p.fd, buf)
		if n <= 0 || err != nil {
			return p.got.String()
		}
		p.got.Write(buf[:n])
	}
}

// expect waits until the peer has got exactly these events, each the data of
// one.
func (p *peer) expect(events ...string) {
	p.r.t.Helper()
	want := ""
	for _, e := range events {
		want += "data: " + e + "\n\n"
	}
	deadline := time.Now().Add(patience)
	for p.read() != want && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	require.Equal(p.r.t, want, p.read())
}

// drain waits until everything published is in the out-queues and flushed.
func (r *rig) drain() {
	r.t.Helper()
	require.NoError(r.t, r.hub.Drain(context.Background()))
	testkit.EventuallyWithin(r.t, patience, func() bool { return r.group.Stats().QueuedBytes == 0 }, "the queues to be flushed")
}

// publish calls the Sink with credit taken, as an engine does.
func (r *rig) publish(channel string, p *codec.Publication) {
	r.t.Helper()
	if p.Data.IsZero() {
		p.Data = codec.QuoteJSON(fmt.Sprint("p", p.Offset))
	}
	credit, err := r.hub.AcquireCredit(context.Background(), p.Data.Len())
	require.NoError(r.t, err)
	r.hub.Publication(channel, p, nil, credit)
}

func event1(channel string, offset int) string {
	if offset == 0 {
		return `{"channel":"` + channel + `","pub":{"data":"p0"}}`
	}
	epoch := ""
	if offset == 1 {
		epoch = `,"epoch":"e"`
	}
	return fmt.Sprintf(`{"channel":%q,"pub":{"data":"p%d","offset":%d%s}}`, channel, offset, offset, epoch)
}

func at(offset uint64) *codec.Publication { return &codec.Publication{Offset: offset, Epoch: "e"} }
