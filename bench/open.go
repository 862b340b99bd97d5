//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"
)

// openFlags are the settings of the open mode.
type openFlags struct {
	commonFlags
	streams, messages, size, conns, rounds int
	stalled                                int // percent
	closedMessages                         int
	retries                                int
	settle                                 time.Duration
	trickle                                time.Duration
}

func setupOpen(fs *flag.FlagSet) func(ctx context.Context) error {
	f := &openFlags{}
	f.register(fs)
	fs.IntVar(&f.streams, "streams", 3000, "streams, all on one channel")
	fs.IntVar(&f.messages, "messages", 400, "messages per turn")
	fs.IntVar(&f.size, "size", 16<<10, "bytes of JSON data per message")
	fs.IntVar(&f.conns, "conns", 16, "publishing connections, each of which sends its requests back to back and awaits nothing")
	fs.IntVar(&f.stalled, "stalled", 0, "percent of the streams that stop reading behind their connect push")
	fs.DurationVar(&f.trickle, "trickle", 0, fmt.Sprintf("while a turn runs, another stream connects every so often (200ms) that reads %d bytes every %v; at most %d at a time; 0: none", trickleRead, trickleEvery, trickleMost))
	fs.IntVar(&f.rounds, "rounds", 3, "rounds, in each of which there is an open-loop turn and a closed-loop one")
	fs.IntVar(&f.closedMessages, "closed-messages", 0, "messages per closed-loop turn, compared by time per delivery (default: as many)")
	fs.IntVar(&f.retries, "retries", 0, "how often what was refused is published again, when everything was answered")
	fs.DurationVar(&f.settle, "settle", time.Minute, "how long to wait after the last turn before memory per idle stream is read; 0: it is not read")
	return func(ctx context.Context) error {
		return f.conclude(runOpen(ctx, f))
	}
}

func (f *openFlags) check() error {
	if f.streams < 1 || f.messages < 1 || f.rounds < 1 {
		return errors.New("bench: -streams, -messages and -rounds should be above zero")
	}
	if f.stalled < 0 || f.stalled > 90 || f.settle < 0 || f.trickle < 0 || f.closedMessages < 0 || f.retries < 0 {
		return errors.New("bench: -stalled should be 0 to 90, -settle, -trickle, -closed-messages and -retries not negative")
	}
	if f.closedMessages == 0 {
		f.closedMessages = f.messages
	}
	return nil
}

// stall is how many of the streams do not read.
func (f *openFlags) stall() int { return f.streams * f.stalled / 100 }

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
	f       *openFlags
	r       *rig
	pubs    *publishers
	client  *client
	parts   []*readers // per worker
	goal    *goal
	source  int // next group of source addresses
	report  *openReport
	reading int // streams that are to read
}

func runOpen(ctx context.Context, f *openFlags) (*openReport, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	files := f.streams + f.conns + 64
	if f.trickle > 0 {
		files += trickleMost
	}
	return withRig(ctx, &f.commonFlags, files, func(r *rig) (*openReport, error) {
		if len(r.target.pids) == 0 {
			return nil, errNoPID
		}
		x := &opens{f: f, r: r, goal: newGoal(), reading: f.streams - f.stall(), report: newOpenReport(f, r)}
		return x.report, x.run(ctx)
	})
}

// run opens the streams that read, and lets the two kinds of turns follow each
// other; which comes first alternates.
func (x *opens) run(ctx context.Context) (err error) {
	if x.pubs, err = x.r.publishers(ctx, &x.r.host, publishing{conns: x.f.conns, inFlight: x.f.conns, size: x.f.size}); err != nil {
		return err
	}
	defer x.pubs.close()
	requests, err := x.r.requests(x.reading)
	if err != nil {
		return err
	}
	cfg := x.r.clientConfig(&x.r.host, requests, 0, x.handler)
	x.source = sourcesOf(x.reading)
	// Streams that were closed are opened again, as the same users.
	cfg.request = func(stream int) []byte { return requests[stream%len(requests)] }
	x.tune(&cfg)
	var empty processMemory
	if x.f.settle > 0 {
		if empty, err = x.empty(ctx, cfg); err != nil {
			return err
		}
	}
	if x.client, err = newClient(cfg); err != nil {
		return err
	}
	defer x.client.close()
	if err := x.refill(ctx, "the first turn"); err != nil {
		return err
	}
	x.r.progress.say("warming up")
	if x.report.WarmUp, err = x.turn(ctx, closedLoop, 0, min(openWarmUp, x.f.messages)); err != nil {
		return err
	}
	for round := 1; round <= x.f.rounds; round++ {
		kinds := []string{openLoop, closedLoop}
		if round%2 == 0 {
			kinds = []string{closedLoop, openLoop}
		}
		for _, kind := range kinds {
			messages := x.f.messages
			if kind == closedLoop {
				messages = x.f.closedMessages
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
func (x *opens) empty(ctx context.Context, cfg clientConfig) (m processMemory, err error) {
	all := x.reading
	defer func() { x.reading, x.parts = all, nil }()
	x.reading = min(openFirst, all)
	if x.client, err = newClient(cfg); err != nil {
		return m, err
	}
	if err = x.refill(ctx, "memory without streams is read"); err == nil {
		_, err = x.turn(ctx, openLoop, 0, min(openFirst, x.f.messages))
	}
	x.client.close()
	if err != nil {
		return m, err
	}
	x.r.progress.say("reading the memory without streams in %v", openCalm)
	if err := pause(ctx, min(openCalm, x.f.settle)); err != nil {
		return m, err
	}
	return readMemory(x.r.target.pids)
}

// tune makes reading cheap.
func (x *opens) tune(cfg *clientConfig) {
	cfg.skim = skimBytes
	if x.f.size >= largeMessage {
		cfg.read = smallRead
	}
}

// handler makes the handler of the next worker.
func (x *opens) handler(int) eventHandler {
	d := newReaders(x.goal, x.f.conns)
	x.parts = append(x.parts, d)
	return d
}

// refill opens as many streams as were closed in the turn before.
func (x *opens) refill(ctx context.Context, before string) error {
	sent := x.pubs.sent()
	lack := x.reading
	x.client.onWorkers(func(i int) {
		x.parts[i].begin(sent)
		lack -= x.parts[i].open
	})
	opened := x.client.opened.Load()
	x.r.progress.show(func() string {
		return fmt.Sprintf("before %s: %d of %d streams open", before, x.client.opened.Load()-opened, lack)
	})
	return x.client.open(ctx, lack, x.f.quiet)
}

// wholeTurn is a turn with as many streams as were asked for, the stalled ones
// opened before it and looked at after it.
func (x *opens) wholeTurn(ctx context.Context, kind string, round, messages int) (turn openTurn, err error) {
	name := fmt.Sprintf("round %d of %d, %s loop", round, x.f.rounds, kind)
	if err := x.refill(ctx, name); err != nil {
		return turn, err
	}
	var s *stalledStreams
	if x.f.stall() > 0 {
		if s, err = x.openStalled(ctx); err != nil {
			return turn, err
		}
		defer s.client.close()
	}
	x.r.progress.show(func() string {
		return fmt.Sprintf("%s: %d of %d deliveries", name, x.goal.arrived.Load()-x.goal.from.Load(), int64(x.reading)*int64(messages))
	})
	if turn, err = x.trickledTurn(ctx, kind, round, messages); err != nil || s == nil {
		return turn, err
	}
	x.r.progress.say("%s: looking what became of the stalled streams", name)
	turn.Stalled, err = s.look(ctx)
	return turn, err
}

// turn publishes, waits until every stream that is open has every acknowledged
// message, and tells what happened. It gives up when nothing arrives for the
// time of quiet.
func (x *opens) turn(ctx context.Context, kind string, round, messages int) (turn openTurn, err error) {
	turn = openTurn{Kind: kind, Round: round, Streams: x.reading, Messages: messages}
	if err := x.pubs.prepare(ctx); err != nil {
		return turn, err
	}
	sent := x.pubs.sent()
	x.client.onWorkers(func(i int) { x.parts[i].begin(sent) })
	x.goal.from.Store(x.goal.arrived.Load())
	peak, err := watchPeak(x.r.target.pids)
	if err != nil {
		return turn, err
	}
	cpu0, err := x.pubs.cpu()
	if err != nil {
		return turn, err
	}
	begin := time.Now()
	var p *poured
	if kind == openLoop {
		if p, err = x.pour(ctx, messages); err == nil {
			turn.AnswerSeconds = time.Since(begin).Seconds()
			err = x.await(ctx, int64(p.accepted()))
		}
	} else {
		p, err = x.oneByOne(ctx, messages)
	}
	highest, peakErr := peak.end()
	if err = errors.Join(err, peakErr); err != nil {
		return turn, err
	}
	cpu1, err := x.pubs.cpu()
	if err != nil {
		return turn, err
	}
	x.report.PeakHow = peak.how()
	all := newReadersTurn(x.f.conns)
	accepted := int64(p.accepted())
	x.client.onWorkers(func(i int) {
		turn.Lost += x.parts[i].missing(accepted)
		all.take(&x.parts[i].turn)
	})
	turn.fill(x.f, all, p, begin, cpu1-cpu0, highest)
	return turn, x.client.err()
}

// pour publishes n messages in an open loop, and those that are refused again as
// often as the flags say.
func (x *opens) pour(ctx context.Context, n int) (*poured, error) {
	p, err := x.pubs.pour(ctx, n)
	for i := 0; i < x.f.retries && err == nil; i++ {
		refused := n - p.accepted()
		if refused == 0 {
			break
		}
		var more *poured
		if more, err = x.pubs.pour(ctx, refused); err == nil {
			p.add(more)
		}
	}
	return p, err
}

// await waits until every open stream has n messages of the turn. Streams that
// get closed meanwhile are not waited for; what does not come is no error here.
func (x *opens) await(ctx context.Context, n int64) error {
	since, seen := time.Now(), x.goal.arrived.Load()
	for {
		var missing int64
		x.client.onWorkers(func(i int) { missing += x.parts[i].missing(n) })
		if missing == 0 {
			return nil
		}
		if now := x.goal.arrived.Load(); now != seen {
			since, seen = time.Now(), now
		} else if time.Since(since) > x.f.quiet {
			return nil
		}
		x.goal.expect(missing)
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
	case <-x.goal.reached:
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
	seen, idle := x.goal.arrived.Load(), 0
	for idle < openIdleLooks && x.client.closed.Load() == closed {
		if reached, err := x.glance(ctx); reached || err != nil {
			return reached, err
		}
		if now := x.goal.arrived.Load(); now != seen {
			seen, idle = now, 0
		} else {
			idle++
		}
	}
	return false, nil
}

// oneByOne publishes n messages in a closed loop, over the first connection.
func (x *opens) oneByOne(ctx context.Context, n int) (*poured, error) {
	p := x.pubs.oneByOne()
	accepted, reading, closed := int64(0), int64(x.reading), x.client.closed.Load()
	for range n {
		x.goal.expect(reading)
		answer, err := x.pubs.one()
		if err != nil {
			return nil, err
		}
		if p.take(answer); answer.taken {
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
		closed = x.client.closed.Load()
		reading = 0
		x.client.onWorkers(func(i int) { reading += int64(x.parts[i].open) })
	}
	return p, nil
}

// idle reads what the streams hold a while after the last turn.
func (x *opens) idle(ctx context.Context, empty processMemory) error {
	if x.f.settle == 0 {
		return nil
	}
	if err := x.refill(ctx, "settling"); err != nil {
		return err
	}
	x.pubs.close()
	until := time.Now().Add(x.f.settle)
	x.r.progress.show(func() string { return fmt.Sprintf("settling for %v more", time.Until(until).Round(time.Second)) })
	if err := pause(ctx, x.f.settle); err != nil {
		return err
	}
	now, err := readMemory(x.r.target.pids)
	if err != nil {
		return err
	}
	kib := func(a, b int64) float64 { return float64(b-a) / 1024 / float64(x.reading) }
	x.report.Idle = &openIdle{
		Settle: x.f.settle.String(), Streams: x.reading, Empty: empty, Memory: now,
		RSS: kib(empty.RSS, now.RSS), Anonymous: kib(empty.Anonymous, now.Anonymous),
	}
	return x.client.err()
}
