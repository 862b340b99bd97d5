//go:build linux

package resume

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"sluice/bench/load"
	"sluice/bench/proc"
	"sluice/bench/rig"
)

// Flags are the settings of the resume mode.
type Flags struct {
	rig.CommonFlags
	Streams, Missed, Size, Rounds int
}

// Setup declares the flags of the mode resume, and returns what runs it.
func Setup(fs *flag.FlagSet) func(ctx context.Context) error {
	f := &Flags{}
	f.Register(fs)
	fs.IntVar(&f.Streams, "streams", 10_000, "streams, all on one recoverable channel")
	fs.IntVar(&f.Missed, "missed", 20, "messages that are published while nobody is connected")
	fs.IntVar(&f.Size, "size", 128, "bytes of JSON data per message")
	fs.IntVar(&f.Rounds, "rounds", 5, "rounds, in each of which streams come back with and without Last-Event-ID")
	return func(ctx context.Context) error {
		return f.Conclude(Run(ctx, f))
	}
}

// maxMissed is the default of client.recovery_max_publication_limit: a server
// recovers no more for one channel.
const maxMissed = 300

// resumeInFlight bounds the publications in flight.
const resumeInFlight = 16

func (f *Flags) check() error {
	if f.Streams < 1 || f.Rounds < 1 {
		return errors.New("bench: -streams and -rounds should be above zero")
	}
	if f.Missed < 1 || f.Missed > maxMissed {
		return fmt.Errorf("bench: -missed should be 1 to %d, what a server recovers by default, not %d", maxMissed, f.Missed)
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
	f      *Flags
	r      *rig.Rig
	pubs   *load.Publishers
	ids    []string // last event ids, by stream
	source int      // next group of source addresses
}

// Run runs the mode resume.
func Run(ctx context.Context, f *Flags) (*Report, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	f.Own.Recoverable = true
	return rig.With(ctx, &f.CommonFlags, f.Streams+64, func(r *rig.Rig) (*Report, error) {
		if len(r.Target.PIDs) == 0 {
			return nil, proc.ErrNoPID
		}
		return resume(ctx, f, r)
	})
}

// resume lets the two ways to connect take turns; who goes first alternates.
func resume(ctx context.Context, f *Flags, r *rig.Rig) (*Report, error) {
	x := &resumes{f: f, r: r}
	var err error
	if x.pubs, err = r.Publishers(ctx, &r.Host, rig.Publishing{Conns: 1, InFlight: resumeInFlight, Size: f.Size}); err != nil {
		return nil, err
	}
	report := newReport(f, r)
	// The first turn warms up, and lets the streams see an id.
	if report.WarmUp, err = x.turn(ctx, sidePlain, 0); err != nil {
		return nil, fmt.Errorf("bench: warm-up: %w", err)
	}
	for round := 1; round <= f.Rounds; round++ {
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
	turn = resumeTurn{Side: side, Round: round, Streams: x.f.Streams}
	x.r.Progress.Say("round %d of %d, %s: publishing while nobody is connected", round, x.f.Rounds, side)
	first := x.pubs.Sent()[0]
	if err := x.publish(ctx, x.f.Missed); err != nil {
		return turn, err
	}
	if side == sideResume {
		turn.Expected = int64(x.f.Missed) * int64(x.f.Streams)
	} else {
		first = x.pubs.Sent()[0]
	}
	requests, err := x.requests(side)
	if err != nil {
		return turn, err
	}
	s := &storm{goal: load.NewGoal()}
	s.client, err = x.r.NewClientOf(&x.r.Host, requests, x.source, func(int) load.Handler {
		d := newResumer(s.goal, x.r.Target.Channel, first)
		s.parts = append(s.parts, d)
		return d
	})
	if err != nil {
		return turn, err
	}
	x.source += load.SourcesOf(len(requests))
	x.r.Progress.Show(func() string {
		return fmt.Sprintf("round %d of %d, %s: %d of %d streams open", round, x.f.Rounds, side, s.client.Opened.Load(), len(requests))
	})
	err = x.measure(ctx, s, &turn)
	s.client.Close()
	if err == nil {
		err = x.r.Target.AwaitNobody(ctx, x.f.Quiet)
	}
	return turn, err
}

// storm is a client of one turn.
type storm struct {
	client *load.Client
	parts  []*resumer // per worker
	goal   *load.Goal
}

// measure connects all streams, and then publishes one message more, so that
// the id they leave with came with an event.
func (x *resumes) measure(ctx context.Context, s *storm, turn *resumeTurn) error {
	cpu0, err := proc.RestedCPU(ctx, x.r.Target.PIDs, x.f.Quiet)
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := s.client.Open(ctx, x.f.Streams, x.f.Quiet); err != nil {
		return err
	}
	turn.Seconds = time.Since(begin).Seconds()
	cpu1, err := proc.RestedCPU(ctx, x.r.Target.PIDs, x.f.Quiet)
	if err != nil {
		return err
	}
	s.client.OnWorkers(func(i int) { s.parts[i].live = true })
	s.goal.Expect(int64(x.f.Streams))
	if err := x.publish(ctx, 1); err != nil {
		return err
	}
	// A message that does not come is counted as lost.
	s.goal.Wait(ctx, x.f.Quiet)
	x.ids = nil
	var got resumeCount
	sent := x.pubs.Sent()[0]
	s.client.OnWorkers(func(i int) {
		s.parts[i].settle(sent)
		got.add(s.parts[i].count)
		// Workers hold consecutive streams, in the order of the workers.
		x.ids = append(x.ids, s.parts[i].lastIDs()...)
	})
	turn.fill(got, cpu1-cpu0)
	if err := s.client.Err(); err != nil {
		return fmt.Errorf("%d of %d streams were closed, the first because: %w", s.client.Closed.Load(), x.f.Streams, err)
	}
	return ctx.Err()
}

// publish publishes n messages, and returns when all were answered.
func (x *resumes) publish(ctx context.Context, n int) error {
	if err := x.pubs.Prepare(ctx); err != nil {
		return err
	}
	defer x.pubs.Close()
	if err := x.pubs.Start(ctx, n); err != nil {
		return err
	}
	return x.pubs.Finish()
}

// requests are those of all streams, user by user the same in every turn.
func (x *resumes) requests(side string) ([][]byte, error) {
	requests := make([][]byte, x.f.Streams)
	for i := range requests {
		token, err := x.r.Target.Token(i)
		if err != nil {
			return nil, err
		}
		id := ""
		if side == sideResume {
			if id = x.ids[i]; id == "" {
				return nil, fmt.Errorf("bench: stream %d has seen no id: line to resume from; its channel should be recoverable (force_recovery, history_size, history_ttl)", i)
			}
		}
		if requests[i], err = x.r.Target.Request(x.r.StreamURL, token, id); err != nil {
			return nil, err
		}
	}
	return requests, nil
}
