package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// Pauses between attempts at commands that certainly were not executed, where the
// connection is not to blame: slots of a Cluster on their way, a server that loads.
const (
	firstPause = 10 * time.Millisecond
	lastPause  = 250 * time.Millisecond
)

var errLate = errors.New("the deadline came first")

// attempts runs the commands of one caller until each has its reply. It belongs to the
// caller's goroutine.
type attempts struct {
	s    *Shard
	ctx  context.Context
	late <-chan time.Time
	cs   []Cmd
	out  []Reply
	// batched says that the command, which is one, goes with those of others.
	batched bool

	left  []int // which commands have no reply yet; nil: all
	spare *sent // for the first attempt; nil: it makes one
	sends int   // attempts that were made
}

// lone is what a batched command needs, in one piece, which is used again: a caller takes
// one (lones) and gives it back where the first attempt went well, for then nobody else has it.
type lone struct {
	cs  [1]Cmd
	out [1]Reply
	job sent
	a   attempts
}

var lones = sync.Pool{New: func() any { return &lone{job: sent{done: make(chan struct{}, 1)}} }}

// put gives it back, without what it refers to.
func (l *lone) put() {
	*l = lone{job: sent{done: l.job.done}}
	lones.Put(l)
}

// sent is one attempt under way: what the goroutine that waits for rueidis works on, so
// that its caller may go.
type sent struct {
	cs      []Cmd
	results []rueidis.RedisResult
	places  chan struct{} // where it has one
	done    chan struct{} // gets one token, for which it has room
	// left says that the caller is gone: what is not on a connection yet must not be sent.
	left atomic.Bool
}

// sending is the context of attempts as rueidis sees it. Nothing ends what was sent: rueidis
// gives up a connection that is silent; we, the wait for it. But rueidis looks at Err before it
// sends something on a connection that it has waited for.
type sending struct {
	context.Context
	jobs []*sent
}

var errLeft = &dialError{ReasonDial, "", errors.New("the connection came too late for one of the callers")}

// Err implements context.Context.
func (c sending) Err() error {
	for _, j := range c.jobs {
		if j.left.Load() {
			return errLeft
		}
	}
	return nil
}

// ended gives back the place of a job, whose results are there.
func (s *Shard) ended(j *sent) {
	<-j.places
	s.underWay.Add(-1)
	j.done <- struct{}{}
}

func (a *attempts) run() {
	if err := a.ctx.Err(); err != nil {
		a.rest(a.s.unavailable(ReasonTimeout, err))
		return
	}
	pause := firstPause
	for {
		turn, err := a.s.gate.pass(a.ctx, a.late)
		if err != nil {
			a.rest(a.s.notReached(err))
			return
		}
		sentAt := time.Now()
		job, failed := a.send()
		if failed != nil {
			if failed.Kind == ErrUnknown && time.Since(sentAt) > a.s.t.io-a.s.t.io/8 { // all of it, not what waiting left
				a.s.silent(turn)
			}
			a.rest(failed)
			return
		}
		worst := a.take(job, turn)
		if len(a.left) == 0 {
			return
		}
		if worst == nil {
			continue // scripts that the server lacked
		}
		a.s.counts.retries.Add(1)
		if a.s.blame(turn, worst) {
			continue // the gate knows when
		}
		if !a.sleep(pause) {
			a.rest(worst)
			return
		}
		pause = min(2*pause, lastPause)
	}
}

// send makes one attempt at the commands that are left. An error says that there is no
// answer to any.
func (a *attempts) send() (*sent, *Error) {
	places := a.s.places(&a.cs[a.first()])
	select {
	case places <- struct{}{}:
	default:
		if err := a.queue(places); err != nil {
			return nil, err
		}
	}
	a.sends++
	a.s.underWay.Add(1)
	made, open := a.s.dial.connections()
	job := a.spare
	if a.spare = nil; job == nil {
		job = &sent{done: make(chan struct{}, 1)}
	}
	job.cs, job.places = a.cs, places
	if a.left != nil {
		job.cs = make([]Cmd, len(a.left))
		for i, at := range a.left {
			job.cs[i] = a.cs[at]
		}
	}
	if a.batched {
		a.s.batches.add(job)
	} else {
		go a.s.alone(job)
	}
	var err error
	select {
	case <-job.done:
		return job, nil
	case <-a.ctx.Done():
		err = a.ctx.Err()
	case <-a.late:
		err = errLate
	}
	select { // what is there counts, however late it is
	case <-job.done:
		return job, nil
	default:
	}
	if a.batched && a.s.batches.withdraw(job) {
		return nil, a.s.unavailable(ReasonTimeout, err) // nothing was sent
	}
	// Why in this order: a connection that is made after the look finds that nobody waits.
	job.left.Store(true)
	if now, _ := a.s.dial.connections(); open == 0 && now == made {
		return nil, a.s.unavailable(ReasonTimeout, err) // there was nothing to send it on
	}
	return nil, &Error{Kind: ErrUnknown, Reason: ReasonTimeout, Shard: a.s.name, Err: err}
}

// queue waits for a place.
func (a *attempts) queue(places chan struct{}) *Error {
	select {
	case places <- struct{}{}:
		return nil
	case <-a.ctx.Done():
		return a.s.unavailable(ReasonTimeout, a.ctx.Err())
	case <-a.late:
		return a.s.unavailable(ReasonTimeout, errLate)
	case <-a.s.closed:
		return a.s.unavailable(ReasonClosed, errClosed)
	}
}

// alone makes an attempt that does not go with others. It is a goroutine.
func (s *Shard) alone(j *sent) {
	j.do(s.use())
	s.ended(j)
}

// first returns which of the commands that are left is the first.
func (a *attempts) first() int {
	if a.left == nil {
		return 0
	}
	return a.left[0]
}

// do sends the commands. Those without keys go one by one in a Cluster: rueidis refuses
// them among others.
func (j *sent) do(client rueidis.Client) {
	ctx := sending{context.Background(), []*sent{j}}
	if len(j.cs) == 1 {
		j.results = []rueidis.RedisResult{client.Do(ctx, j.cs[0].build(client))}
		return
	}
	keyless := false
	all := make([]rueidis.Completed, len(j.cs))
	for i := range j.cs {
		all[i] = j.cs[i].build(client)
		keyless = keyless || len(j.cs[i].Keys) == 0
	}
	if keyless && client.Mode() == rueidis.ClientModeCluster {
		j.results = make([]rueidis.RedisResult, len(all))
		for i, c := range all {
			j.results[i] = client.Do(ctx, c)
		}
		return
	}
	j.results = client.DoMulti(ctx, all...)
}

// take gives the commands their replies, and keeps those to try again in left. It
// returns the error of one of them that time may cure.
func (a *attempts) take(job *sent, turn uint64) (worst *Error) {
	var left []int
	for i := range job.results {
		at := i
		if a.left != nil {
			at = a.left[i]
		}
		c := &a.cs[at]
		m, failure := job.results[i].ToMessage()
		err := a.s.classify(failure)
		switch {
		case err == nil:
			a.out[at] = Reply{m: m}
			continue
		case c.script != nil && !c.full && strings.HasPrefix(err.Err.Error(), "NOSCRIPT"):
			c.full = true
			left = append(left, at)
			continue
		case err.again(), err.Reason == ReasonBroken && c.Again:
			worst = err
			c.doubt = c.doubt || err.Kind == ErrUnknown
			left = append(left, at)
		case err.Kind == ErrUnknown:
			a.s.blame(turn, err)
		}
		a.s.counted(err)
		a.s.advise(c, err)
		a.out[at] = Reply{err: told(err, c)}
	}
	a.left = left
	return worst
}

// rest gives the commands that are left an error: err, or what their latest attempt
// ended with.
func (a *attempts) rest(err *Error) {
	if a.left == nil {
		for i := range a.cs {
			a.out[i] = Reply{err: a.s.counted(told(err, &a.cs[i]))}
		}
		return
	}
	for _, at := range a.left {
		if a.out[at].err == nil || err.Kind == ErrUnknown {
			a.out[at] = Reply{err: a.s.counted(told(err, &a.cs[at]))}
			continue
		}
		var latest *Error
		if errors.As(a.out[at].err, &latest) {
			a.out[at].err = told(latest, &a.cs[at])
		}
	}
}

// told returns err as it is for a command: with one that reads nothing happened; what an
// attempt before left unknown, one that certainly did nothing does not make known.
func told(err *Error, c *Cmd) *Error {
	kind := err.Kind
	switch {
	case c.Reads && kind == ErrUnknown:
		kind = ErrUnavailable
	case c.doubt && !c.Reads && kind == ErrUnavailable:
		kind = ErrUnknown
	default:
		return err
	}
	e := *err
	e.Kind = kind
	return &e
}

// sleep waits for about d; false: the deadline comes first.
func (a *attempts) sleep(d time.Duration) bool {
	t := time.NewTimer(d/2 + rand.N(d))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-a.ctx.Done():
	case <-a.late:
	case <-a.s.closed:
	}
	return false
}

// blame shuts the gate where an error says that the connection, or the server behind it,
// is not what we need; it reports whether it did. In a Cluster the others go on.
func (s *Shard) blame(turn uint64, err *Error) bool {
	if s.Cluster() {
		return false
	}
	switch err.Reason {
	case ReasonReadonly, ReasonDial, ReasonSentinel, ReasonBroken, ReasonAuth, ReasonTopology, ReasonVersion, ReasonTLS:
	default:
		return false
	}
	s.gate.shut(turn, err)
	if err.Reason == ReasonReadonly {
		s.dial.drop("") // the next dial looks for the master
	}
	return true
}

// silent is for servers that did not answer within the io_timeout: the connection is
// given up, so that nobody waits behind it.
func (s *Shard) silent(turn uint64) {
	if s.Cluster() {
		return
	}
	s.gate.shut(turn, s.unavailable(ReasonTimeout, errors.New("no answer within the io_timeout")))
	s.dial.drop("")
}

// dialFor is the dialer as rueidis calls it.
func (s *Shard) dialFor(ctx context.Context, addr string, _ *net.Dialer, _ *tls.Config) (net.Conn, error) {
	s.counts.dials.Add(1)
	conn, err := s.dial.forCommands(ctx, addr)
	if err != nil {
		s.counts.dialErrors.Add(1)
	}
	return conn, err
}

// places returns where commands under way take their place: each master of a Cluster
// has its own, so that one that is silent holds up no other.
func (s *Shard) places(c *Cmd) chan struct{} {
	if !s.Cluster() {
		return s.place
	}
	addr := ""
	if len(c.Keys) > 0 {
		addr = s.dial.cluster.owner(c.Keys[0])
	}
	if places, ok := s.placesOf.Load(addr); ok {
		return places.(chan struct{})
	}
	places, _ := s.placesOf.LoadOrStore(addr, make(chan struct{}, mostUnderWay))
	return places.(chan struct{})
}
