//go:build linux

package fanout

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"sluice/bench/load"
	"sluice/bench/proc"
	"sluice/bench/rig"
)

// source makes messages appear on streams: a server through its API, or the
// floor. One goroutine at a time.
type source interface {
	Prepare(ctx context.Context) error      // before a round, not measured
	Start(ctx context.Context, n int) error // begin n messages, do not wait for delivery
	Finish() error                          // everything started was acknowledged
	Sent() []uint32                         // messages sent so far, per publisher
	CPU() (time.Duration, error)            // CPU time so far; proc.ErrNoPID where unknown
}

// side is who takes turns, a server or the floor, with the streams that listen
// to it.
type side struct {
	name   string
	source source
	host   *rig.Host
	client *load.Client
	parts  []*deliveries // per worker
	goal   *load.Goal
	each   int64        // streams that get a message
	own    *ownChannels // each stream has a channel of its own
	empty  *proc.Memory
}

// newSide returns a side whose messages go to each streams.
func newSide(name string, s source, each int) *side {
	return &side{name: name, source: s, goal: load.NewGoal(), each: int64(each)}
}

// handler makes the handler of the next worker.
func (s *side) handler(i int) load.Handler {
	d := newDeliveries(s.goal, len(s.source.Sent()))
	if s.own != nil {
		own := *s.own
		own.first, _ = load.Share(own.channels, own.workers, i)
		d.own = &own
	}
	s.parts = append(s.parts, d)
	return d
}

// takeTurns runs a warm-up and then the rounds; who goes first alternates, so
// that a drift of the machine favours nobody.
func takeTurns(ctx context.Context, f *Flags, r *rig.Rig, sides []*side, report *Report) error {
	for round := range f.Rounds + 1 {
		messages := f.Messages
		if round == 0 {
			messages = max(1, messages/10)
		}
		for i := range sides {
			s := sides[(i+round)%len(sides)]
			r.Progress.Show(func() string {
				return fmt.Sprintf("round %d of %d, %s: %d of %d deliveries", round, f.Rounds, s.name,
					s.goal.Arrived.Load()-s.goal.From.Load(), s.each*int64(messages))
			})
			res, lag, err := s.run(ctx, f, messages)
			if err != nil {
				return fmt.Errorf("bench: round %d of the %s: %w", round, s.name, err)
			}
			if res.Round = round; round > 0 {
				report.add(res, lag)
			} else {
				report.WarmUp.add(res)
			}
		}
	}
	report.sumUp()
	return nil
}

// begin resets the counters of all workers for what is sent from here on.
func (s *side) begin() {
	sent := s.source.Sent()
	s.client.OnWorkers(func(i int) { s.parts[i].begin(sent) })
}

// run is one side's turn. It returns the lags of all deliveries too.
func (s *side) run(ctx context.Context, f *Flags, messages int) (res roundResult, lag *hdrhistogram.Histogram, err error) {
	res = roundResult{Side: s.name, peer: s.host != nil && s.name != rig.OurSide}
	if err := s.source.Prepare(ctx); err != nil {
		return res, nil, err
	}
	s.begin()
	s.goal.From.Store(s.goal.Arrived.Load())
	own0 := proc.OwnCPU()
	cpu0, cpuErr := s.source.CPU()
	if cpuErr != nil && !errors.Is(cpuErr, proc.ErrNoPID) {
		return res, nil, cpuErr
	}
	begin := time.Now()
	if err := s.play(ctx, f, messages); err != nil {
		return res, nil, err
	}
	elapsed := time.Since(begin)
	if cpuErr == nil {
		cpu1, err := s.source.CPU()
		if err != nil {
			return res, nil, err
		}
		res.cpu = cpu1 - cpu0
		res.cpuKnown = true
	}
	own := proc.OwnCPU() - own0

	all := newArrivals(len(s.source.Sent()))
	sent := s.source.Sent()
	s.client.OnWorkers(func(i int) {
		s.parts[i].settle(sent)
		all.take(s.parts[i])
	})
	res.fill(all, elapsed, own)
	if fl, ok := s.source.(*rig.Floor); ok {
		res.Again = fl.Again()
	}
	if err := s.client.Err(); err != nil {
		return res, nil, fmt.Errorf("%d of %d streams were closed and %d deliveries lost, the first because: %w", s.client.Closed.Load(), s.client.Opened.Load(), res.Lost, err)
	}
	return res, all.lag, nil
}

// runAs is a turn in another pattern than the flags say.
func (s *side) runAs(ctx context.Context, f *Flags, p Pattern, messages int) (roundResult, *hdrhistogram.Histogram, error) {
	other := *f
	other.Pattern = string(p)
	return s.run(ctx, &other, messages)
}

// play sends the messages in the pattern and waits for their delivery. A
// delivery that does not come is no error here; settle counts it.
func (s *side) play(ctx context.Context, f *Flags, messages int) error {
	switch Pattern(f.Pattern) {
	case PatternClosed:
		for range messages {
			s.goal.Expect(s.each)
			if err := s.source.Start(ctx, 1); err != nil {
				return err
			}
			arrived := s.goal.Wait(ctx, f.Quiet)
			if err := s.source.Finish(); err != nil || !arrived {
				return errors.Join(err, ctx.Err())
			}
		}
		return nil
	case PatternPaced:
		s.goal.Expect(s.each * int64(messages))
		if err := s.pace(ctx, f.Rate, messages); err != nil {
			return err
		}
	default:
		s.goal.Expect(s.each * int64(messages))
		if err := s.source.Start(ctx, messages); err != nil {
			return err
		}
	}
	if err := s.source.Finish(); err != nil {
		return err
	}
	s.goal.Wait(ctx, f.Quiet)
	return ctx.Err()
}

// pace starts messages on a fixed schedule, however late the last one was.
func (s *side) pace(ctx context.Context, rate float64, messages int) error {
	begin := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i := range messages {
		timer.Reset(time.Until(begin.Add(time.Duration(float64(i) / rate * float64(time.Second)))))
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := s.source.Start(ctx, 1); err != nil {
			return err
		}
	}
	return nil
}
