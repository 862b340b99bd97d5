package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"sluice/gateway/advice"
	"sluice/gateway/broker"
	"sluice/gateway/pause"
	rds "sluice/gateway/redis"
)

// prober tries again and again whether a shard takes writes and delivers. Why not a ping: a
// server that became a replica answers one, and what is published may stay where it is.
type prober struct {
	// Immutable after init.
	link *link

	// Guarded by mu.
	mu     sync.Mutex
	worked time.Time // when the last one began that worked; zero before the first
	err    error     // of the last one
	turn   int
}

const (
	// probeTags is how many slots of a Cluster are written to in turn, probeEach how
	// many at once.
	probeTags, probeEach = 32, 4
	// probeTTL is how long a probe's key lives, in seconds.
	probeTTL = "60"
)

func (p *prober) init(l *link) { p.link = l }

func (p *prober) run(ctx context.Context) {
	opt := &p.link.engine.opt
	for {
		began := time.Now()
		err := p.once(ctx, opt.ProbeLate)
		if ctx.Err() != nil {
			return
		}
		p.took(began, err)
		p.link.report()
		if !pause.For(ctx, opt.ProbeEvery) {
			return
		}
	}
}

// once writes, and waits for a marker to come back.
func (p *prober) once(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for _, r := range p.link.shard.DoMulti(ctx, p.writes()...) {
		if err := r.Err(); err != nil {
			return fmt.Errorf("write: %w", err)
		}
	}
	if err := p.link.marker(ctx); err != nil {
		return fmt.Errorf("delivery: %w", err)
	}
	return nil
}

// writes are the commands of one probe: in a Cluster into several slots. They are publications
// in channels of its own: what may fail of a publish fails here, scripts that the user may not
// run and commands in them too.
func (p *prober) writes() []rds.Cmd {
	if !p.link.shard.Cluster() {
		return []rds.Cmd{p.write("")}
	}
	cmds := make([]rds.Cmd, probeEach)
	for i := range cmds {
		p.turn = (p.turn + 1) % probeTags // of run only
		cmds[i] = p.write(".{" + strconv.Itoa(p.turn) + "}")
	}
	return cmds
}

func (p *prober) write(tag string) rds.Cmd {
	e, name := p.link.engine, p.link.keys.Own("probe."+p.link.engine.opt.Node)
	keys := []string{name + tag, name + ".meta" + tag}
	if e.opt.Lists {
		return publishList.Cmd(keys, "", "1", probeTTL, name+tag, probeTTL, "probe", p.link.publishName(), "0").Reading()
	}
	return publishStream.Cmd(keys, "", "1", probeTTL, name+tag, probeTTL, "probe", p.link.publishName(), "0", "", "0", "").Reading()
}

// took records the outcome of a probe.
func (p *prober) took(began time.Time, err error) {
	l := p.link
	p.mu.Lock()
	last, failed := p.worked, p.err
	p.err = err
	if err == nil {
		p.worked = began
	}
	p.mu.Unlock()
	switch {
	case err != nil:
		l.stats.probesFailed.Add(1)
		l.engine.calls.failed(err)
		if failed == nil {
			l.engine.opt.Log.Warn("redis: what is written does not come back", "shard", l.shard.Name(), "error", err, "remedy", advice.Remedy(err, advice.Away))
		}
		return
	case failed != nil:
		l.engine.opt.Log.Info("redis: what is written comes back again", "shard", l.shard.Name())
	}
	l.engine.calls.took(callProbe, time.Since(began))
	// Masters of a Cluster pass publications to each other by connections of their own, whose
	// losses no reader sees.
	if l.shard.Cluster() && !last.IsZero() && began.Sub(last) > l.engine.opt.ProbeLate {
		l.follower.DoubtAll(func(int) bool { return true })
	}
}

// age is how long ago the last probe began that worked.
func (p *prober) age(now time.Time) (age time.Duration, ever bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return now.Sub(p.worked), !p.worked.IsZero(), p.err
}

func (p *prober) ready(now time.Time) error {
	age, ever, err := p.age(now)
	const remedy = "see that this server is the master, takes writes, and is not overloaded"
	switch {
	case !ever:
		return notReady(p.link, "nothing was written and delivered yet", remedy, err)
	case age > p.link.engine.opt.ProbeLate:
		return notReady(p.link, fmt.Sprintf("nothing was written and delivered for %v", age.Round(100*time.Millisecond)), remedy, err)
	}
	return nil
}

// unready says what is wrong with a shard, why, and what to do. It wraps
// broker.ErrUnavailable.
type unready struct {
	shard, what, remedy string
	err                 error // nil for none
}

// notReady makes an error of a link; remedy is where err has none of its own.
func notReady(l *link, what, remedy string, err error) error {
	return &unready{l.shard.Name(), what, advice.Remedy(err, remedy), err}
}

// Error implements error. It names the shard once.
func (u *unready) Error() string {
	why := ""
	if u.err != nil {
		why = ": " + u.err.Error()
		var of *rds.Error
		if errors.As(u.err, &of) {
			why = strings.Replace(why, of.Error(), fmt.Sprintf("%s: %v", of.Reason, of.Err), 1)
		}
	}
	return fmt.Sprintf("redis: shard %s: %s%s (%s)", u.shard, u.what, why, u.remedy)
}

// Unwrap implements errors.Unwrap for the kind and the cause.
func (u *unready) Unwrap() []error { return []error{broker.ErrUnavailable, u.err} }
