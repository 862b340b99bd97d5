//go:build linux

package engine

import (
	"fmt"
	"io"

	"sluice/bench/figures"
	"sluice/bench/rig"
)

// Report is the result of the mode engine.
type Report struct {
	figures.Header
	Conns    int           `json:"connections"`
	Size     int           `json:"size"`
	Streams  int           `json:"streams"`
	Messages int           `json:"messages_per_burst"`
	InFlight int           `json:"in_flight"`
	Publish  []publishTurn `json:"publish"`
	Lag      []lagTurn     `json:"lag"`
	Burst    *burstResult  `json:"burst"`
	// The budgets, median and extremes of the rounds.
	History  *figures.Spread `json:"history_over_benchmark"`
	Plain    *figures.Spread `json:"plain_over_benchmark"`
	LagOver  *figures.Spread `json:"far_lag_over_allowed"`
	Commands *figures.Spread `json:"commands_per_publication"` // both forms
	CPU      *figures.Spread `json:"receiving_cpu_over_memory"`
	// The same ÷ the memory engine's with its API.
	CPUWithAPI *figures.Spread `json:"receiving_cpu_over_memory_with_api"`

	forms []string
}

func newReport(f *Flags, r *rig.Rig) *Report {
	return &Report{
		Header: r.Header("engine"), Conns: f.Conns, Size: f.Size, Streams: f.Streams, Messages: f.Messages, InFlight: f.InFlight,
		forms: []string{"with history", "without history"},
	}
}

// of are a figure of one form's turns.
func (r *Report) of(name string, figure func(t publishTurn) float64) figures.Spread {
	return figures.SpreadOf(figures.Of(r.Publish, func(t publishTurn) bool { return t.Form == name }, figure))
}

// sumUp fills in the budgets.
func (r *Report) sumUp() {
	over := func(t publishTurn) float64 { return t.Over }
	history, plain := r.of(r.forms[0], over), r.of(r.forms[1], over)
	lag := figures.SpreadOf(figures.Of(r.Lag, nil, func(t lagTurn) float64 { return t.Over }))
	commands := figures.SpreadOf(figures.Of(r.Publish, nil, func(t publishTurn) float64 { return t.Commands }))
	r.History, r.Plain, r.LagOver, r.Commands = &history, &plain, &lag, &commands
	r.CPU, r.CPUWithAPI = r.Burst.over()
}

// Verdict is an error where a message was lost or repeated; a budget that is missed is
// none.
func (r *Report) Verdict() error { return r.Burst.verdict() }

// WriteTable implements figures.Report.
func (r *Report) WriteTable(w io.Writer) error {
	r.WriteTitle(w, "engine: publications of %d B through Redis, %d connections with one in flight each, next to redis-benchmark -P 1 -c %d of the same command",
		r.Size, r.Conns, r.Conns)
	if err := r.writePublish(w); err != nil {
		return err
	}
	if err := r.writeLag(w); err != nil {
		return err
	}
	if err := r.writeBurst(w); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, "medians of the rounds (lowest–highest)")
	return err
}

func (r *Report) writePublish(w io.Writer) error {
	t := figures.Columns(w)
	fmt.Fprintln(t, "round\tform\tredis-benchmark/s\tours/s\tratio\tin flight/s\tmemory engine/s\tanswer p50 ms\tp99\tCPU µs: node\tRedis\tbench\tof benchmark: Redis\tcommands\texecuted\treads of Redis\t")
	for _, x := range r.Publish {
		fmt.Fprintf(t, "%d\t%s\t%.0f\t%.0f\t%.2f\t%.0f\t%.0f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.4f\t%.2f\t%.3f\t\n", x.Round, x.Form, x.Benchmark, x.PerSecond, x.Over, x.Flight, x.Memory,
			x.Answer.P50, x.Answer.P99, x.CPU.Node, x.CPU.Redis, x.CPU.Bench, x.BenchmarkCPU, x.Commands, x.Executed, x.Reads)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	for i, s := range []*figures.Spread{r.History, r.Plain} {
		fmt.Fprintf(w, "publications/s %s ÷ redis-benchmark  %s  %s\n", r.forms[i], s, figures.BudgetAtLeast(s.Median, PublishBudget))
	}
	for _, name := range r.forms {
		if s := r.of(name, func(t publishTurn) float64 { return t.Flight }); s.Max > 0 {
			fmt.Fprintf(w, "publications/s %s, %d in flight over pipelined connections  %.0f (%.0f–%.0f)\n", name, r.InFlight, s.Median, s.Min, s.Max)
		}
		if s := r.of(name, func(t publishTurn) float64 { return t.Memory / t.Benchmark }); s.Max > 0 {
			fmt.Fprintf(w, "publications/s of the memory engine %s ÷ redis-benchmark of Redis  %s\n", name, s)
		}
		r.writeShape(w, name, fmt.Sprintf("in batch requests of %d", batchOf), func(t publishTurn) shape { return t.Batch })
		r.writeShape(w, name, fmt.Sprintf("of %d callers of the engine, without HTTP", r.Conns), func(t publishTurn) shape { return t.Engine })
	}
	_, err := fmt.Fprintf(w, "commands per publication  %.4f (%.4f–%.4f)  %s, and %g for what a node asks of its own accord\n\n",
		r.Commands.Median, r.Commands.Min, r.Commands.Max, figures.Budget(r.Commands.Median-CommandsMore, CommandsBudget), CommandsMore)
	return err
}

// writeShape writes another way to publish, if it was measured. No budget is about it.
func (r *Report) writeShape(w io.Writer, form, how string, of func(t publishTurn) shape) {
	over := r.of(form, func(t publishTurn) float64 { return of(t).Over })
	if over.Max == 0 {
		return
	}
	rate := r.of(form, func(t publishTurn) float64 { return of(t).PerSecond })
	cpu := func(who func(c CPU) float64) float64 {
		return r.of(form, func(t publishTurn) float64 { return who(of(t).CPU) }).Median
	}
	fmt.Fprintf(w, "publications/s %s, %s ÷ redis-benchmark  %s: %.0f/s, CPU µs of node %.1f, Redis %.1f, bench %.1f\n", form, how, over, rate.Median,
		cpu(func(c CPU) float64 { return c.Node }), cpu(func(c CPU) float64 { return c.Redis }), cpu(func(c CPU) float64 { return c.Bench }))
}

func (r *Report) writeLag(w io.Writer) error {
	t := figures.Columns(w)
	fmt.Fprintln(t, "round\tpublications/s\tsent\tsame node: p50 ms\tp99\tp99.9\tother node: p50 ms\tp99\tp99.9\tp99 ÷ allowed\t")
	for _, x := range r.Lag {
		fmt.Fprintf(t, "%d\t%.0f\t%d\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t\n", x.Round, x.Rate, x.Sent,
			x.Near.P50, x.Near.P99, x.Near.P999, x.Far.P50, x.Far.P99, x.Far.P999, x.Over)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\np99 lag on the other node ÷ (%g × that on the publishing one + %g ms), at half the rate  %s  %s\n\n", LagTimes, LagMore, r.LagOver, figures.Budget(r.LagOver.Median, LagBudget))
	return err
}

func (r *Report) writeBurst(w io.Writer) error {
	b := r.Burst
	fmt.Fprintf(w, "burst of %d messages to %d streams, %d in flight, CPU µs per delivery:\n", r.Messages, r.Streams, r.InFlight)
	fmt.Fprintf(w, "  node that only receives   %s, %.0f deliveries/s\n", figures.SpreadOf(b.Receiving), b.ReceivingRate.Median)
	fmt.Fprintf(w, "  memory engine             %s, %.0f deliveries/s\n", figures.SpreadOf(b.Memory), b.MemoryRate.Median)
	fmt.Fprintf(w, "  of it publishing alone    %.3f (as measured without streams)\n", figures.SpreadOf(b.API).Median)
	if r.CPU == nil || r.CPUWithAPI == nil {
		_, err := fmt.Fprintln(w, "no ratio: CPU is not known of all rounds")
		return err
	}
	_, err := fmt.Fprintf(w, "receiving ÷ memory without its publishing  %s  %s\nreceiving ÷ memory with it  %s\n",
		r.CPU, figures.Budget(r.CPU.Median, CPUBudget), r.CPUWithAPI)
	return err
}
