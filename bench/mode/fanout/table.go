//go:build linux

package fanout

import (
	"fmt"
	"io"

	"sluice/bench/figures"
	"sluice/bench/rig"
)

// WriteTable implements figures.Report.
func (r *Report) WriteTable(w io.Writer) error {
	how := map[Pattern]string{
		PatternClosed: "one message at a time, the next when every stream has it",
		PatternBurst:  fmt.Sprintf("%d publications in flight over %d connections", r.InFlight, r.Conns),
		PatternPaced:  fmt.Sprintf("%g messages/s", r.Rate),
	}[r.Pattern]
	where := "on one channel"
	if r.OwnChannels {
		where = "on a channel each"
	}
	r.WriteTitle(w, "%s, %s: %s\n%d streams %s, %d B of data (%d B on the wire), %d messages a round",
		r.Mode, r.Pattern, how, r.Streams, where, r.Size, r.Frame, r.Messages)
	if err := r.writeRounds(w); err != nil {
		return err
	}
	fmt.Fprintln(w)
	r.Ratios.write(w, rig.FloorSide)
	for _, p := range r.Peers {
		p.Ratios.write(w, p.Name)
	}
	if r.OwnChannels && r.Own != nil && r.Own.CPU != nil {
		fmt.Fprintf(w, "CPU of a publication and its delivery, µs  %s  %s\n", r.Own.CPU, figures.Budget(r.Own.CPU.Median, OwnChannelBudget))
	}
	if over := r.OwnOverNchan(); over != nil {
		fmt.Fprintf(w, "CPU of a publication and its delivery ÷ nchan's  %s  %s\n", over, figures.Budget(over.Median, OwnChannelNchanBudget))
	}
	if r.Own != nil && r.Own.RSS != nil {
		fmt.Fprintf(w, "RSS grew by %.2f KiB per stream in the run, queues and heap of the publishing included\n", *r.Own.RSS)
	}
	if r.Allocations != nil {
		fmt.Fprintf(w, "allocations per delivery, publishing included  %.4f\n", *r.Allocations)
	}
	if r.Pattern == PatternBurst && !r.OwnChannels {
		// Why: a server that answers a publication before it delivers it builds
		// a backlog, and then sends ever fuller batches.
		fmt.Fprintln(w, "burst: in flight means not yet answered, not yet delivered may be far more; lag is the time in that backlog and grows with -messages")
	}
	_, err := fmt.Fprintln(w, "ratios: median of the rounds (lowest–highest); the floor stamps a message just before its first write, the servers' are stamped before the publish request")
	return err
}

// What a publication to a channel with one stream may cost, with its delivery: µs of
// CPU, and as a multiple of nchan's.
const (
	OwnChannelBudget      = 30.0
	OwnChannelNchanBudget = 0.7
)

// OwnOverNchan is the CPU of a publication and its delivery, ours ÷ nchan's; nil where
// it was not there or streams share a channel.
func (r *Report) OwnOverNchan() *figures.Spread {
	for _, p := range r.Peers {
		if r.OwnChannels && p.Name == rig.NchanSide {
			return p.Ratios.CPU
		}
	}
	return nil
}

// writeRounds prints every turn, and the medians.
func (r *Report) writeRounds(w io.Writer) error {
	t := figures.Columns(w)
	fmt.Fprintln(t, "round\tside\tdeliveries/s\tp50 ms\tp99\tp99.9\tmax\tlast p50\tlast p99\tCPU µs/delivery\tbench CPU\tlost\trepeated\treordered\t")
	for _, x := range r.Rounds {
		fmt.Fprintf(t, "%d\t%s\t%.0f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%s\t%.2f\t%d\t%d\t%d\t\n", x.Round, x.Side, x.PerSecond,
			x.Lag.P50, x.Lag.P99, x.Lag.P999, x.Lag.Max, x.LastLag.P50, x.LastLag.P99, figures.Known(x.CPU), x.BenchCPU, x.Lost, x.Duplicated, x.Reordered)
	}
	row := func(name string, s *Summary) {
		if s == nil {
			return
		}
		var cpu *float64
		if s.CPU != nil {
			cpu = &s.CPU.Median
		}
		fmt.Fprintf(t, "median\t%s\t%.0f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%s\t\t\t\t\t\n", name, s.PerSecond.Median,
			s.Lag.P50, s.Lag.P99, s.Lag.P999, s.Lag.Max, s.LastLag.P50, s.LastLag.P99, figures.Known(cpu))
	}
	row(rig.OurSide, r.Own)
	row(rig.FloorSide, r.Floor)
	row(manySide, r.summarise(manySide))
	for _, p := range r.Peers {
		row(p.Name, p.Summary)
	}
	return t.Flush()
}

// write prints the ratios to the other side.
func (q fanOutRatios) write(w io.Writer, other string) {
	for _, x := range []struct {
		name string
		s    *figures.Spread
	}{{"CPU per delivery", q.CPU}, {"deliveries/s", q.PerSecond}, {"p50 lag", q.P50}, {"p99 lag", q.P99}} {
		if x.s != nil {
			fmt.Fprintf(w, "%-17s server ÷ %s  %s\n", x.name, other, x.s)
		}
	}
}
