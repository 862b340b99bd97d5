//go:build linux

package connect

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"sluice/bench/figures"
	"sluice/bench/load"
	"sluice/bench/proc"
	"sluice/bench/rig"
)

// StormFlags are the settings of the storm mode.
type StormFlags struct {
	rig.CommonFlags
	Streams, Rounds int
	Soon, late      time.Duration
}

// stormRamp is how many streams connect at a time by default.
const stormRamp = "1000"

// The budgets of memory per stream after a storm of connects, KiB.
const (
	StormBudget     = 2.0  // soon
	StormAim        = 1.5  // soon, DESIGN section 6
	stormLateBudget = 1.25 // late
)

// SetupStorm declares the flags of the mode storm, and returns what runs it.
func SetupStorm(fs *flag.FlagSet) func(ctx context.Context) error {
	f := &StormFlags{}
	f.Register(fs)
	ramp := fs.Lookup("ramp")
	ramp.DefValue = stormRamp
	fs.IntVar(&f.Streams, "streams", 15_000, "streams, all on one channel, that connect as fast as they can")
	fs.DurationVar(&f.Soon, "soon", 5*time.Second, "after the last connect, when memory is read")
	fs.DurationVar(&f.late, "late", time.Minute, "when it is read again; 0: it is not")
	fs.IntVar(&f.Rounds, "rounds", 1, "storms, each on a fresh server; 1 with -url")
	if err := ramp.Value.Set(stormRamp); err != nil {
		panic("BUG: " + err.Error())
	}
	return func(ctx context.Context) error {
		return f.Conclude(RunStorm(ctx, f))
	}
}

func (f *StormFlags) check() error {
	if f.Streams < 1 || f.Rounds < 1 || f.Soon < 0 || f.late != 0 && f.late < f.Soon {
		return errors.New("bench: -streams and -rounds should be above zero, -soon not negative, and -late 0 or not below it")
	}
	return f.FreshRounds(f.Rounds, "storm")
}

// stormRound is one storm. Memory in bytes.
type stormRound struct {
	Round     int          `json:"round"`
	Seconds   float64      `json:"seconds"`
	PerSecond float64      `json:"connects_per_second"`
	CPU       float64      `json:"cpu_us_per_connect"`
	Empty     proc.Memory  `json:"empty"`
	Peak      int64        `json:"rss_peak"` // from the first connect to the first reading
	Soon      proc.Memory  `json:"soon"`
	Late      *proc.Memory `json:"late"` // nil: not read
	// KiB per stream.
	SoonEach float64  `json:"soon_kib_per_stream"`
	LateEach *float64 `json:"late_kib_per_stream"`
}

// StormReport is the result of the storm mode.
type StormReport struct {
	figures.Header
	Streams  int             `json:"streams"`
	Soon     string          `json:"soon"`
	Late     string          `json:"late"`
	Rounds   []stormRound    `json:"rounds"`
	SoonEach figures.Spread  `json:"soon_kib_per_stream"`
	LateEach *figures.Spread `json:"late_kib_per_stream"`
}

// RunStorm runs the mode storm.
func RunStorm(ctx context.Context, f *StormFlags) (*StormReport, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	report := &StormReport{Streams: f.Streams, Soon: f.Soon.String(), Late: f.late.String()}
	for round := 1; round <= f.Rounds; round++ {
		r, err := rig.New(ctx, &f.CommonFlags, f.Streams+64)
		if err != nil {
			return nil, err
		}
		report.Header = r.Header("storm")
		x, err := stormOnce(ctx, f, r)
		if ctx.Err() == nil {
			err = r.Explain(err)
		}
		r.Close()
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
func stormOnce(ctx context.Context, f *StormFlags, r *rig.Rig) (x stormRound, err error) {
	pids := r.Target.PIDs
	if len(pids) == 0 {
		return x, proc.ErrNoPID
	}
	if x.Empty, err = proc.ReadMemory(pids); err != nil {
		return x, err
	}
	c, err := r.NewClient(&r.Host, f.Streams, load.Ignore)
	if err != nil {
		return x, err
	}
	defer c.Close()
	cpu0, err := proc.RestedCPU(ctx, pids, f.Quiet)
	if err != nil {
		return x, err
	}
	peak, err := proc.WatchPeak(pids)
	if err != nil {
		return x, err
	}
	r.Progress.Show(func() string { return fmt.Sprintf("%d of %d streams open", c.Opened.Load(), f.Streams) })
	begin := time.Now()
	err = c.Open(ctx, f.Streams, f.Quiet)
	x.Seconds = time.Since(begin).Seconds()
	last := time.Now()
	look := func(after time.Duration) (m proc.Memory, err error) {
		r.Progress.Show(func() string {
			return fmt.Sprintf("%d streams open, memory is read in %v", f.Streams, (after - time.Since(last)).Round(time.Second))
		})
		if err := proc.Pause(ctx, after-time.Since(last)); err != nil {
			return m, err
		}
		if err := c.Err(); err != nil {
			return m, fmt.Errorf("%d of %d streams did not stay open: %w", c.Closed.Load(), f.Streams, err)
		}
		return proc.ReadMemory(pids)
	}
	if err == nil {
		x.Soon, err = look(f.Soon)
	}
	var peakErr error
	x.Peak, peakErr = peak.End()
	cpu1, cpuErr := proc.CPU(pids)
	if err = errors.Join(err, peakErr, cpuErr); err != nil {
		return x, err
	}
	n := float64(f.Streams)
	x.PerSecond, x.CPU = n/x.Seconds, figures.MicrosEach(cpu1-cpu0, f.Streams)
	x.SoonEach = figures.KiBEach(x.Soon.RSS-x.Empty.RSS, f.Streams)
	if f.late > 0 {
		late, err := look(f.late)
		if err != nil {
			return x, err
		}
		each := figures.KiBEach(late.RSS-x.Empty.RSS, f.Streams)
		x.Late, x.LateEach = &late, &each
	}
	return x, nil
}

// sumUp computes the medians.
func (r *StormReport) sumUp() {
	var soon, late []float64
	for _, x := range r.Rounds {
		soon = append(soon, x.SoonEach)
		if x.LateEach != nil {
			late = append(late, *x.LateEach)
		}
	}
	r.SoonEach = figures.SpreadOf(soon)
	if len(late) > 0 {
		s := figures.SpreadOf(late)
		r.LateEach = &s
	}
}

// WriteTable implements figures.Report.
func (r *StormReport) WriteTable(w io.Writer) error {
	r.WriteTitle(w, "storm: %d streams on one channel connect as fast as they can; memory per stream %s and later",
		r.Streams, r.Soon)
	t := figures.Columns(w)
	fmt.Fprintln(t, "round\tseconds\tconnects/s\tCPU µs/connect\tRSS empty MiB\tpeak\tsoon\tlate\tsoon, KiB/stream\tlate\t")
	const mib = 1 << 20
	for _, x := range r.Rounds {
		late := "-"
		if x.Late != nil {
			late = fmt.Sprintf("%.2f", float64(x.Late.RSS)/mib)
		}
		fmt.Fprintf(t, "%d\t%.2f\t%.0f\t%.1f\t%.2f\t%.2f\t%.2f\t%s\t%.2f\t%s\t\n", x.Round, x.Seconds, x.PerSecond, x.CPU,
			float64(x.Empty.RSS)/mib, float64(x.Peak)/mib, float64(x.Soon.RSS)/mib, late, x.SoonEach, figures.Known(x.LateEach))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nRSS per stream %s after the storm, KiB  %s  %s (aim ≤ %g)\n", r.Soon, r.SoonEach, figures.Budget(r.SoonEach.Median, StormBudget), StormAim)
	if r.LateEach != nil {
		fmt.Fprintf(w, "RSS per stream %s after the storm, KiB  %s  %s\n", r.Late, r.LateEach, figures.Budget(r.LateEach.Median, stormLateBudget))
	}
	_, err := fmt.Fprintln(w, "per stream: (RSS − RSS before the first stream) ÷ streams; median of the rounds (lowest–highest)")
	return err
}
