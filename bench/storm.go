//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"
)

// stormFlags are the settings of the storm mode.
type stormFlags struct {
	commonFlags
	streams, rounds int
	soon, late      time.Duration
}

// stormRamp is how many streams connect at a time by default.
const stormRamp = "1000"

// The budgets of memory per stream after a storm of connects, KiB.
const (
	stormBudget     = 2.0  // soon
	stormAim        = 1.5  // soon, DESIGN section 6
	stormLateBudget = 1.25 // late
)

func setupStorm(fs *flag.FlagSet) func(ctx context.Context) error {
	f := &stormFlags{}
	f.register(fs)
	ramp := fs.Lookup("ramp")
	ramp.DefValue = stormRamp
	fs.IntVar(&f.streams, "streams", 15_000, "streams, all on one channel, that connect as fast as they can")
	fs.DurationVar(&f.soon, "soon", 5*time.Second, "after the last connect, when memory is read")
	fs.DurationVar(&f.late, "late", time.Minute, "when it is read again; 0: it is not")
	fs.IntVar(&f.rounds, "rounds", 1, "storms, each on a fresh server; 1 with -url")
	if err := ramp.Value.Set(stormRamp); err != nil {
		panic("BUG: " + err.Error())
	}
	return func(ctx context.Context) error {
		r, err := runStorm(ctx, f)
		if err != nil {
			return err
		}
		return f.finish(r)
	}
}

func (f *stormFlags) check() error {
	if f.streams < 1 || f.rounds < 1 || f.soon < 0 || f.late != 0 && f.late < f.soon {
		return errors.New("bench: -streams and -rounds should be above zero, -soon not negative, and -late 0 or not below it")
	}
	if f.rounds > 1 && f.url != "" {
		return errors.New("bench: a running server keeps what the first storm left in its heap; with -url leave -rounds at 1")
	}
	return nil
}

// stormRound is one storm. Memory in bytes.
type stormRound struct {
	Round     int            `json:"round"`
	Seconds   float64        `json:"seconds"`
	PerSecond float64        `json:"connects_per_second"`
	CPU       float64        `json:"cpu_us_per_connect"`
	Empty     processMemory  `json:"empty"`
	Peak      int64          `json:"rss_peak"` // from the first connect to the first reading
	Soon      processMemory  `json:"soon"`
	Late      *processMemory `json:"late"` // nil: not read
	// KiB per stream.
	SoonEach float64  `json:"soon_kib_per_stream"`
	LateEach *float64 `json:"late_kib_per_stream"`
}

// stormReport is the result of the storm mode.
type stormReport struct {
	header
	Streams  int          `json:"streams"`
	Soon     string       `json:"soon"`
	Late     string       `json:"late"`
	Rounds   []stormRound `json:"rounds"`
	SoonEach spread       `json:"soon_kib_per_stream"`
	LateEach *spread      `json:"late_kib_per_stream"`
}

func runStorm(ctx context.Context, f *stormFlags) (*stormReport, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	report := &stormReport{Streams: f.streams, Soon: f.soon.String(), Late: f.late.String()}
	for round := 1; round <= f.rounds; round++ {
		r, err := newRig(ctx, &f.commonFlags, f.streams+64)
		if err != nil {
			return nil, err
		}
		report.header = r.header("storm")
		x, err := stormOnce(ctx, f, r)
		if ctx.Err() == nil {
			err = r.explain(err)
		}
		r.close()
		if err != nil {
			return nil, err
		}
		x.Round = round
		report.Rounds = append(report.Rounds, x)
	}
	report.sumUp()
	return report, nil
}

// stormOnce opens all streams of one server, and looks.
func stormOnce(ctx context.Context, f *stormFlags, r *rig) (x stormRound, err error) {
	pids := r.target.pids
	if len(pids) == 0 {
		return x, errNoPID
	}
	if x.Empty, err = readMemory(pids); err != nil {
		return x, err
	}
	c, err := r.newClient(&r.host, f.streams, func(int) eventHandler { return silent{} })
	if err != nil {
		return x, err
	}
	defer c.close()
	cpu0, err := restedCPU(ctx, pids, f.quiet)
	if err != nil {
		return x, err
	}
	peak, err := watchPeak(pids)
	if err != nil {
		return x, err
	}
	r.progress.show(func() string { return fmt.Sprintf("%d of %d streams open", c.opened.Load(), f.streams) })
	begin := time.Now()
	err = c.open(ctx, f.streams, f.quiet)
	x.Seconds = time.Since(begin).Seconds()
	last := time.Now()
	look := func(after time.Duration) (m processMemory, err error) {
		r.progress.show(func() string {
			return fmt.Sprintf("%d streams open, memory is read in %v", f.streams, (after - time.Since(last)).Round(time.Second))
		})
		if err := pause(ctx, after-time.Since(last)); err != nil {
			return m, err
		}
		if err := c.err(); err != nil {
			return m, fmt.Errorf("%d of %d streams did not stay open: %w", c.closed.Load(), f.streams, err)
		}
		return readMemory(pids)
	}
	if err == nil {
		x.Soon, err = look(f.soon)
	}
	var peakErr error
	x.Peak, peakErr = peak.end()
	cpu1, cpuErr := processCPU(pids)
	if err = errors.Join(err, peakErr, cpuErr); err != nil {
		return x, err
	}
	n := float64(f.streams)
	x.PerSecond, x.CPU = n/x.Seconds, float64((cpu1-cpu0).Nanoseconds())/1000/n
	x.SoonEach = float64(x.Soon.RSS-x.Empty.RSS) / 1024 / n
	if f.late > 0 {
		late, err := look(f.late)
		if err != nil {
			return x, err
		}
		each := float64(late.RSS-x.Empty.RSS) / 1024 / n
		x.Late, x.LateEach = &late, &each
	}
	return x, nil
}

// sumUp computes the medians.
func (r *stormReport) sumUp() {
	var soon, late []float64
	for _, x := range r.Rounds {
		soon = append(soon, x.SoonEach)
		if x.LateEach != nil {
			late = append(late, *x.LateEach)
		}
	}
	r.SoonEach = spreadOf(soon)
	if len(late) > 0 {
		s := spreadOf(late)
		r.LateEach = &s
	}
}

func (r *stormReport) writeTable(w io.Writer) error {
	fmt.Fprintf(w, "storm: %d streams on one channel connect as fast as they can; memory per stream %s and later\n%s\n%s\n\n",
		r.Streams, r.Soon, r.Server, r.Machine)
	t := columns(w)
	fmt.Fprintln(t, "round\tseconds\tconnects/s\tCPU µs/connect\tRSS empty MiB\tpeak\tsoon\tlate\tsoon, KiB/stream\tlate\t")
	const mib = 1 << 20
	for _, x := range r.Rounds {
		late := "-"
		if x.Late != nil {
			late = fmt.Sprintf("%.2f", float64(x.Late.RSS)/mib)
		}
		fmt.Fprintf(t, "%d\t%.2f\t%.0f\t%.1f\t%.2f\t%.2f\t%.2f\t%s\t%.2f\t%s\t\n", x.Round, x.Seconds, x.PerSecond, x.CPU,
			float64(x.Empty.RSS)/mib, float64(x.Peak)/mib, float64(x.Soon.RSS)/mib, late, x.SoonEach, known(x.LateEach))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nRSS per stream %s after the storm, KiB  %s  %s (aim ≤ %g)\n", r.Soon, r.SoonEach, budget(r.SoonEach.Median, stormBudget), stormAim)
	if r.LateEach != nil {
		fmt.Fprintf(w, "RSS per stream %s after the storm, KiB  %s  %s\n", r.Late, r.LateEach, budget(r.LateEach.Median, stormLateBudget))
	}
	_, err := fmt.Fprintln(w, "per stream: (RSS − RSS before the first stream) ÷ streams; median of the rounds (lowest–highest)")
	return err
}
