//go:build linux

package main

import (
	"fmt"
	"io"
	"time"
)

// roundResult is one turn of one side.
type roundResult struct {
	Side       string    `json:"side"`
	Round      int       `json:"round"`
	Deliveries int64     `json:"deliveries"`
	Seconds    float64   `json:"seconds"`
	PerSecond  float64   `json:"deliveries_per_second"`
	Lag        quantiles `json:"lag_ms"`             // of every delivery
	LastLag    quantiles `json:"last_stream_lag_ms"` // of each message's last stream
	// CPU of the side's process per delivery, µs; nil where the pid is not known.
	CPU *float64 `json:"cpu_us_per_delivery"`
	// CPU of the load generator per delivery, µs, publishing included.
	BenchCPU   float64 `json:"bench_cpu_us_per_delivery"`
	Lost       int64   `json:"lost"`
	Duplicated int64   `json:"duplicated"`
	Reordered  int64   `json:"reordered"`
	Foreign    int64   `json:"foreign"`
	// Writes of the floor that met a full socket and cost a poll and a retry.
	Again int64 `json:"floor_again,omitempty"`

	cpu      time.Duration
	cpuKnown bool
}

// fill computes the figures of a turn that took elapsed.
func (r *roundResult) fill(a *arrivals, elapsed, benchCPU time.Duration) {
	r.Deliveries = a.tally.fresh
	r.Seconds = elapsed.Seconds()
	r.PerSecond = float64(r.Deliveries) / r.Seconds
	r.Lag = quantilesOf(a.lag)
	r.LastLag = quantilesOf(a.lastStream())
	r.Lost, r.Duplicated, r.Reordered, r.Foreign = a.tally.lost, a.tally.duplicated, a.tally.reordered, a.foreign
	if r.Deliveries == 0 {
		return
	}
	micros := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 / float64(r.Deliveries) }
	r.BenchCPU = micros(benchCPU)
	if r.cpuKnown {
		v := micros(r.cpu)
		r.CPU = &v
	}
}

// losses are what makes a run fail.
type losses struct {
	Lost       int64 `json:"lost"`
	Duplicated int64 `json:"duplicated"`
}

func (l *losses) add(r roundResult) {
	l.Lost += r.Lost
	l.Duplicated += r.Duplicated
}

// sideSummary is one side over all rounds.
type sideSummary struct {
	PerSecond spread    `json:"deliveries_per_second"`
	Lag       quantiles `json:"lag_ms"`
	LastLag   quantiles `json:"last_stream_lag_ms"`
	CPU       *spread   `json:"cpu_us_per_delivery"`
}

// fanOutRatios are server ÷ floor, round by round; nil where a side is missing
// or the figure is no measure of the pattern: the lag of a burst is the length
// of a queue that the floor does not have, and the speed of a paced run is
// given.
type fanOutRatios struct {
	CPU       *spread `json:"cpu_per_delivery"`
	PerSecond *spread `json:"deliveries_per_second"`
	P50       *spread `json:"p50"`
	P99       *spread `json:"p99"`
}

// fanOutReport is the result of the fan-out mode.
type fanOutReport struct {
	Mode     string        `json:"mode"`
	Machine  machine       `json:"machine"`
	Server   string        `json:"server"`
	Pattern  pattern       `json:"pattern"`
	Rate     float64       `json:"rate,omitempty"`
	InFlight int           `json:"in_flight,omitempty"`
	Conns    int           `json:"connections,omitempty"`
	Streams  int           `json:"streams"`
	Size     int           `json:"size"`
	Frame    int           `json:"frame"` // bytes on the wire per delivery
	Messages int           `json:"messages_per_round"`
	Rounds   []roundResult `json:"rounds"`
	WarmUp   losses        `json:"warm_up"`
	Floor    *sideSummary  `json:"floor"`
	Own      *sideSummary  `json:"summary"`
	Ratios   fanOutRatios  `json:"ratios"`
}

func newFanOutReport(f *fanOutFlags, r *rig, frame int) *fanOutReport {
	rep := &fanOutReport{
		Mode: "fan-out", Machine: thisMachine(), Server: r.serverName(), Pattern: pattern(f.pattern),
		Streams: f.streams, Size: f.size, Frame: frame, Messages: f.messages,
	}
	switch rep.Pattern {
	case patternPaced:
		rep.Rate = f.rate
	case patternBurst:
		rep.InFlight, rep.Conns = f.inFlight, f.conns
	case patternClosed:
		rep.InFlight, rep.Conns = 1, 1
	}
	return rep
}

// sumUp fills in medians and ratios from the rounds.
func (r *fanOutReport) sumUp() {
	server, floor := r.side("server"), r.side("floor")
	r.Own, r.Floor = summarise(server), summarise(floor)
	r.Ratios.CPU = ratio(server, floor, func(x roundResult) float64 {
		if x.CPU == nil {
			return 0
		}
		return *x.CPU
	})
	if r.Pattern != patternPaced {
		r.Ratios.PerSecond = ratio(server, floor, func(x roundResult) float64 { return x.PerSecond })
	}
	if r.Pattern != patternBurst {
		r.Ratios.P50 = ratio(server, floor, func(x roundResult) float64 { return x.Lag.P50 })
		r.Ratios.P99 = ratio(server, floor, func(x roundResult) float64 { return x.Lag.P99 })
	}
}

func (r *fanOutReport) side(name string) (rounds []roundResult) {
	for _, x := range r.Rounds {
		if x.Side == name {
			rounds = append(rounds, x)
		}
	}
	return rounds
}

// summarise takes medians over rounds; nil of none.
func summarise(rounds []roundResult) *sideSummary {
	if len(rounds) == 0 {
		return nil
	}
	over := func(f func(x roundResult) float64) spread {
		values := make([]float64, len(rounds))
		for i, x := range rounds {
			values[i] = f(x)
		}
		return spreadOf(values)
	}
	lag := func(f func(x roundResult) quantiles) quantiles {
		return quantiles{
			P50:  over(func(x roundResult) float64 { return f(x).P50 }).Median,
			P99:  over(func(x roundResult) float64 { return f(x).P99 }).Median,
			P999: over(func(x roundResult) float64 { return f(x).P999 }).Median,
			Max:  over(func(x roundResult) float64 { return f(x).Max }).Max,
		}
	}
	s := &sideSummary{
		PerSecond: over(func(x roundResult) float64 { return x.PerSecond }),
		Lag:       lag(func(x roundResult) quantiles { return x.Lag }),
		LastLag:   lag(func(x roundResult) quantiles { return x.LastLag }),
	}
	for _, x := range rounds {
		if x.CPU == nil {
			return s
		}
	}
	cpu := over(func(x roundResult) float64 { return *x.CPU })
	s.CPU = &cpu
	return s
}

// ratio divides a by b round by round; nil where a value is missing or zero.
func ratio(a, b []roundResult, f func(x roundResult) float64) *spread {
	if len(a) == 0 || len(a) != len(b) {
		return nil
	}
	x, y := make([]float64, len(a)), make([]float64, len(a))
	for i := range a {
		x[i], y[i] = f(a[i]), f(b[i])
	}
	return quotients(x, y)
}

// verdict is an error where messages were lost or repeated on either side.
func (r *fanOutReport) verdict() error {
	sum := r.WarmUp
	for _, x := range r.Rounds {
		sum.add(x)
	}
	if sum.Lost == 0 && sum.Duplicated == 0 {
		return nil
	}
	return fmt.Errorf("bench: %d deliveries were lost and %d repeated", sum.Lost, sum.Duplicated)
}

func (r *fanOutReport) writeTable(w io.Writer) error {
	how := map[pattern]string{
		patternClosed: "one message at a time, the next when every stream has it",
		patternBurst:  fmt.Sprintf("%d publications in flight over %d connections", r.InFlight, r.Conns),
		patternPaced:  fmt.Sprintf("%g messages/s", r.Rate),
	}[r.Pattern]
	fmt.Fprintf(w, "fan-out, %s: %s\n%d streams on one channel, %d B of data (%d B on the wire), %d messages a round\n%s\n%s\n\n",
		r.Pattern, how, r.Streams, r.Size, r.Frame, r.Messages, r.Server, r.Machine)
	t := columns(w)
	fmt.Fprintln(t, "round\tside\tdeliveries/s\tp50 ms\tp99\tp99.9\tmax\tlast p50\tlast p99\tCPU µs/delivery\tbench CPU\tlost\trepeated\treordered\t")
	for _, x := range r.Rounds {
		fmt.Fprintf(t, "%d\t%s\t%.0f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%s\t%.2f\t%d\t%d\t%d\t\n", x.Round, x.Side, x.PerSecond,
			x.Lag.P50, x.Lag.P99, x.Lag.P999, x.Lag.Max, x.LastLag.P50, x.LastLag.P99, known(x.CPU), x.BenchCPU, x.Lost, x.Duplicated, x.Reordered)
	}
	for _, s := range []struct {
		name string
		sum  *sideSummary
	}{{"server", r.Own}, {"floor", r.Floor}} {
		if s.sum == nil {
			continue
		}
		var cpu *float64
		if s.sum.CPU != nil {
			cpu = &s.sum.CPU.Median
		}
		fmt.Fprintf(t, "median\t%s\t%.0f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%s\t\t\t\t\t\n", s.name, s.sum.PerSecond.Median,
			s.sum.Lag.P50, s.sum.Lag.P99, s.sum.Lag.P999, s.sum.Lag.Max, s.sum.LastLag.P50, s.sum.LastLag.P99, known(cpu))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	for _, x := range []struct {
		name string
		s    *spread
	}{{"CPU per delivery", r.Ratios.CPU}, {"deliveries/s", r.Ratios.PerSecond}, {"p50 lag", r.Ratios.P50}, {"p99 lag", r.Ratios.P99}} {
		if x.s != nil {
			fmt.Fprintf(w, "%-17s server ÷ floor  %s\n", x.name, x.s)
		}
	}
	if r.Pattern == patternBurst {
		// Why: a server that answers a publication before it delivers it builds
		// a backlog, and then sends ever fuller batches.
		fmt.Fprintln(w, "burst: in flight means not yet answered, not yet delivered may be far more; lag is the time in that backlog and grows with -messages")
	}
	_, err := fmt.Fprintln(w, "ratios: median of the rounds (lowest–highest); the floor stamps a message just before its first write, the server's are stamped before the publish request")
	return err
}

// known prints a figure that may be missing.
func known(v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%.2f", *v)
}
