//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"
)

// resumeFlags are the settings of the resume mode.
type resumeFlags struct {
	commonFlags
	streams, missed, size, rounds int
}

func setupResume(fs *flag.FlagSet) func(ctx context.Context) error {
	f := &resumeFlags{}
	f.register(fs)
	fs.IntVar(&f.streams, "streams", 10_000, "streams, all on one recoverable channel")
	fs.IntVar(&f.missed, "missed", 20, "messages that are published while nobody is connected")
	fs.IntVar(&f.size, "size", 128, "bytes of JSON data per message")
	fs.IntVar(&f.rounds, "rounds", 5, "rounds, in each of which streams come back with and without Last-Event-ID")
	return func(ctx context.Context) error {
		return f.conclude(runResume(ctx, f))
	}
}

// maxMissed is the default of client.recovery_max_publication_limit: a server
// recovers no more for one channel.
const maxMissed = 300

// resumeInFlight bounds the publications in flight.
const resumeInFlight = 16

func (f *resumeFlags) check() error {
	if f.streams < 1 || f.rounds < 1 {
		return errors.New("bench: -streams and -rounds should be above zero")
	}
	if f.missed < 1 || f.missed > maxMissed {
		return fmt.Errorf("bench: -missed should be 1 to %d, what a server recovers by default, not %d", maxMissed, f.missed)
	}
	return nil
}

// The two ways in which the streams of a turn connect.
const (
	sideResume = "resume" // with the last event id that they saw
	sidePlain  = "plain"  // without
)

// resumes runs the turns of a resume mode. Every turn does the same, but for
// the header: messages are published while nobody is connected, all streams
// connect, one more message is published, all streams leave.
type resumes struct {
	f      *resumeFlags
	r      *rig
	pubs   *publishers
	ids    []string // last event ids, by stream
	source int      // next group of source addresses
}

func runResume(ctx context.Context, f *resumeFlags) (*resumeReport, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	f.own.recoverable = true
	return withRig(ctx, &f.commonFlags, f.streams+64, func(r *rig) (*resumeReport, error) {
		if len(r.target.pids) == 0 {
			return nil, errNoPID
		}
		return resume(ctx, f, r)
	})
}

// resume lets the two ways to connect take turns; who goes first alternates.
func resume(ctx context.Context, f *resumeFlags, r *rig) (*resumeReport, error) {
	x := &resumes{f: f, r: r}
	var err error
	if x.pubs, err = r.publishers(ctx, &r.host, publishing{conns: 1, inFlight: resumeInFlight, size: f.size}); err != nil {
		return nil, err
	}
	report := newResumeReport(f, r)
	// The first turn warms up, and lets the streams see an id.
	if report.WarmUp, err = x.turn(ctx, sidePlain, 0); err != nil {
		return nil, fmt.Errorf("bench: warm-up: %w", err)
	}
	for round := 1; round <= f.rounds; round++ {
		sides := []string{sideResume, sidePlain}
		if round%2 == 0 {
			sides = []string{sidePlain, sideResume}
		}
		for _, side := range sides {
			turn, err := x.turn(ctx, side, round)
			if err != nil {
				return nil, fmt.Errorf("bench: round %d, %s: %w", round, side, err)
			}
			report.Turns = append(report.Turns, turn)
		}
	}
	report.sumUp()
	return report, nil
}

// turn is one storm: what it cost, and what the streams got.
func (x *resumes) turn(ctx context.Context, side string, round int) (turn resumeTurn, err error) {
	turn = resumeTurn{Side: side, Round: round, Streams: x.f.streams}
	x.r.progress.say("round %d of %d, %s: publishing while nobody is connected", round, x.f.rounds, side)
	first := x.pubs.sent()[0]
	if err := x.publish(ctx, x.f.missed); err != nil {
		return turn, err
	}
	if side == sideResume {
		turn.Expected = int64(x.f.missed) * int64(x.f.streams)
	} else {
		first = x.pubs.sent()[0]
	}
	requests, err := x.requests(side)
	if err != nil {
		return turn, err
	}
	s := &storm{goal: newGoal()}
	s.client, err = x.r.newClientOf(&x.r.host, requests, x.source, func(int) eventHandler {
		d := newResumer(s.goal, x.r.target.channel, first)
		s.parts = append(s.parts, d)
		return d
	})
	if err != nil {
		return turn, err
	}
	x.source += sourcesOf(len(requests))
	x.r.progress.show(func() string {
		return fmt.Sprintf("round %d of %d, %s: %d of %d streams open", round, x.f.rounds, side, s.client.opened.Load(), len(requests))
	})
	err = x.measure(ctx, s, &turn)
	s.client.close()
	if err == nil {
		err = x.r.target.awaitNobody(ctx, x.f.quiet)
	}
	return turn, err
}

// storm is a client of one turn.
type storm struct {
	client *client
	parts  []*resumer // per worker
	goal   *goal
}

// measure connects all streams, and then publishes one message more, so that
// the id they leave with came with an event.
func (x *resumes) measure(ctx context.Context, s *storm, turn *resumeTurn) error {
	cpu0, err := restedCPU(ctx, x.r.target.pids, x.f.quiet)
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := s.client.open(ctx, x.f.streams, x.f.quiet); err != nil {
		return err
	}
	turn.Seconds = time.Since(begin).Seconds()
	cpu1, err := restedCPU(ctx, x.r.target.pids, x.f.quiet)
	if err != nil {
		return err
	}
	s.client.onWorkers(func(i int) { s.parts[i].live = true })
	s.goal.expect(int64(x.f.streams))
	if err := x.publish(ctx, 1); err != nil {
		return err
	}
	// A message that does not come is counted as lost.
	s.goal.wait(ctx, x.f.quiet)
	x.ids = nil
	var got resumeCount
	sent := x.pubs.sent()[0]
	s.client.onWorkers(func(i int) {
		s.parts[i].settle(sent)
		got.add(s.parts[i].count)
		// Workers hold consecutive streams, in the order of the workers.
		x.ids = append(x.ids, s.parts[i].lastIDs()...)
	})
	turn.fill(got, cpu1-cpu0)
	if err := s.client.err(); err != nil {
		return fmt.Errorf("%d of %d streams were closed, the first because: %w", s.client.closed.Load(), x.f.streams, err)
	}
	return ctx.Err()
}

// publish publishes n messages, and returns when all were answered.
func (x *resumes) publish(ctx context.Context, n int) error {
	if err := x.pubs.prepare(ctx); err != nil {
		return err
	}
	defer x.pubs.close()
	if err := x.pubs.start(ctx, n); err != nil {
		return err
	}
	return x.pubs.finish()
}

// requests are those of all streams, user by user the same in every turn.
func (x *resumes) requests(side string) ([][]byte, error) {
	requests := make([][]byte, x.f.streams)
	for i := range requests {
		token, err := x.r.target.token(i)
		if err != nil {
			return nil, err
		}
		id := ""
		if side == sideResume {
			if id = x.ids[i]; id == "" {
				return nil, fmt.Errorf("bench: stream %d has seen no id: line to resume from; its channel should be recoverable (force_recovery, history_size, history_ttl)", i)
			}
		}
		if requests[i], err = x.r.target.request(x.r.streamURL, token, id); err != nil {
			return nil, err
		}
	}
	return requests, nil
}
