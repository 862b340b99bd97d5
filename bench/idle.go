//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

// idleFlags are the settings of the idle mode.
type idleFlags struct {
	commonFlags
	stepList string
	steps    []int
	settle   time.Duration
	grow     bool
}

func setupIdle(fs *flag.FlagSet) func(ctx context.Context) error {
	f := &idleFlags{}
	f.register(fs)
	fs.StringVar(&f.stepList, "steps", "5000,15000", "numbers of streams, growing")
	fs.DurationVar(&f.settle, "settle", time.Minute, "how long to wait after each ramp before memory is read")
	fs.BoolVar(&f.grow, "grow", false, "let one server grow from step to step instead of starting a fresh one for each; always so with -url")
	return func(ctx context.Context) error {
		r, err := runIdle(ctx, f)
		if err != nil {
			return err
		}
		return writeReport(os.Stdout, r, f.asJSON)
	}
}

func (f *idleFlags) check() error {
	last := 0
	for s := range strings.SplitSeq(f.stepList, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(s))
		if err != nil || n <= last {
			return fmt.Errorf("bench: -steps should be growing numbers such as 5000,15000, not %q", f.stepList)
		}
		f.steps = append(f.steps, n)
		last = n
	}
	if f.settle < 0 {
		return errors.New("bench: -settle should not be negative")
	}
	return nil
}

// idleStep is what was seen with so many streams open. Memory in bytes.
type idleStep struct {
	Streams    int           `json:"streams"`
	Empty      processMemory `json:"empty"` // the same process before its first stream
	Memory     processMemory `json:"memory"`
	Goroutines int           `json:"goroutines"` // -1: the server has no pprof page
	Kernel     int64         `json:"kernel"`     // slab and TCP pages of the machine
}

// idleReport is the result of the idle mode. The slopes are between the first
// and the last step that was asked for (between none and it, if only one was).
type idleReport struct {
	Mode    string     `json:"mode"`
	Machine machine    `json:"machine"`
	Server  string     `json:"server"`
	Token   bool       `json:"token"` // each stream is a user with an HS256 token
	Settle  string     `json:"settle"`
	Fresh   bool       `json:"fresh"` // a server of its own for each step
	Steps   []idleStep `json:"steps"` // the first is before any stream
	// KiB per stream. Kernel is both ends of a connection, for the whole machine.
	RSS        float64  `json:"rss_kib_per_stream"`
	Anonymous  float64  `json:"anonymous_kib_per_stream"`
	Kernel     float64  `json:"kernel_kib_per_stream_both_ends"`
	Goroutines *float64 `json:"goroutines_per_stream"`
}

// silent is the eventHandler of streams whose events do not matter.
type silent struct{}

func (silent) Opened(int)               {}
func (silent) Event(int, []byte, int64) {}
func (silent) Flush()                   {}

// runIdle measures each step with a fresh server, unless told to grow one.
//
// Why: a server that grows could take what the first ramp left in its heap for
// the second; with a fresh one each step is what a server with that many
// streams holds, and the steps differ in nothing else. Whether the two ways
// really differ is within the scatter of a few runs, so neither is quoted from
// one run.
func runIdle(ctx context.Context, f *idleFlags) (*idleReport, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	report := &idleReport{Mode: "idle", Machine: thisMachine(), Settle: f.settle.String(), Fresh: !f.grow && f.url == ""}
	ramps := [][]int{f.steps}
	if report.Fresh {
		ramps = nil
		for _, n := range f.steps {
			ramps = append(ramps, []int{n})
		}
	}
	for _, ramp := range ramps {
		if err := idleRamp(ctx, f, ramp, report); err != nil {
			return nil, err
		}
	}
	report.sumUp()
	return report, nil
}

// idleRamp opens the numbers of streams in ramp, one after the other, on one
// server.
func idleRamp(ctx context.Context, f *idleFlags, ramp []int, report *idleReport) error {
	most := ramp[len(ramp)-1]
	r, err := newRig(ctx, &f.commonFlags, most+64)
	if err != nil {
		return err
	}
	defer r.close()
	if len(r.target.pids) == 0 {
		return errNoPID
	}
	c, err := r.newClient(r.streams, most, func(int) eventHandler { return silent{} })
	if err != nil {
		return err
	}
	defer c.close()
	report.Server, report.Token = r.serverName(), r.target.secret != ""
	empty, err := idleAt(ctx, f, r, c, 0)
	if err != nil {
		return r.server.explain(err)
	}
	empty.Empty = empty.Memory
	if len(report.Steps) == 0 {
		report.Steps = append(report.Steps, empty)
	}
	for _, n := range ramp {
		step, err := idleAt(ctx, f, r, c, n)
		if err != nil {
			return r.server.explain(err)
		}
		step.Empty = empty.Memory
		report.Steps = append(report.Steps, step)
	}
	return nil
}

// idleAt grows to n streams, waits, and looks.
func idleAt(ctx context.Context, f *idleFlags, r *rig, c *client, n int) (idleStep, error) {
	step := idleStep{Streams: n}
	if n > 0 {
		r.progress.show(func() string { return fmt.Sprintf("%d of %d streams open", c.opened.Load(), n) })
		if err := c.open(ctx, n-int(c.opened.Load()), f.quiet); err != nil {
			return step, err
		}
		until := time.Now().Add(f.settle)
		r.progress.show(func() string {
			return fmt.Sprintf("%d streams open, settling for %v more", n, time.Until(until).Round(time.Second))
		})
		timer := time.NewTimer(f.settle)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return step, ctx.Err()
		case <-timer.C:
		}
		if err := c.err(); err != nil {
			return step, fmt.Errorf("%d of %d streams did not stay open: %w", c.closed.Load(), n, err)
		}
	}
	var err error
	// Why: the memory is read first; asking for goroutines makes some.
	step.Memory, err = readMemory(r.target.pids)
	step.Kernel = kernelMemory()
	step.Goroutines = goroutines(ctx, r.streams.String())
	return step, err
}

// sumUp computes the slopes.
func (r *idleReport) sumUp() {
	from, to := r.Steps[min(1, len(r.Steps)-2)], r.Steps[len(r.Steps)-1]
	n := float64(to.Streams - from.Streams)
	kib := func(a, b int64) float64 { return float64(b-a) / 1024 / n }
	r.RSS = kib(from.Memory.RSS, to.Memory.RSS)
	r.Anonymous = kib(from.Memory.Anonymous, to.Memory.Anonymous)
	r.Kernel = kib(from.Kernel, to.Kernel)
	if from.Goroutines >= 0 && to.Goroutines >= 0 {
		g := float64(to.Goroutines-from.Goroutines) / n
		r.Goroutines = &g
	}
}

func (r *idleReport) writeTable(w io.Writer) error {
	who := "anonymous"
	if r.Token {
		who = "users with an HS256 token each"
	}
	how := "one server that grows from step to step"
	if r.Fresh {
		how = "a fresh server for each step"
	}
	fmt.Fprintf(w, "idle: streams on one channel, %s; %s, read %s after each ramp\n%s\n%s\n\n",
		who, how, r.Settle, r.Server, r.Machine)
	t := columns(w)
	fmt.Fprintln(t, "streams\tRSS MiB\tanonymous MiB\twhole growth, KiB/stream\tthreads\tgoroutines\tkernel MiB\t")
	const mib = 1 << 20
	for _, s := range r.Steps {
		goroutines := "-"
		if s.Goroutines >= 0 {
			goroutines = strconv.Itoa(s.Goroutines)
		}
		growth := "-"
		if s.Streams > 0 {
			growth = fmt.Sprintf("%.2f", float64(s.Memory.RSS-s.Empty.RSS)/1024/float64(s.Streams))
		}
		fmt.Fprintf(t, "%d\t%.2f\t%.2f\t%s\t%d\t%s\t%.2f\t\n", s.Streams, float64(s.Memory.RSS)/mib, float64(s.Memory.Anonymous)/mib,
			growth, s.Memory.Threads, goroutines, float64(s.Kernel)/mib)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nRSS per stream (slope)  %.2f KiB, %.2f KiB of it anonymous\nkernel, both ends of a connection, with whatever else the machine did  %.2f KiB\n",
		r.RSS, r.Anonymous, r.Kernel)
	if err == nil && r.Goroutines != nil {
		_, err = fmt.Fprintf(w, "goroutines per stream  %.4f\n", *r.Goroutines)
	}
	if err == nil {
		_, err = fmt.Fprintln(w, "one sample: slopes scatter from run to run; take the median of several before judging a budget")
	}
	return err
}
