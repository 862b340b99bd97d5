//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// pattern is how messages follow each other.
type pattern string

const (
	patternClosed pattern = "closed" // publish one, wait until every stream has it, next
	patternBurst  pattern = "burst"  // as many in flight as -in-flight says
	patternPaced  pattern = "paced"  // so many per second, whatever the answers do
)

// defaultMessages per round: a few seconds each on a small machine.
var defaultMessages = map[pattern]int{patternClosed: 300, patternBurst: 1000, patternPaced: 100}

// fanOutFlags are the settings of the fan-out mode, as reported.
type fanOutFlags struct {
	commonFlags
	streams, size, messages, rounds int
	conns, inFlight                 int
	rate                            float64
	pattern                         string
	floor                           bool
}

func setupFanOut(fs *flag.FlagSet) func(ctx context.Context) error {
	f := &fanOutFlags{}
	f.register(fs)
	fs.IntVar(&f.streams, "streams", 1000, "open streams, all on one channel")
	fs.IntVar(&f.size, "size", 128, "bytes of JSON data per message")
	fs.IntVar(&f.messages, "messages", 0, "messages per round (default: 300 closed, 1000 burst, 100 paced)")
	fs.IntVar(&f.rounds, "rounds", 5, "rounds, in each of which server and floor take a turn")
	fs.StringVar(&f.pattern, "pattern", string(patternClosed), "closed, burst or paced")
	fs.Float64Var(&f.rate, "rate", 20, "messages per second of the paced pattern")
	fs.IntVar(&f.conns, "conns", 16, "publishing connections of the burst pattern")
	fs.IntVar(&f.inFlight, "in-flight", 256, "publications in flight in the burst pattern, over all connections")
	fs.BoolVar(&f.floor, "floor", true, "take turns with the floor program")
	return func(ctx context.Context) error {
		r, err := runFanOut(ctx, f)
		if err != nil {
			return err
		}
		if err := writeReport(os.Stdout, r, f.asJSON); err != nil {
			return err
		}
		return r.verdict()
	}
}

func (f *fanOutFlags) check() error {
	p := pattern(f.pattern)
	if _, ok := defaultMessages[p]; !ok {
		return fmt.Errorf("bench: -pattern should be closed, burst or paced, not %q", f.pattern)
	}
	if f.messages == 0 {
		f.messages = defaultMessages[p]
	}
	if f.streams < 1 || f.messages < 1 || f.rounds < 1 || f.rate <= 0 {
		return errors.New("bench: -streams, -messages, -rounds and -rate should be above zero")
	}
	return nil
}

// source makes messages appear on streams: a server through its API, or the
// floor. One goroutine at a time.
type source interface {
	prepare(ctx context.Context) error      // before a round, not measured
	start(ctx context.Context, n int) error // begin n messages, do not wait for delivery
	finish() error                          // everything started was acknowledged
	sent() []uint32                         // messages sent so far, per publisher
	cpu() (time.Duration, error)            // CPU time so far; errNoPID where unknown
}

// side is the server or the floor with the streams that listen to it.
type side struct {
	name   string
	source source
	client *client
	parts  []*deliveries // per worker
	goal   *goal
}

func newSide(name string, s source) *side { return &side{name: name, source: s, goal: newGoal()} }

// handler makes the handler of the next worker.
func (s *side) handler(int) eventHandler {
	d := newDeliveries(s.goal, len(s.source.sent()))
	s.parts = append(s.parts, d)
	return d
}

func runFanOut(ctx context.Context, f *fanOutFlags) (*fanOutReport, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	sides := 1
	if f.floor {
		sides = 2
	}
	r, err := newRig(ctx, &f.commonFlags, f.streams*sides+f.conns+64)
	if err != nil {
		return nil, err
	}
	defer r.close()
	report, err := fanOut(ctx, f, r)
	if ctx.Err() == nil {
		err = r.server.explain(err)
	}
	return report, err
}

// fanOut opens both sides and lets them take turns.
func fanOut(ctx context.Context, f *fanOutFlags, r *rig) (*fanOutReport, error) {
	pubs, err := r.publishers(ctx, &f.commonFlags, f.conns, f.inFlight, f.size)
	if err != nil {
		return nil, err
	}
	defer pubs.close()
	request, err := r.target.streamRequest(r.streamURL, 0)
	if err != nil {
		return nil, err
	}
	wire, err := captureFrame(ctx, r.streams, request, pubs)
	if err != nil {
		return nil, err
	}

	server := newSide("server", pubs)
	if server.client, err = r.newClient(r.streams, f.streams, server.handler); err != nil {
		return nil, err
	}
	defer server.client.close()
	if err := openStreams(ctx, r, server, f.streams); err != nil {
		return nil, err
	}
	sides := []*side{server}
	if f.floor {
		binary, err := buildFloor(ctx, r.dir)
		if err != nil {
			return nil, err
		}
		fl, err := startFloor(ctx, binary, r.dir, wire)
		if err != nil {
			return nil, err
		}
		defer fl.stop()
		floor, err := openFloor(ctx, f, r, fl)
		if err != nil {
			return nil, err
		}
		defer floor.client.close()
		sides = append(sides, floor)
	}
	report := newFanOutReport(f, r, len(wire.frame))
	return report, takeTurns(ctx, f, r, sides, report)
}

// openFloor opens the streams to the floor, with the requests that the server
// got.
func openFloor(ctx context.Context, f *fanOutFlags, r *rig, fl *floor) (*side, error) {
	s := newSide("floor", fl)
	var err error
	if s.client, err = r.newClient(fl.addr, f.streams, s.handler); err != nil {
		return nil, err
	}
	if err = fl.accept(f.streams); err == nil {
		err = openStreams(ctx, r, s, f.streams)
	}
	if err == nil {
		err = fl.accepted()
	}
	if err != nil {
		s.client.close()
		return nil, err
	}
	return s, nil
}

// openStreams opens n streams that expect what is sent from here on.
func openStreams(ctx context.Context, r *rig, s *side, n int) error {
	s.begin()
	r.progress.show(func() string {
		return fmt.Sprintf("%s: %d of %d streams open", s.name, s.client.opened.Load(), n)
	})
	return s.client.open(ctx, n, r.flags.quiet)
}

// takeTurns runs a warm-up and then the rounds; who goes first alternates, so
// that a drift of the machine favours nobody.
func takeTurns(ctx context.Context, f *fanOutFlags, r *rig, sides []*side, report *fanOutReport) error {
	for round := range f.rounds + 1 {
		messages := f.messages
		if round == 0 {
			messages = max(1, messages/10)
		}
		for i := range sides {
			s := sides[(i+round)%len(sides)]
			r.progress.show(func() string {
				return fmt.Sprintf("round %d of %d, %s: %d of %d deliveries", round, f.rounds, s.name,
					s.goal.arrived.Load()-s.goal.from.Load(), f.streams*messages)
			})
			res, err := s.run(ctx, f, messages)
			if err != nil {
				return fmt.Errorf("bench: round %d of the %s: %w", round, s.name, err)
			}
			if res.Round = round; round > 0 {
				report.Rounds = append(report.Rounds, res)
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
	sent := s.source.sent()
	s.client.onWorkers(func(i int) { s.parts[i].begin(sent) })
}

// run is one side's turn.
func (s *side) run(ctx context.Context, f *fanOutFlags, messages int) (roundResult, error) {
	res := roundResult{Side: s.name}
	if err := s.source.prepare(ctx); err != nil {
		return res, err
	}
	s.begin()
	s.goal.from.Store(s.goal.arrived.Load())
	own0 := ownCPU()
	cpu0, cpuErr := s.source.cpu()
	if cpuErr != nil && !errors.Is(cpuErr, errNoPID) {
		return res, cpuErr
	}
	begin := time.Now()
	if err := s.play(ctx, f, messages); err != nil {
		return res, err
	}
	elapsed := time.Since(begin)
	if cpuErr == nil {
		cpu1, err := s.source.cpu()
		if err != nil {
			return res, err
		}
		res.cpu = cpu1 - cpu0
		res.cpuKnown = true
	}
	own := ownCPU() - own0

	all := newArrivals(len(s.source.sent()))
	sent := s.source.sent()
	s.client.onWorkers(func(i int) {
		s.parts[i].settle(sent)
		all.take(s.parts[i])
	})
	res.fill(all, elapsed, own)
	if fl, ok := s.source.(*floor); ok {
		res.Again = fl.done.again
	}
	if err := s.client.err(); err != nil {
		return res, fmt.Errorf("%d of %d streams were closed and %d deliveries lost, the first because: %w", s.client.closed.Load(), f.streams, res.Lost, err)
	}
	return res, nil
}

// play sends the messages in the pattern and waits for their delivery. A
// delivery that does not come is no error here; settle counts it.
func (s *side) play(ctx context.Context, f *fanOutFlags, messages int) error {
	streams := int64(f.streams)
	switch pattern(f.pattern) {
	case patternClosed:
		for range messages {
			s.goal.expect(streams)
			if err := s.source.start(ctx, 1); err != nil {
				return err
			}
			arrived := s.goal.wait(ctx, f.quiet)
			if err := s.source.finish(); err != nil || !arrived {
				return errors.Join(err, ctx.Err())
			}
		}
		return nil
	case patternPaced:
		s.goal.expect(streams * int64(messages))
		if err := s.pace(ctx, f.rate, messages); err != nil {
			return err
		}
	default:
		s.goal.expect(streams * int64(messages))
		if err := s.source.start(ctx, messages); err != nil {
			return err
		}
	}
	if err := s.source.finish(); err != nil {
		return err
	}
	s.goal.wait(ctx, f.quiet)
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
		if err := s.source.start(ctx, 1); err != nil {
			return err
		}
	}
	return nil
}

// ownCPU returns this process's CPU time.
func ownCPU() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}
