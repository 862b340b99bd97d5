//go:build linux

package open

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"sluice/bench/figures"
	"sluice/bench/load"
	"sluice/bench/proc"
	"sluice/bench/rig"
)

// Flags are the settings of the open mode.
type Flags struct {
	rig.CommonFlags
	Streams, Messages, Size, Conns, Rounds int
	Stalled                                int // percent
	ClosedMessages                         int
	retries                                int
	settle                                 time.Duration
	Trickle                                time.Duration
}

// Setup declares the flags of the mode open, and returns what runs it.
func Setup(fs *flag.FlagSet) func(ctx context.Context) error {
	f := &Flags{}
	f.Register(fs)
	fs.IntVar(&f.Streams, "streams", 3000, "streams, all on one channel")
	fs.IntVar(&f.Messages, "messages", 400, "messages per turn")
	fs.IntVar(&f.Size, "size", 16<<10, "bytes of JSON data per message")
	fs.IntVar(&f.Conns, "conns", 16, "publishing connections, each of which sends its requests back to back and awaits nothing")
	fs.IntVar(&f.Stalled, "stalled", 0, "percent of the streams that stop reading behind their connect push")
	fs.DurationVar(&f.Trickle, "trickle", 0, fmt.Sprintf("while a turn runs, another stream connects every so often (200ms) that reads %d bytes every %v; at most %d at a time; 0: none", trickleRead, trickleEvery, trickleMost))
	fs.IntVar(&f.Rounds, "rounds", 3, "rounds, in each of which there is an open-loop turn and a closed-loop one")
	fs.IntVar(&f.ClosedMessages, "closed-messages", 0, "messages per closed-loop turn, compared by time per delivery (default: as many)")
	fs.IntVar(&f.retries, "retries", 0, "how often what was refused is published again, when everything was answered")
	fs.DurationVar(&f.settle, "settle", time.Minute, "how long to wait after the last turn before memory per idle stream is read; 0: it is not read")
	return func(ctx context.Context) error {
		return f.Conclude(Run(ctx, f))
	}
}

func (f *Flags) check() error {
	if f.Streams < 1 || f.Messages < 1 || f.Rounds < 1 {
		return errors.New("bench: -streams, -messages and -rounds should be above zero")
	}
	if f.Stalled < 0 || f.Stalled > 90 || f.settle < 0 || f.Trickle < 0 || f.ClosedMessages < 0 || f.retries < 0 {
		return errors.New("bench: -stalled should be 0 to 90, -settle, -trickle, -closed-messages and -retries not negative")
	}
	if f.ClosedMessages == 0 {
		f.ClosedMessages = f.Messages
	}
	return nil
}

// stall is how many of the streams do not read.
func (f *Flags) stall() int { return f.Streams * f.Stalled / 100 }

// The two kinds of turns.
const (
	openLoop   = "open"   // publishers wait for nothing
	closedLoop = "closed" // publish one, wait until every reader has it, next
)

const (
	// From largeMessage on a read asks for smallRead bytes at first, and the
	// rest of a message is dropped by the kernel.
	largeMessage = 128 << 10
	smallRead    = 16 << 10

	openFirst    = 100                   // streams, and messages, before the memory without streams is read
	openCalm     = 5 * time.Second       // for how long they are gone then
	openWarmUp   = 5                     // messages before the first turn
	openLookMost = 20 * time.Millisecond // how often the readers are asked what they lack
)

// opens runs the turns of an open mode.
type opens struct {
	f       *Flags
	r       *rig.Rig
	pubs    *load.Publishers
	client  *load.Client
	parts   []*readers // per worker
	goal    *load.Goal
	source  int // next group of source addresses
	report  *Report
	reading int // streams that are to read
}

// Run runs the mode open.
func Run(ctx context.Context, f *Flags) (*Report, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	files := f.Streams + f.Conns + 64
	if f.Trickle > 0 {
		files += trickleMost
	}
	return rig.With(ctx, &f.CommonFlags, files, func(r *rig.Rig) (*Report, error) {
		if len(r.Target.PIDs) == 0 {
			return nil, proc.ErrNoPID
		}
		x := &opens{f: f, r: r, goal: load.NewGoal(), reading: f.Streams - f.stall(), report: newReport(f, r)}
		return x.report, x.run(ctx)
	})
}

// run opens the streams that read, and lets the two kinds of turns follow each
// other; which comes first alternates.
func (x *opens) run(ctx context.Context) (err error) {
	if x.pubs, err = x.r.Publishers(ctx, &x.r.Host, rig.Publishing{Conns: x.f.Conns, InFlight: x.f.Conns, Size: x.f.Size}); err != nil {
		return err
	}
	defer x.pubs.Close()
	requests, err := x.r.Requests(x.reading)
	if err != nil {
		return err
	}
	cfg := x.r.ClientConfig(&x.r.Host, requests, 0, x.handler)
	x.source = load.SourcesOf(x.reading)
	// Streams that were closed are opened again, as the same users.
	cfg.Request = func(stream int) []byte { return requests[stream%len(requests)] }
	x.tune(&cfg)
	var empty proc.Memory
	if x.f.settle > 0 {
		if empty, err = x.empty(ctx, cfg); err != nil {
			return err
		}
	}
	if x.client, err = load.New(cfg); err != nil {
		return err
	}
	defer x.client.Close()
	if err := x.refill(ctx, "the first turn"); err != nil {
		return err
	}
	x.r.Progress.Say("warming up")
	if x.report.WarmUp, err = x.turn(ctx, closedLoop, 0, min(openWarmUp, x.f.Messages)); err != nil {
		return err
	}
	for round := 1; round <= x.f.Rounds; round++ {
		kinds := []string{openLoop, closedLoop}
		if round%2 == 0 {
			kinds = []string{closedLoop, openLoop}
		}
		for _, kind := range kinds {
			messages := x.f.Messages
			if kind == closedLoop {
				messages = x.f.ClosedMessages
			}
			turn, err := x.wholeTurn(ctx, kind, round, messages)
			if err != nil {
				return fmt.Errorf("bench: round %d, %s loop: %w", round, kind, err)
			}
			x.report.Turns = append(x.report.Turns, turn)
		}
	}
	if err := x.idle(ctx, empty); err != nil {
		return err
	}
	x.report.sumUp()
	return nil
}

// empty has a few streams get a burst and reads what the server holds when they are
// gone: code that it had never run, and threads that it had never needed, are no part
// of what a stream takes.
func (x *opens) empty(ctx context.Context, cfg load.Config) (m proc.Memory, err error) {
	all := x.reading
	defer func() { x.reading, x.parts = all, nil }()
	x.reading = min(openFirst, all)
	if x.client, err = load.New(cfg); err != nil {
		return m, err
	}
	if err = x.refill(ctx, "memory without streams is read"); err == nil {
		_, err = x.turn(ctx, openLoop, 0, min(openFirst, x.f.Messages))
	}
	x.client.Close()
	if err != nil {
		return m, err
	}
	x.r.Progress.Say("reading the memory without streams in %v", openCalm)
	if err := proc.Pause(ctx, min(openCalm, x.f.settle)); err != nil {
		return m, err
	}
	return proc.ReadMemory(x.r.Target.PIDs)
}

// tune makes reading cheap.
func (x *opens) tune(cfg *load.Config) {
	cfg.Skim = load.SkimBytes
	if x.f.Size >= largeMessage {
		cfg.Read = smallRead
	}
}

// handler makes the handler of the next worker.
func (x *opens) handler(int) load.Handler {
	d := newReaders(x.goal, x.f.Conns)
	x.parts = append(x.parts, d)
	return d
}

// refill opens as many streams as were closed in the turn before.
func (x *opens) refill(ctx context.Context, before string) error {
	sent := x.pubs.Sent()
	lack := x.reading
	x.client.OnWorkers(func(i int) {
		x.parts[i].begin(sent)
		lack -= x.parts[i].open
	})
	opened := x.client.Opened.Load()
	x.r.Progress.Show(func() string {
		return fmt.Sprintf("before %s: %d of %d streams open", before, x.client.Opened.Load()-opened, lack)
	})
	return x.client.Open(ctx, lack, x.f.Quiet)
}

// wholeTurn is a turn with as many streams as were asked for, the stalled ones
// opened before it and looked at after it.
func (x *opens) wholeTurn(ctx context.Context, kind string, round, messages int) (turn openTurn, err error) {
	name := fmt.Sprintf("round %d of %d, %s loop", round, x.f.Rounds, kind)
	if err := x.refill(ctx, name); err != nil {
		return turn, err
	}
	var s *stalledStreams
	if x.f.stall() > 0 {
		if s, err = x.openStalled(ctx); err != nil {
			return turn, err
		}
		defer s.client.Close()
	}
	x.r.Progress.Show(func() string {
		return fmt.Sprintf("%s: %d of %d deliveries", name, x.goal.Arrived.Load()-x.goal.From.Load(), int64(x.reading)*int64(messages))
	})
	if turn, err = x.trickledTurn(ctx, kind, round, messages); err != nil || s == nil {
		return turn, err
	}
	x.r.Progress.Say("%s: looking what became of the stalled streams", name)
	turn.Stalled, err = s.look(ctx)
	return turn, err
}

// idle reads what the streams hold a while after the last turn.
func (x *opens) idle(ctx context.Context, empty proc.Memory) error {
	if x.f.settle == 0 {
		return nil
	}
	if err := x.refill(ctx, "settling"); err != nil {
		return err
	}
	x.pubs.Close()
	until := time.Now().Add(x.f.settle)
	x.r.Progress.Show(func() string { return fmt.Sprintf("settling for %v more", time.Until(until).Round(time.Second)) })
	if err := proc.Pause(ctx, x.f.settle); err != nil {
		return err
	}
	now, err := proc.ReadMemory(x.r.Target.PIDs)
	if err != nil {
		return err
	}
	x.report.Idle = &openIdle{
		Settle: x.f.settle.String(), Streams: x.reading, Empty: empty, Memory: now,
		RSS: figures.KiBEach(now.RSS-empty.RSS, x.reading), Anonymous: figures.KiBEach(now.Anonymous-empty.Anonymous, x.reading),
	}
	return x.client.Err()
}
