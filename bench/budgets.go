//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"time"
)

// budgetsFlags are the settings of the budgets mode.
type budgetsFlags struct {
	commonFlags
	rounds int
}

func setupBudgets(fs *flag.FlagSet) func(ctx context.Context) error {
	f := &budgetsFlags{}
	f.register(fs)
	fs.IntVar(&f.rounds, "rounds", 5, "interleaved rounds of each measurement")
	return func(ctx context.Context) error {
		return f.conclude(runBudgets(ctx, f, budgetSteps))
	}
}

// budgetStep measures some budgets, in their order, in a short form of a mode.
type budgetStep struct {
	name    string
	budgets []budgetRow // as they are before they are measured
	measure func(ctx context.Context, f *budgetsFlags, rows []budgetRow) error
}

// runBudgets measures all steps; one that fails is told in its rows, and the
// others go on.
func runBudgets(ctx context.Context, f *budgetsFlags, steps []budgetStep) (*budgetsReport, error) {
	if f.rounds < 1 {
		return nil, errors.New("bench: -rounds should be above zero")
	}
	if f.url != "" {
		return nil, errors.New("bench: budgets are measured with servers of our own, each configured for its measurement; give -server BINARY or nothing")
	}
	before := busyElsewhere(ctx)
	begin := time.Now()
	// The servers of all steps are the same program, built once.
	r, err := newEmptyRig(&f.commonFlags, 1)
	if err != nil {
		return nil, err
	}
	defer r.close()
	r.progress.say("%s", thisMachine())
	if before > quietBelow {
		r.progress.say("other processes use %.0f %% of the CPUs: the machine is busy, so times mean little and ratios spread", 100*before)
	}
	if f.server == "" {
		r.progress.say("building the server")
		if f.binary, err = buildServer(ctx, r.dir); err != nil {
			return nil, err
		}
	}
	report := &budgetsReport{header: r.header("budgets"), Rounds: f.rounds, BusyBefore: before}
	for i, step := range steps {
		r.progress.say("measurement %d of %d: %s", i+1, len(steps), step.name)
		r.progress.draw()
		r.progress.show(nil)
		rows := append([]budgetRow(nil), step.budgets...)
		if err := step.measure(ctx, f, rows); err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			for i := range rows {
				rows[i].Failure = err.Error()
			}
		}
		for i := range rows {
			rows[i].judge()
		}
		report.Rows = append(report.Rows, rows...)
	}
	report.Seconds = time.Since(begin).Seconds()
	report.BusyAfter = busyElsewhere(ctx)
	return report, nil
}

// fanOutFlags are those of a short fan-out.
func (f *budgetsFlags) fanOut(p pattern, streams, size, messages int) *fanOutFlags {
	return &fanOutFlags{
		commonFlags: f.commonFlags, mode: "fan-out", streams: streams, size: size, messages: messages, rounds: f.rounds,
		conns: 16, inFlight: 256, rate: 20, pattern: string(p), floor: true,
	}
}

// budgetSteps are the budgets of DESIGN section 6. Together they take about
// five minutes on two cores.
var budgetSteps = []budgetStep{
	{"unbatched fan-out", []budgetRow{
		{Name: "CPU per delivery, unbatched, one channel", Unit: "× floor", Must: 1.15, Aim: 0.8},
		{Name: "allocations per delivery", Must: 0, Tolerance: 0.1, Note: "whole server, publishing included; below 0.1 counts as none"},
	}, budgetUnbatched},
	{"many channels per stream", []budgetRow{
		{Name: "CPU per delivery, 10 recoverable channels", Unit: "× one channel", Must: multiBudget},
	}, budgetMulti},
	{"burst", []budgetRow{
		{Name: "CPU per delivery in the burst", Unit: "× floor", Must: 0.12, Aim: 0.07},
	}, budgetBurst},
	{"16 KiB messages", []budgetRow{
		{Name: "CPU per delivery, 16 KiB messages", Unit: "× floor", Must: 1, Aim: 0.75},
	}, budgetLarge},
	{"own channel each", []budgetRow{
		{Name: "own channel each, CPU per publish + delivery", Unit: "µs", Must: ownChannelBudget, Aim: 20},
	}, budgetOwnChannel},
	{"idle streams", []budgetRow{
		{Name: "RSS per idle stream, JWT user", Unit: "KiB", Must: 1.25, Aim: 0.6, Note: "indicative: 2,000 → 6,000 streams, read 5 s after the ramp; go run ./bench idle -rounds 5 decides"},
		{Name: "goroutines per idle stream", Must: 0, Tolerance: 0.005, Note: "timers cannot be seen from outside"},
	}, budgetIdle},
	{"connect", []budgetRow{
		{Name: "CPU per connect, anonymous", Unit: "× floor", Must: connectBudget, Aim: 3},
		{Name: "CPU per connect, HS256 − anonymous", Unit: "µs", Must: hs256Budget},
	}, budgetConnect},
	{"publish without subscribers", []budgetRow{
		{Name: "publish requests/s, no subscriber", Must: publishBudget, Aim: 4 * publishBudget / 3, AtLeast: true, Note: "3 × 22,000: the reference server on the machine of the design"},
		{Name: "publish answer p99 at half the maximum rate", Unit: "ms", Must: publishAnswerBudget},
	}, budgetPublish},
	{"paced fan-out", []budgetRow{
		{Name: "p99 at 20 messages/s", Unit: "× floor", Must: 1.5, Aim: 1.1},
	}, budgetPaced},
	{"health", []budgetRow{
		{Name: "/health p99 with every loop saturated", Unit: "ms", Must: healthBudget},
	}, budgetHealth},
	{"stalled readers", []budgetRow{
		{Name: "20 % stalled: healthy p99", Unit: "× none", Must: slowLagBudget},
		{Name: "20 % stalled: kernel memory each", Unit: "KiB", Must: slowKernelBudget},
		{Name: "20 % stalled: RSS each", Unit: "KiB", Must: slowUserBudget, Note: "the largest of the rounds, shared frames included"},
	}, budgetSlow},
	{"resume storm", []budgetRow{
		{Name: "resume with 20 missed messages", Unit: "× plain connect", Must: resumeBudget, Note: "short form: 2,000 streams instead of 10,000"},
	}, budgetResume},
	{"open loop, 16 KiB messages", openBudgets("16 KiB", "500 streams × 100 messages"), budgetOpen(openFlags{streams: 500, messages: 100, size: 16 << 10})},
	{"open loop, small messages", openBudgets("150 B", "2,000 streams × 500 messages"), budgetOpen(openFlags{streams: 2000, messages: 500, size: 150})},
	{"open loop, 1 MiB messages", openBudgets("1 MiB", "200 streams × 8 messages"), budgetOpen(openFlags{streams: 200, messages: 8, size: 1 << 20})},
	{"open loop, stalled readers", openBudgets("16 KiB, 10 % stalled", "500 streams × 100 messages"), budgetOpen(openFlags{streams: 500, messages: 100, size: 16 << 10, stalled: 10})},
	{"open loop, readers that trickle", trickleBudgets("64 KiB, readers that trickle arriving", "60 streams × 2,000 messages, another one that trickles every 200 ms"),
		budgetOpen(openFlags{streams: 60, messages: 2000, size: 64 << 10, closedMessages: 10, trickle: 200 * time.Millisecond})},
	{"storm of large resumes", []budgetRow{
		{Name: "resume storm: readers not served", Must: 0, Hard: true, Note: "short form: 100 clients × 8 MB, half of them never read; go run ./bench recover has 1,000"},
		{Name: "resume storm: RSS peak", Unit: "× budget", Must: 1, Note: "budget: 256 MiB for all resumes + 64 MiB"},
	}, budgetRecover},
	{"storm of connects", []budgetRow{
		{Name: "RSS per stream 5 s after a storm of connects", Unit: "KiB", Must: stormBudget, Aim: stormAim, Note: "short form: 3,000 streams; go run ./bench storm has 15,000"},
	}, budgetStorm},
}

func budgetUnbatched(ctx context.Context, f *budgetsFlags, rows []budgetRow) error {
	r, err := runFanOut(ctx, f.fanOut(patternClosed, 1000, 128, 100))
	if err != nil {
		return err
	}
	rows[0].Got = r.Ratios.CPU
	if r.Allocations != nil {
		rows[1].Got = &spread{*r.Allocations, *r.Allocations, *r.Allocations}
	}
	return r.verdict()
}

func budgetMulti(ctx context.Context, f *budgetsFlags, rows []budgetRow) error {
	m := &multiFlags{fanOutFlags: *f.fanOut(patternClosed, 1000, 128, 80), channels: 10}
	m.mode, m.floor, m.conns, m.inFlight = "multi", false, 1, 1
	r, err := runMulti(ctx, m)
	if err != nil {
		return err
	}
	rows[0].Got = r.Ratio
	return r.verdict()
}

func budgetBurst(ctx context.Context, f *budgetsFlags, rows []budgetRow) error {
	r, err := runFanOut(ctx, f.fanOut(patternBurst, 1000, 128, 500))
	if err != nil {
		return err
	}
	rows[0].Got = r.Ratios.CPU
	return r.verdict()
}

func budgetLarge(ctx context.Context, f *budgetsFlags, rows []budgetRow) error {
	r, err := runFanOut(ctx, f.fanOut(patternClosed, 500, 16<<10, 60))
	if err != nil {
		return err
	}
	rows[0].Got = r.Ratios.CPU
	return r.verdict()
}

func budgetOwnChannel(ctx context.Context, f *budgetsFlags, rows []budgetRow) error {
	x := f.fanOut(patternBurst, 1000, 128, 8000)
	x.mode, x.ownChannels, x.floor, x.inFlight = "channels", true, false, x.conns
	r, err := runFanOut(ctx, x)
	if err != nil {
		return err
	}
	rows[0].Got = r.Own.CPU
	return r.verdict()
}

func budgetIdle(ctx context.Context, f *budgetsFlags, rows []budgetRow) error {
	r, err := runIdle(ctx, &idleFlags{commonFlags: f.commonFlags, stepList: "2000,6000", settle: 5 * time.Second, rounds: 1})
	if err != nil {
		return err
	}
	rows[0].Got, rows[1].Got = &r.Series[0].RSS, r.Series[0].Goroutines
	return nil
}

func budgetConnect(ctx context.Context, f *budgetsFlags, rows []budgetRow) error {
	r, err := runConnect(ctx, &connectFlags{
		commonFlags: f.commonFlags, connects: 1000, rounds: f.rounds, floor: true, kinds: kindAnonymous + "," + kindHS256,
	})
	if err != nil {
		return err
	}
	for _, k := range r.Kinds {
		switch k.Kind {
		case kindAnonymous:
			rows[0].Got = k.Open.OverFloor
		case kindHS256:
			rows[1].Got = k.Open.More
		}
	}
	return nil
}

func budgetPublish(ctx context.Context, f *budgetsFlags, rows []budgetRow) error {
	r, err := runPublish(ctx, &publishFlags{commonFlags: f.commonFlags, conns: 64, size: 128, rounds: f.rounds, duration: time.Second})
	if err != nil {
		return err
	}
	rows[0].Got, rows[1].Got = &r.Sides[0].PerSecond, &r.Sides[0].HalfP99
	return nil
}

func budgetPaced(ctx context.Context, f *budgetsFlags, rows []budgetRow) error {
	r, err := runFanOut(ctx, f.fanOut(patternPaced, 1000, 128, 40))
	if err != nil {
		return err
	}
	rows[0].Got = r.Ratios.P99
	return r.verdict()
}

func budgetHealth(ctx context.Context, f *budgetsFlags, rows []budgetRow) error {
	h := &healthFlags{fanOutFlags: *f.fanOut(patternBurst, 1000, 128, 3000), every: 5 * time.Millisecond, rest: 500 * time.Millisecond}
	h.mode, h.floor = "health", false
	r, err := runHealth(ctx, h)
	if err != nil {
		return err
	}
	rows[0].Got = &r.Busy
	return r.verdict()
}

func budgetSlow(ctx context.Context, f *budgetsFlags, rows []budgetRow) error {
	s := &slowFlags{fanOutFlags: *f.fanOut(patternPaced, 800, 4096, 40), percent: 20, fill: 128}
	s.mode, s.floor, s.conns, s.inFlight = "slow", false, 1, 64
	r, err := runSlow(ctx, s)
	if err != nil {
		return err
	}
	rows[0].Got, rows[1].Got = r.P99, &r.Kernel
	rows[2].Got = &spread{Median: r.User.Max, Min: r.User.Min, Max: r.User.Max}
	return r.verdict()
}

func budgetResume(ctx context.Context, f *budgetsFlags, rows []budgetRow) error {
	r, err := runResume(ctx, &resumeFlags{commonFlags: f.commonFlags, streams: 2000, missed: 20, size: 128, rounds: f.rounds})
	if err != nil {
		return err
	}
	rows[0].Got = r.Ratio
	return r.verdict()
}
