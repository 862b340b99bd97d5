//go:build linux

package open

import (
	"context"
	"errors"
	"time"

	"sluice/bench/load"
	"sluice/bench/proc"
)

// turn publishes, waits until every stream that is open has every acknowledged
// message, and tells what happened. It gives up when nothing arrives for the
// time of quiet.
func (x *opens) turn(ctx context.Context, kind string, round, messages int) (turn openTurn, err error) {
	turn = openTurn{Kind: kind, Round: round, Streams: x.reading, Messages: messages}
	if err := x.pubs.Prepare(ctx); err != nil {
		return turn, err
	}
	sent := x.pubs.Sent()
	x.client.OnWorkers(func(i int) { x.parts[i].begin(sent) })
	x.goal.From.Store(x.goal.Arrived.Load())
	peak, err := proc.WatchPeak(x.r.Target.PIDs)
	if err != nil {
		return turn, err
	}
	cpu0, err := x.pubs.CPU()
	if err != nil {
		return turn, err
	}
	begin := time.Now()
	var p *load.Poured
	if kind == openLoop {
		if p, err = x.pour(ctx, messages); err == nil {
			turn.AnswerSeconds = time.Since(begin).Seconds()
			err = x.await(ctx, int64(p.Accepted()))
		}
	} else {
		p, err = x.oneByOne(ctx, messages)
	}
	highest, peakErr := peak.End()
	if err = errors.Join(err, peakErr); err != nil {
		return turn, err
	}
	cpu1, err := x.pubs.CPU()
	if err != nil {
		return turn, err
	}
	x.report.PeakHow = peak.How()
	all := newReadersTurn(x.f.Conns)
	accepted := int64(p.Accepted())
	x.client.OnWorkers(func(i int) {
		turn.Lost += x.parts[i].missing(accepted)
		all.take(&x.parts[i].turn)
	})
	turn.fill(x.f, all, p, begin, cpu1-cpu0, highest)
	return turn, x.client.Err()
}

// pour publishes n messages in an open loop, and those that are refused again as
// often as the flags say.
func (x *opens) pour(ctx context.Context, n int) (*load.Poured, error) {
	p, err := x.pubs.Pour(ctx, n)
	for i := 0; i < x.f.retries && err == nil; i++ {
		refused := n - p.Accepted()
		if refused == 0 {
			break
		}
		var more *load.Poured
		if more, err = x.pubs.Pour(ctx, refused); err == nil {
			p.Add(more)
		}
	}
	return p, err
}

// await waits until every open stream has n messages of the turn. Streams that
// get closed meanwhile are not waited for; what does not come is no error here.
func (x *opens) await(ctx context.Context, n int64) error {
	since, seen := time.Now(), x.goal.Arrived.Load()
	for {
		var missing int64
		x.client.OnWorkers(func(i int) { missing += x.parts[i].missing(n) })
		if missing == 0 {
			return nil
		}
		if now := x.goal.Arrived.Load(); now != seen {
			since, seen = time.Now(), now
		} else if time.Since(since) > x.f.Quiet {
			return nil
		}
		x.goal.Expect(missing)
		if _, err := x.glance(ctx); err != nil {
			return err
		}
	}
}

// glance waits until the goal is reached, but no longer than until the readers
// should be asked.
func (x *opens) glance(ctx context.Context) (reached bool, err error) {
	timer := time.NewTimer(openLookMost)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false, ctx.Err()
	case <-x.goal.Reached:
		return true, nil
	case <-timer.C:
		return false, nil
	}
}

// openIdleLooks is how many glances without a delivery make it doubtful that
// more come.
const openIdleLooks = 10

// reach waits until the goal is reached, and returns false where that has become
// doubtful: more streams than closed were closed, or nothing arrives.
//
// Why: to ask the workers takes a wake-up of each and, if what they say is old
// already, a glance, which would count with every message.
func (x *opens) reach(ctx context.Context, closed int64) (bool, error) {
	seen, idle := x.goal.Arrived.Load(), 0
	for idle < openIdleLooks && x.client.Closed.Load() == closed {
		if reached, err := x.glance(ctx); reached || err != nil {
			return reached, err
		}
		if now := x.goal.Arrived.Load(); now != seen {
			seen, idle = now, 0
		} else {
			idle++
		}
	}
	return false, nil
}

// oneByOne publishes n messages in a closed loop, over the first connection.
func (x *opens) oneByOne(ctx context.Context, n int) (*load.Poured, error) {
	p := x.pubs.OneByOne()
	accepted, reading, closed := int64(0), int64(x.reading), x.client.Closed.Load()
	for range n {
		x.goal.Expect(reading)
		answer, err := x.pubs.One()
		if err != nil {
			return nil, err
		}
		if p.Take(answer); answer.Taken {
			accepted++
		}
		if reached, err := x.reach(ctx, closed); err != nil {
			return nil, err
		} else if reached {
			continue
		}
		if err := x.await(ctx, accepted); err != nil {
			return nil, err
		}
		closed = x.client.Closed.Load()
		reading = 0
		x.client.OnWorkers(func(i int) { reading += int64(x.parts[i].open) })
	}
	return p, nil
}
