package redis

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// markers are the barriers of a reader: at most one is under way, and one next, which
// all share who ask meanwhile.
type markers struct {
	// Guarded by mu.
	mu      sync.Mutex
	current *mark
	next    *mark
	busy    bool // a goroutine sends them
}

// mark is one barrier: a message, or one from each master of a Cluster, whose messages
// are in no order among each other.
type mark struct {
	payload string        // what all begin with; a number follows
	seen    []bool        // which came; guarded by the mu of markers
	left    int           // how many did not
	arrived chan struct{} // closed when all came
	lost    chan struct{} // closed when the connection was lost before
	done    chan struct{} // closed when it is over; then err is set
	err     error
}

// markID tells the markers of this process from each other.
var markID atomic.Uint64

// markBase tells them from those of others.
var markBase = strconv.FormatInt(time.Now().UnixNano(), 36)

// Marker waits until all that Redis had accepted before the call was handed to the
// handler, and what it did with it. An error (ErrUnavailable) says that this is not
// known: the connection was lost, the publication failed, or ctx ended. Any goroutine
// but the handler's.
func (r *Reader) Marker(ctx context.Context) error {
	if r.fan != nil {
		return r.fan.marker(ctx)
	}
	r.mu.Lock()
	if r.over { // so that no goroutine begins once Close waits for them
		r.mu.Unlock()
		return r.s.unavailable(ReasonClosed, errClosed)
	}
	m := r.marks.ask(r)
	r.mu.Unlock()
	select {
	case <-m.done:
		return m.err
	case <-ctx.Done():
		return r.s.unavailable(ReasonTimeout, ctx.Err())
	}
}

// ask returns the next marker, which is sent when the one under way is over.
func (k *markers) ask(r *Reader) *mark {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.next == nil {
		k.next = &mark{
			payload: markBase + "-" + strconv.FormatUint(markID.Add(1), 36) + ":",
			arrived: make(chan struct{}), lost: make(chan struct{}), done: make(chan struct{}),
		}
	}
	m := k.next
	if !k.busy {
		k.busy = true
		r.done.Go(func() { k.send(r) })
	}
	return m
}

// send sends markers until none is asked for. It is a goroutine.
func (k *markers) send(r *Reader) {
	for {
		k.mu.Lock()
		m := k.next
		k.current, k.next = m, nil
		if m == nil {
			k.busy = false
			k.mu.Unlock()
			return
		}
		k.mu.Unlock()
		started := time.Now()
		m.err = r.prove(m)
		if m.err != nil {
			r.counts.markerErrors.Add(1)
		} else {
			r.counts.markers.Add(1)
			r.counts.markerTime.Add(time.Since(started))
		}
		close(m.done)
	}
}

// prove is mark; it leaves a connection on which nothing is delivered though the server is
// alive: it may be one that others do not publish to any more.
func (r *Reader) prove(m *mark) error {
	r.mu.Lock()
	l := r.link
	r.mu.Unlock()
	before := r.counts.messages.Load()
	err := r.mark(m)
	if l != nil && errors.Is(err, errNotDelivered) && !r.handling.Load() && r.counts.messages.Load() == before {
		l.cut(err)
		if !r.s.Cluster() { // or it is the commands that go where nobody listens any more
			r.s.dial.drop("")
		}
	}
	return err
}

// mark publishes a marker and waits for it.
func (r *Reader) mark(m *mark) error {
	if !r.Live() {
		return r.s.unavailable(ReasonBroken, errReaderLost)
	}
	cmds := r.markCommands(m)
	if len(cmds) == 0 {
		return r.s.unavailable(ReasonClusterDown, errNoMasters)
	}
	r.marks.expect(m, len(cmds))
	for _, reply := range r.s.DoMulti(r.ctx, cmds...) {
		if err := reply.Err(); err != nil {
			return err
		}
	}
	// Why it looks twice: after a pause of this process the time is over while the
	// message is there.
	for _, wait := range []time.Duration{r.s.t.io, r.s.t.io / 4} {
		select {
		case <-m.arrived:
			return nil
		case <-m.lost:
			return r.s.unavailable(ReasonBroken, errReaderLost)
		case <-r.closed:
			return r.s.unavailable(ReasonClosed, errClosed)
		case <-time.After(wait):
		}
	}
	return r.s.unavailable(ReasonTimeout, errNotDelivered)
}

var (
	errNoMasters    = errors.New("no master of the Cluster is known yet")
	errNotDelivered = errors.New("what was published did not come within the io_timeout")
)

// publishVia publishes through the master of a key's slot.
var publishVia = NewScript("marker", "return redis.call('PUBLISH', ARGV[1], ARGV[2])")

// markCommands returns what publishes a marker, through each master if there are
// several.
func (r *Reader) markCommands(m *mark) []Cmd {
	switch {
	case r.via.sharded:
		return []Cmd{Command("SPUBLISH", []string{r.via.marker}, m.payload+"0").Reading()}
	case !r.s.Cluster():
		return []Cmd{Command("PUBLISH", []string{r.via.marker}, m.payload+"0").Reading()}
	}
	var cmds []Cmd
	for _, tag := range r.s.dial.cluster.perMaster() {
		key := r.via.marker + ".{" + tag + "}"
		cmds = append(cmds, publishVia.Cmd([]string{key}, r.via.marker, m.payload+strconv.Itoa(len(cmds))).Reading())
	}
	return cmds
}

// expect notes how many messages a marker is.
func (k *markers) expect(m *mark, n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	m.seen, m.left = make([]bool, n), n
}

// came notes that a message of a marker arrived. On the goroutine that reads.
func (k *markers) came(payload []byte, c *readerCounts) {
	k.mu.Lock()
	defer k.mu.Unlock()
	m := k.current
	if m == nil || !strings.HasPrefix(string(payload), m.payload) {
		return
	}
	i, err := strconv.Atoi(string(payload[len(m.payload):]))
	if err != nil || i < 0 || i >= len(m.seen) || m.seen[i] { // it may be published twice
		return
	}
	m.seen[i] = true
	if m.left--; m.left == 0 {
		close(m.arrived)
		c.delivered.Store(time.Now().UnixNano())
	}
}

// lost notes that the connection is gone.
func (k *markers) lost() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if m := k.current; m != nil {
		select {
		case <-m.lost:
		default:
			close(m.lost)
		}
	}
}

// probe proves delivery again and again, where nobody else's marker just did. It is a
// goroutine.
func (r *Reader) probe() {
	ticker := time.NewTicker(r.s.probeEvery)
	defer ticker.Stop()
	for {
		select {
		case <-r.closed:
			return
		case <-ticker.C:
		}
		proved := time.Unix(0, r.counts.delivered.Load())
		if r.Live() && time.Since(proved) > r.s.probeEvery-r.s.probeEvery/8 {
			_ = r.Marker(context.Background()) // prove has seen to it
		}
	}
}
