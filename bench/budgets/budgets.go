//go:build linux

package budgets

import (
	"context"
	"errors"
	"flag"
	"time"

	"sluice/bench/figures"
	"sluice/bench/mode/compress"
	"sluice/bench/mode/connect"
	"sluice/bench/mode/fanout"
	"sluice/bench/mode/open"
	"sluice/bench/mode/publish"
	"sluice/bench/mode/resume"
	"sluice/bench/proc"
	"sluice/bench/rig"
)

// flags are the settings of the budgets mode.
type flags struct {
	rig.CommonFlags
	rounds int
	before string // another binary of ours; empty: none
}

// Setup declares the flags of the mode budgets, and returns what runs it.
func Setup(fs *flag.FlagSet) func(ctx context.Context) error {
	f := &flags{}
	f.Register(fs)
	fs.IntVar(&f.rounds, "rounds", 5, "interleaved rounds of each measurement")
	fs.StringVar(&f.before, "before", "", "another binary of ours, such as an older one, for the budgets that compare with it")
	return func(ctx context.Context) error {
		return f.Conclude(runBudgets(ctx, f, budgetSteps))
	}
}

// budgetStep measures some budgets, in their order, in a short form of a mode.
type budgetStep struct {
	name    string
	budgets []budgetRow // as they are before they are measured
	measure func(ctx context.Context, f *flags, rows []budgetRow) error
}

// runBudgets measures all steps; one that fails is told in its rows, and the
// others go on.
func runBudgets(ctx context.Context, f *flags, steps []budgetStep) (*report, error) {
	if f.rounds < 1 {
		return nil, errors.New("bench: -rounds should be above zero")
	}
	if f.URL != "" {
		return nil, errors.New("bench: budgets are measured with servers of our own, each configured for its measurement; give -server BINARY or nothing")
	}
	before := proc.BusyElsewhere(ctx)
	begin := time.Now()
	// The servers of all steps are the same program, built once.
	r, err := rig.NewEmpty(&f.CommonFlags, 1)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	r.Progress.Say("%s", figures.ThisMachine())
	if before > proc.QuietBelow {
		r.Progress.Say("other processes use %.0f %% of the CPUs: the machine is busy, so times mean little and ratios spread", 100*before)
	}
	if f.Server == "" {
		r.Progress.Say("building the server")
		if f.Binary, err = rig.BuildServer(ctx, r.Dir); err != nil {
			return nil, err
		}
	}
	report := &report{Header: r.Header("budgets"), Rounds: f.rounds, BusyBefore: before}
	for i, step := range steps {
		r.Progress.Say("measurement %d of %d: %s", i+1, len(steps), step.name)
		r.Progress.Draw()
		r.Progress.Show(nil)
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
	report.BusyAfter = proc.BusyElsewhere(ctx)
	return report, nil
}

// fanOut returns the flags of a short fan-out.
func (f *flags) fanOut(p fanout.Pattern, streams, size, messages int) *fanout.Flags {
	return &fanout.Flags{
		CommonFlags: f.CommonFlags, Mode: "fan-out", Streams: streams, Size: size, Messages: messages, Rounds: f.rounds,
		Conns: 16, InFlight: 256, Rate: 20, Pattern: string(p), Floor: true,
	}
}

// What rows say that need something which may not be there.
const (
	needsNchan  = "next to nchan, if it is there: apt-get install nginx libnginx-mod-nchan"
	needsBefore = "next to another binary of ours: bench budgets -before BINARY"
)

// budgetSteps are the budgets of DESIGN section 6, and of nodes on Redis. Together they
// take about seven minutes on two cores.
var budgetSteps = []budgetStep{
	{"unbatched fan-out", []budgetRow{
		{Name: "CPU per delivery, unbatched, one channel", Unit: "× floor", Must: 1.15, Aim: 0.8},
		{Name: "allocations per delivery", Must: 0, Tolerance: 0.1, Note: "whole server, publishing included; below 0.1 counts as none"},
	}, budgetUnbatched},
	{"many channels per stream", []budgetRow{
		{Name: "CPU per delivery, 10 recoverable channels", Unit: "× one channel", Must: fanout.MultiBudget},
	}, budgetMulti},
	{"burst", []budgetRow{
		{Name: "CPU per delivery in the burst", Unit: "× floor", Must: 0.12, Aim: 0.07},
	}, budgetFanOut(fanout.PatternBurst, 1000, 128, 500, cpuRatio)},
	{"16 KiB messages", []budgetRow{
		{Name: "CPU per delivery, 16 KiB messages", Unit: "× floor", Must: 1, Aim: 0.75},
	}, budgetFanOut(fanout.PatternClosed, 500, 16<<10, 60, cpuRatio)},
	{"own channel each", []budgetRow{
		{Name: "own channel each, CPU per publish + delivery", Unit: "µs", Must: fanout.OwnChannelBudget, Aim: 20},
		{Name: "own channel each, CPU per publish + delivery", Unit: "× nchan", Must: fanout.OwnChannelNchanBudget, Note: needsNchan},
	}, budgetOwnChannel},
	{"idle streams", []budgetRow{
		{Name: "RSS per idle stream, JWT user", Unit: "KiB", Must: 1.25, Aim: 0.6, Note: "indicative: 2,000 → 6,000 streams, read 5 s after the ramp; go run ./bench idle -rounds 5 decides"},
		{Name: "goroutines per idle stream", Must: 0, Tolerance: 0.005, Note: "timers cannot be seen from outside"},
	}, budgetIdle},
	{"idle connections", []budgetRow{
		{Name: "RSS per idle keep-alive connection", Unit: "B", Must: connect.WaitingBudget, Note: "indicative: 1,000 → 5,000 connections, read 2 s after the ramp; go run ./bench idle -kinds keep-alive -steps 2000,10000 -rounds 5 decides"},
		{Name: "goroutines per idle keep-alive connection", Must: 0, Tolerance: connect.GoroutinesTolerance},
	}, budgetWaiting},
	{"streams behind TLS", []budgetRow{
		{Name: "RSS per idle stream behind TLS", Unit: "KiB", Must: connect.TLSIdleBudget, Note: "indicative: 500 → 2,000 streams, read 2 s after the ramp; go run ./bench idle -kinds tls decides"},
		{Name: "TLS handshakes/s, full", Unit: "× before", Must: connect.TLSBudget, AtLeast: true, Note: needsBefore},
		{Name: "TLS handshakes/s, resumed", Unit: "× before", Must: connect.TLSBudget, AtLeast: true, Note: needsBefore},
	}, budgetTLS},
	{"connect", []budgetRow{
		{Name: "CPU per connect, anonymous", Unit: "× floor", Must: connect.Budget},
		{Name: "CPU per connect, anonymous", Unit: "× nchan", Must: connect.NchanBudget, Note: needsNchan},
		{Name: "CPU per connect, HS256 − anonymous", Unit: "µs", Must: connect.HS256Budget},
		{Name: "connects/s, anonymous, 256 at a time", Unit: "× before", Must: connect.StormSpeedBudget, AtLeast: true, Note: needsBefore + "; go run ./bench storm -before has 15,000 streams, and an open loop"},
	}, budgetConnect},
	{"publish without subscribers", []budgetRow{
		{Name: "publish requests/s, no subscriber", Must: publish.Budget, Aim: 4 * publish.Budget / 3, AtLeast: true, Note: "3 × 22,000: the reference server on the machine of the design"},
		{Name: "publish answer p99 at half the maximum rate", Unit: "ms", Must: publish.AnswerBudget},
		{Name: "publish requests/s, no subscriber", Unit: "× before", Must: publish.BeforeBudget, AtLeast: true, Note: needsBefore},
	}, budgetPublish},
	{"paced fan-out", []budgetRow{
		{Name: "p99 at 20 messages/s", Unit: "× floor", Must: 1.5, Aim: 1.1},
	}, budgetFanOut(fanout.PatternPaced, 1000, 128, 40, p99Ratio)},
	{"health", []budgetRow{
		{Name: "/health p99 with every loop saturated", Unit: "ms", Must: fanout.HealthBudget},
	}, budgetHealth},
	{"stalled readers", []budgetRow{
		{Name: "20 % stalled: healthy p99", Unit: "× none", Must: fanout.SlowLagBudget},
		{Name: "20 % stalled: kernel memory each", Unit: "KiB", Must: fanout.SlowKernelBudget},
		{Name: "20 % stalled: RSS each", Unit: "KiB", Must: fanout.SlowUserBudget, Note: "the largest of the rounds, shared frames included"},
	}, budgetSlow},
	{"resume storm", []budgetRow{
		{Name: "resume with 20 missed messages", Unit: "× plain connect", Must: resume.Budget, Note: "short form: 2,000 streams instead of 10,000"},
	}, budgetResume},
	{"open loop, 16 KiB messages", openBudgets("16 KiB", "500 streams × 100 messages"), budgetOpen(open.Flags{Streams: 500, Messages: 100, Size: 16 << 10})},
	{"open loop, small messages", openBudgets("150 B", "2,000 streams × 500 messages"), budgetOpen(open.Flags{Streams: 2000, Messages: 500, Size: 150})},
	{"open loop, 1 MiB messages", openBudgets("1 MiB", "200 streams × 8 messages"), budgetOpen(open.Flags{Streams: 200, Messages: 8, Size: 1 << 20})},
	{"open loop, stalled readers", openBudgets("16 KiB, 10 % stalled", "500 streams × 100 messages"), budgetOpen(open.Flags{Streams: 500, Messages: 100, Size: 16 << 10, Stalled: 10})},
	{"open loop, readers that trickle", trickleBudgets("64 KiB, readers that trickle arriving", "60 streams × 2,000 messages, another one that trickles every 200 ms"),
		budgetOpen(open.Flags{Streams: 60, Messages: 2000, Size: 64 << 10, ClosedMessages: 10, Trickle: 200 * time.Millisecond})},
	{"compressed streams", []budgetRow{
		{Name: "bytes per delivery, gzip, independent", Unit: "× not compressed", Must: compress.IndependentBudget},
		{Name: "bytes per delivery, zstd, independent", Unit: "× not compressed", Must: compress.IndependentBudget},
		{Name: "bytes per delivery, gzip, groups", Unit: "× not compressed", Must: compress.GroupsBudget},
		{Name: "bytes per delivery, zstd, groups", Unit: "× not compressed", Must: compress.GroupsBudget},
		{Name: "CPU per delivery, compressed, the dearest of these", Unit: "× not compressed", Must: compress.CPUBudget, Note: "short form: 40 messages of 2 KB a turn; go run ./bench compress has 200"},
	}, budgetCompress},
	{"nodes on Redis", engineBudgets(), budgetEngine},
	{"storm of large resumes", []budgetRow{
		{Name: "resume storm: readers not served", Must: 0, Hard: true, Note: "short form: 100 clients × 8 MB, half of them never read; go run ./bench recover has 1,000"},
		{Name: "resume storm: RSS peak", Unit: "× budget", Must: 1, Note: "budget: 256 MiB for all resumes + 64 MiB"},
	}, budgetRecover},
	{"storm of connects", []budgetRow{
		{Name: "RSS per stream 5 s after a storm of connects", Unit: "KiB", Must: connect.StormBudget, Note: "short form: 3,000 streams; go run ./bench storm has 15,000"},
	}, budgetStorm},
}

func budgetUnbatched(ctx context.Context, f *flags, rows []budgetRow) error {
	r, err := fanout.Run(ctx, f.fanOut(fanout.PatternClosed, 1000, 128, 100))
	if err != nil {
		return err
	}
	rows[0].Got = r.Ratios.CPU
	if r.Allocations != nil {
		rows[1].Got = exactly(*r.Allocations)
	}
	return r.Verdict()
}

// budgetFanOut measures one row in a short fan-out, by a figure of its report.
func budgetFanOut(p fanout.Pattern, streams, size, messages int, figure func(r *fanout.Report) *figures.Spread) func(ctx context.Context, f *flags, rows []budgetRow) error {
	return func(ctx context.Context, f *flags, rows []budgetRow) error {
		r, err := fanout.Run(ctx, f.fanOut(p, streams, size, messages))
		if err != nil {
			return err
		}
		rows[0].Got = figure(r)
		return r.Verdict()
	}
}

func cpuRatio(r *fanout.Report) *figures.Spread { return r.Ratios.CPU }

func p99Ratio(r *fanout.Report) *figures.Spread { return r.Ratios.P99 }

func budgetMulti(ctx context.Context, f *flags, rows []budgetRow) error {
	m := &fanout.MultiFlags{Flags: *f.fanOut(fanout.PatternClosed, 1000, 128, 80), Channels: 10}
	m.Mode, m.Floor, m.Conns, m.InFlight = "multi", false, 1, 1
	r, err := fanout.RunMulti(ctx, m)
	if err != nil {
		return err
	}
	rows[0].Got = r.Ratio
	return r.Verdict()
}

func budgetOwnChannel(ctx context.Context, f *flags, rows []budgetRow) error {
	x := f.fanOut(fanout.PatternBurst, 1000, 128, 8000)
	x.Mode, x.OwnChannels, x.Floor, x.InFlight, x.Peers = "channels", true, false, x.Conns, rig.NchanSide
	r, err := fanout.Run(ctx, x)
	if err != nil {
		return err
	}
	rows[0].Got, rows[1].Got = r.Own.CPU, r.OwnOverNchan()
	return r.Verdict()
}

func budgetPublish(ctx context.Context, f *flags, rows []budgetRow) error {
	x := &publish.Flags{CommonFlags: f.CommonFlags, Conns: 64, Size: 128, Rounds: f.rounds, Duration: time.Second}
	x.Before = f.before
	r, err := publish.Run(ctx, x)
	if err != nil {
		return err
	}
	rows[0].Got, rows[1].Got = &r.Sides[0].PerSecond, &r.Sides[0].HalfP99
	for _, s := range r.Sides {
		if s.Name == rig.BeforeSide {
			rows[2].Got = s.Over
		}
	}
	return nil
}

func budgetCompress(ctx context.Context, f *flags, rows []budgetRow) error {
	r, err := compress.Run(ctx, &compress.Flags{CommonFlags: f.CommonFlags, Streams: 1000, Size: 2048, Messages: 40, Rounds: f.rounds})
	if err != nil {
		return err
	}
	for i, side := range []string{"gzip", "zstd", "gzip groups", "zstd groups"} {
		var cpu *figures.Spread
		if rows[i].Got, cpu = r.Ratios(side); rows[4].Got == nil || cpu != nil && cpu.Median > rows[4].Got.Median {
			rows[4].Got = cpu
		}
	}
	return nil
}

func budgetHealth(ctx context.Context, f *flags, rows []budgetRow) error {
	h := &fanout.HealthFlags{Flags: *f.fanOut(fanout.PatternBurst, 1000, 128, 3000), Every: 5 * time.Millisecond, Rest: 500 * time.Millisecond}
	h.Mode, h.Floor = "health", false
	r, err := fanout.RunHealth(ctx, h)
	if err != nil {
		return err
	}
	rows[0].Got = &r.Busy
	return r.Verdict()
}

func budgetSlow(ctx context.Context, f *flags, rows []budgetRow) error {
	s := &fanout.SlowFlags{Flags: *f.fanOut(fanout.PatternPaced, 800, 4096, 40), Percent: 20, Fill: 128}
	s.Mode, s.Floor, s.Conns, s.InFlight = "slow", false, 1, 64
	r, err := fanout.RunSlow(ctx, s)
	if err != nil {
		return err
	}
	rows[0].Got, rows[1].Got = r.P99, &r.Kernel
	rows[2].Got = &figures.Spread{Median: r.User.Max, Min: r.User.Min, Max: r.User.Max}
	return r.Verdict()
}

func budgetResume(ctx context.Context, f *flags, rows []budgetRow) error {
	r, err := resume.Run(ctx, &resume.Flags{CommonFlags: f.CommonFlags, Streams: 2000, Missed: 20, Size: 128, Rounds: f.rounds})
	if err != nil {
		return err
	}
	rows[0].Got = r.Ratio
	return r.Verdict()
}
