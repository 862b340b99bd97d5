//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
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

// fanOutFlags are the settings of the modes that publish to open streams, as
// reported.
type fanOutFlags struct {
	commonFlags
	mode                            string
	streams, size, messages, rounds int
	conns, inFlight                 int
	rate                            float64
	pattern                         string
	floor                           bool
	ownChannels                     bool // a channel for each stream instead of one for all
}

func setupFanOut(fs *flag.FlagSet) func(ctx context.Context) error {
	f := &fanOutFlags{mode: "fan-out"}
	f.registerFanOut(fs, 1000, 128)
	fs.BoolVar(&f.floor, "floor", true, "take turns with the floor program")
	return f.runAndReport
}

// setupLarge is the fan-out with messages of 16 KiB.
func setupLarge(fs *flag.FlagSet) func(ctx context.Context) error {
	f := &fanOutFlags{mode: "large"}
	f.registerFanOut(fs, 500, 16<<10)
	fs.BoolVar(&f.floor, "floor", true, "take turns with the floor program, which sends as much")
	return f.runAndReport
}

// registerFanOut declares the flags that both have.
func (f *fanOutFlags) registerFanOut(fs *flag.FlagSet, streams, size int) {
	f.register(fs)
	f.registerPeers(fs)
	fs.IntVar(&f.streams, "streams", streams, "open streams, all on one channel")
	fs.IntVar(&f.size, "size", size, "bytes of JSON data per message")
	fs.IntVar(&f.messages, "messages", 0, "messages per round (default: 300 closed, 1000 burst, 100 paced)")
	fs.IntVar(&f.rounds, "rounds", 5, "rounds, in each of which every side takes a turn")
	fs.StringVar(&f.pattern, "pattern", string(patternClosed), "closed, burst or paced")
	fs.Float64Var(&f.rate, "rate", 20, "messages per second of the paced pattern")
	fs.IntVar(&f.conns, "conns", 16, "publishing connections of the burst pattern")
	fs.IntVar(&f.inFlight, "in-flight", 256, "publications in flight in the burst pattern, over all connections")
}

// setupChannels is the mode in which every stream has a channel of its own, and
// every publication one receiver. Each publisher awaits the answer before it
// publishes again, as a backend does.
func setupChannels(fs *flag.FlagSet) func(ctx context.Context) error {
	f := &fanOutFlags{mode: "channels", pattern: string(patternBurst), ownChannels: true}
	f.register(fs)
	f.registerPeers(fs)
	fs.IntVar(&f.streams, "streams", 1000, "open streams, and channels")
	fs.IntVar(&f.size, "size", 128, "bytes of JSON data per message")
	fs.IntVar(&f.messages, "messages", 10_000, "messages per round, spread over all channels")
	fs.IntVar(&f.rounds, "rounds", 5, "rounds, in each of which every side takes a turn")
	fs.IntVar(&f.conns, "conns", 16, "publishing connections, each with one publication in flight")
	return func(ctx context.Context) error {
		f.rate, f.inFlight = 1, f.conns
		return f.runAndReport(ctx)
	}
}

func (f *fanOutFlags) runAndReport(ctx context.Context) error {
	return f.conclude(runFanOut(ctx, f))
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
	if f.ownChannels && f.streams < f.conns {
		return fmt.Errorf("bench: -streams should be at least -conns (%d) where every publisher has channels of its own", f.conns)
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

// side is who takes turns, a server or the floor, with the streams that listen
// to it.
type side struct {
	name   string
	source source
	host   *host
	client *client
	parts  []*deliveries // per worker
	goal   *goal
	each   int64        // streams that get a message
	own    *ownChannels // each stream has a channel of its own
	empty  *processMemory
}

// newSide returns a side whose messages go to each streams.
func newSide(name string, s source, each int) *side {
	return &side{name: name, source: s, goal: newGoal(), each: int64(each)}
}

// handler makes the handler of the next worker.
func (s *side) handler(i int) eventHandler {
	d := newDeliveries(s.goal, len(s.source.sent()))
	if s.own != nil {
		own := *s.own
		own.first, _ = share(own.channels, own.workers, i)
		d.own = &own
	}
	s.parts = append(s.parts, d)
	return d
}

func runFanOut(ctx context.Context, f *fanOutFlags) (*fanOutReport, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	sides := 1 + f.peerCount()
	if f.floor {
		sides++
	}
	return withRig(ctx, &f.commonFlags, f.streams*sides+f.conns+64, func(r *rig) (*fanOutReport, error) {
		return fanOut(ctx, f, r)
	})
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
					s.goal.arrived.Load()-s.goal.from.Load(), s.each*int64(messages))
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
	sent := s.source.sent()
	s.client.onWorkers(func(i int) { s.parts[i].begin(sent) })
}

// run is one side's turn. It returns the lags of all deliveries too.
func (s *side) run(ctx context.Context, f *fanOutFlags, messages int) (res roundResult, lag *hdrhistogram.Histogram, err error) {
	res = roundResult{Side: s.name, peer: s.host != nil && s.name != ourSide}
	if err := s.source.prepare(ctx); err != nil {
		return res, nil, err
	}
	s.begin()
	s.goal.from.Store(s.goal.arrived.Load())
	own0 := ownCPU()
	cpu0, cpuErr := s.source.cpu()
	if cpuErr != nil && !errors.Is(cpuErr, errNoPID) {
		return res, nil, cpuErr
	}
	begin := time.Now()
	if err := s.play(ctx, f, messages); err != nil {
		return res, nil, err
	}
	elapsed := time.Since(begin)
	if cpuErr == nil {
		cpu1, err := s.source.cpu()
		if err != nil {
			return res, nil, err
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
		res.Again = fl.again()
	}
	if err := s.client.err(); err != nil {
		return res, nil, fmt.Errorf("%d of %d streams were closed and %d deliveries lost, the first because: %w", s.client.closed.Load(), s.client.opened.Load(), res.Lost, err)
	}
	return res, all.lag, nil
}

// runAs is a turn in another pattern than the flags say.
func (s *side) runAs(ctx context.Context, f *fanOutFlags, p pattern, messages int) (roundResult, *hdrhistogram.Histogram, error) {
	other := *f
	other.pattern = string(p)
	return s.run(ctx, &other, messages)
}

// play sends the messages in the pattern and waits for their delivery. A
// delivery that does not come is no error here; settle counts it.
func (s *side) play(ctx context.Context, f *fanOutFlags, messages int) error {
	switch pattern(f.pattern) {
	case patternClosed:
		for range messages {
			s.goal.expect(s.each)
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
		s.goal.expect(s.each * int64(messages))
		if err := s.pace(ctx, f.rate, messages); err != nil {
			return err
		}
	default:
		s.goal.expect(s.each * int64(messages))
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
