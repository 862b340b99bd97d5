package metrics

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"
)

// collector implements prometheus.Collector over one reading of the source for
// each scrape.
type collector struct {
	// Immutable after newCollector.
	source     Source
	wait       time.Duration
	usersEvery time.Duration
	families   []*family
	loops      []*part[LoopState]
	usersOf    []*part[[]uint64]

	// Any goroutine.
	readings singleflight.Group // one at a time: its key is ""

	// Owned by the goroutine whose reading is under way.
	users     int
	usersRead time.Time
	staleLoop uint64
	staleUser uint64
}

func newCollector(opt Options) *collector {
	c := &collector{source: opt.Source, wait: opt.Wait, usersEvery: opt.UsersEvery}
	for _, f := range slices.Concat(referenceFamilies(), ownFamilies()) {
		f.desc = prometheus.NewDesc(opt.Namespace+"_"+f.name, f.help, f.labels, nil)
		c.families = append(c.families, f)
	}
	for i := range opt.Source.Loops() {
		c.loops = append(c.loops, &part[LoopState]{ask: func(done func(LoopState)) { c.source.Loop(i, done) }})
		c.usersOf = append(c.usersOf, &part[[]uint64]{ask: func(done func([]uint64)) { c.source.Users(i, done) }})
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range c.families {
		ch <- f.desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	if err := c.collect(ch); err != nil {
		ch <- prometheus.NewInvalidMetric(c.families[0].desc, err)
	}
}

func (c *collector) collect(ch chan<- prometheus.Metric) (err error) {
	defer recovered(&err)
	s, err := c.read()
	if err != nil {
		return err
	}
	for _, f := range c.families {
		f.read(s, &emitter{family: f, out: ch})
	}
	return nil
}

// recovered makes a panic an error: the library collects on goroutines of its own,
// where it would end the process. It is deferred.
func recovered(err *error) {
	if v := recover(); v != nil {
		*err = fmt.Errorf("metrics: panic: %v", v)
	}
}

// read returns the state, that of a reading under way if there is one.
func (c *collector) read() (*state, error) {
	v, err, _ := c.readings.Do("", func() (v any, err error) {
		defer recovered(&err) // Do would add a stack, which is not for those who scrape
		return c.readNow(), nil
	})
	if err != nil {
		return nil, err
	}
	return v.(*state), nil
}

// readNow asks everybody, then waits for all of them at once.
func (c *collector) readNow() *state {
	s := &state{at: time.Now()}
	deadline := time.NewTimer(c.wait)
	defer deadline.Stop()
	s.Node = c.source.Node() // before the questions, which are in the backlog
	for _, p := range c.loops {
		p.request()
	}
	countUsers := c.usersRead.IsZero() || s.at.Sub(c.usersRead) >= c.usersEvery
	if countUsers {
		for _, p := range c.usersOf {
			p.request()
		}
	}
	expired := false
	for _, p := range c.loops {
		ls, fresh := p.collect(deadline.C, &expired)
		if !fresh {
			c.staleLoop++
		}
		s.Loop.Add(&ls.Loop)
		s.Shard.Merge(&ls.Shard)
		s.LoopState.Sessions.Merge(&ls.Sessions)
	}
	if countUsers {
		c.countUsers(deadline.C, &expired)
		c.usersRead = s.at
	}
	s.users = c.users
	s.stale = map[string]uint64{"loop": c.staleLoop, "users": c.staleUser}
	return s
}

// countUsers counts each user once, on whatever loops it has sessions.
func (c *collector) countUsers(deadline <-chan time.Time, expired *bool) {
	var all []uint64
	for _, p := range c.usersOf {
		hashes, fresh := p.collect(deadline, expired)
		if !fresh {
			c.staleUser++
		}
		all = append(all, hashes...)
	}
	slices.Sort(all)
	c.users = len(slices.Compact(all))
}

// part is something that one turn owns, and what it said of it last.
type part[T any] struct {
	// Immutable after newCollector.
	ask func(done func(T))

	// Guarded by mu.
	mu   sync.Mutex
	last T
	due  chan struct{} // closed by the answer; nil if none was asked for
}

// request asks, unless an answer is due already: a turn that is stuck is not
// sent a question with each scrape.
func (p *part[T]) request() {
	p.mu.Lock()
	asked := p.due != nil
	if !asked {
		p.due = make(chan struct{})
	}
	p.mu.Unlock()
	if !asked {
		p.ask(p.answer)
	}
}

func (p *part[T]) answer(v T) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = v
	close(p.due)
	p.due = nil
}

// collect returns the answer to the last request, and whether it came before
// the deadline; otherwise the one before. expired carries from part to part
// that the deadline is over.
func (p *part[T]) collect(deadline <-chan time.Time, expired *bool) (v T, fresh bool) {
	p.mu.Lock()
	due := p.due
	p.mu.Unlock()
	fresh = true
	if due != nil {
		if !*expired {
			select {
			case <-due:
			case <-deadline:
				*expired = true
			}
		}
		select {
		case <-due:
		default:
			fresh = false
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last, fresh
}
