//go:build linux

package main

import (
	"fmt"
	"io"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
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
	peer     bool // another server: what it loses is told, and no failure
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
	Deliveries int64 `json:"our_deliveries"`
}

// add counts a turn, unless it is a peer's, who may lose what it likes.
func (l *losses) add(r roundResult) {
	if r.Side == ourSide {
		l.Deliveries += r.Deliveries
	}
	if r.peer {
		return
	}
	l.Lost += r.Lost
	l.Duplicated += r.Duplicated
}

// sideSummary is one side over all rounds.
type sideSummary struct {
	PerSecond spread    `json:"deliveries_per_second"`
	Lag       quantiles `json:"lag_ms"`
	LastLag   quantiles `json:"last_stream_lag_ms"`
	CPU       *spread   `json:"cpu_us_per_delivery"`
	// Lags of all rounds' deliveries: the curve of a chart.
	Curve []lagPoint `json:"lag_curve"`
	// Growth of the server's memory from before its streams were opened to the
	// end of the run, KiB per stream; nil where the pid is not known.
	RSS *float64 `json:"rss_kib_per_stream"`
}

// lagPoint says that the share Percentile of deliveries lagged at most MS.
type lagPoint struct {
	Percentile float64 `json:"percentile"`
	MS         float64 `json:"ms"`
}

// curvePercentiles are those of a lag curve.
var curvePercentiles = []float64{1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 97, 98, 99, 99.5, 99.9, 99.95, 99.99, 100}

func curveOf(h *hdrhistogram.Histogram) (points []lagPoint) {
	for _, p := range curvePercentiles {
		points = append(points, lagPoint{Percentile: p, MS: float64(h.ValueAtQuantile(p)) / 1000})
	}
	return points
}

// fanOutRatios are ours ÷ the floor's or a peer's, round by round; nil where a
// side is missing or the figure is no measure of the pattern: the lag of a burst is the length
// of a queue that the floor does not have, and the speed of a paced run is
// given.
type fanOutRatios struct {
	CPU       *spread `json:"cpu_per_delivery"`
	PerSecond *spread `json:"deliveries_per_second"`
	P50       *spread `json:"p50"`
	P99       *spread `json:"p99"`
}

// peerResult is another server in the same run.
type peerResult struct {
	Name    string       `json:"name"`
	Summary *sideSummary `json:"summary"`
	Ratios  fanOutRatios `json:"ours_over_peer"`
}

// fanOutReport is the result of the modes that publish to open streams.
type fanOutReport struct {
	header
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
	Peers    []peerResult  `json:"peers"`
	// Objects that our server allocated per delivery, publishing included; nil
	// where it has no pprof page.
	Allocations *float64 `json:"allocations_per_delivery"`
	OwnChannels bool     `json:"own_channels"` // each stream has a channel of its own

	lags map[string]*hdrhistogram.Histogram // by side
}

func newFanOutReport(f *fanOutFlags, r *rig, frame int) *fanOutReport {
	rep := &fanOutReport{
		header: r.header(f.mode), Pattern: pattern(f.pattern),
		Streams: f.streams, Size: f.size, Frame: frame, Messages: f.messages, OwnChannels: f.ownChannels,
		lags: map[string]*hdrhistogram.Histogram{},
	}
	for _, h := range r.peers {
		rep.Peers = append(rep.Peers, peerResult{Name: h.name})
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

// add takes a turn.
func (r *fanOutReport) add(x roundResult, lag *hdrhistogram.Histogram) {
	r.Rounds = append(r.Rounds, x)
	if r.lags[x.Side] == nil {
		r.lags[x.Side] = newHistogram()
	}
	r.lags[x.Side].Merge(lag)
}

// sumUp fills in medians and ratios from the rounds.
func (r *fanOutReport) sumUp() {
	r.Own, r.Floor = r.summarise(ourSide), r.summarise(floorSide)
	r.Ratios = r.ratiosTo(floorSide)
	for i := range r.Peers {
		p := &r.Peers[i]
		p.Summary, p.Ratios = r.summarise(p.Name), r.ratiosTo(p.Name)
	}
}

// floorSide is what the floor is called in tables.
const floorSide = "floor"

// ratiosTo are ours ÷ those of the other side.
func (r *fanOutReport) ratiosTo(name string) (q fanOutRatios) {
	ours, theirs := r.side(ourSide), r.side(name)
	q.CPU = ratio(ours, theirs, cpuOf)
	if r.Pattern != patternPaced {
		q.PerSecond = ratio(ours, theirs, func(x roundResult) float64 { return x.PerSecond })
	}
	if r.Pattern != patternBurst {
		q.P50 = ratio(ours, theirs, func(x roundResult) float64 { return x.Lag.P50 })
		q.P99 = ratio(ours, theirs, p99Of)
	}
	return q
}

func cpuOf(x roundResult) float64 {
	if x.CPU == nil {
		return 0
	}
	return *x.CPU
}

func p99Of(x roundResult) float64 { return x.Lag.P99 }

// sumUpMemory fills in what the servers' memory grew by, and what ours
// allocated between the counts before and after.
func (r *fanOutReport) sumUpMemory(sides []*side, before, after int64) {
	for _, s := range sides {
		if s.empty == nil {
			continue
		}
		now, err := readMemory(s.host.target.pids)
		if err != nil {
			continue
		}
		grown := float64(now.RSS-s.empty.RSS) / 1024 / float64(s.client.opened.Load())
		if s.name == ourSide && r.Own != nil {
			r.Own.RSS = &grown
		}
		for i := range r.Peers {
			if p := &r.Peers[i]; p.Name == s.name && p.Summary != nil {
				p.Summary.RSS = &grown
			}
		}
	}
	var deliveries int64
	for _, x := range r.side(ourSide) {
		deliveries += x.Deliveries
	}
	if before >= 0 && after >= 0 && deliveries > 0 {
		a := float64(after-before) / float64(deliveries+r.WarmUp.Deliveries)
		r.Allocations = &a
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

// summarise takes medians over the rounds of a side; nil of none.
func (r *fanOutReport) summarise(name string) *sideSummary {
	rounds := r.side(name)
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
	if h := r.lags[name]; h != nil {
		s.Curve = curveOf(h)
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
	where := "on one channel"
	if r.OwnChannels {
		where = "on a channel each"
	}
	fmt.Fprintf(w, "%s, %s: %s\n%d streams %s, %d B of data (%d B on the wire), %d messages a round\n%s\n%s\n\n",
		r.Mode, r.Pattern, how, r.Streams, where, r.Size, r.Frame, r.Messages, r.Server, r.Machine)
	if err := r.writeRounds(w); err != nil {
		return err
	}
	fmt.Fprintln(w)
	r.Ratios.write(w, floorSide)
	for _, p := range r.Peers {
		p.Ratios.write(w, p.Name)
	}
	if r.OwnChannels && r.Own != nil && r.Own.CPU != nil {
		fmt.Fprintf(w, "CPU of a publication and its delivery, µs  %s  %s\n", r.Own.CPU, budget(r.Own.CPU.Median, ownChannelBudget))
	}
	if r.Own != nil && r.Own.RSS != nil {
		fmt.Fprintf(w, "RSS grew by %.2f KiB per stream in the run, queues and heap of the publishing included\n", *r.Own.RSS)
	}
	if r.Allocations != nil {
		fmt.Fprintf(w, "allocations per delivery, publishing included  %.4f\n", *r.Allocations)
	}
	if r.Pattern == patternBurst && !r.OwnChannels {
		// Why: a server that answers a publication before it delivers it builds
		// a backlog, and then sends ever fuller batches.
		fmt.Fprintln(w, "burst: in flight means not yet answered, not yet delivered may be far more; lag is the time in that backlog and grows with -messages")
	}
	_, err := fmt.Fprintln(w, "ratios: median of the rounds (lowest–highest); the floor stamps a message just before its first write, the servers' are stamped before the publish request")
	return err
}

// ownChannelBudget is what a publication to a channel with one stream may cost,
// in µs of CPU with its delivery.
const ownChannelBudget = 30.0

// writeRounds prints every turn, and the medians.
func (r *fanOutReport) writeRounds(w io.Writer) error {
	t := columns(w)
	fmt.Fprintln(t, "round\tside\tdeliveries/s\tp50 ms\tp99\tp99.9\tmax\tlast p50\tlast p99\tCPU µs/delivery\tbench CPU\tlost\trepeated\treordered\t")
	for _, x := range r.Rounds {
		fmt.Fprintf(t, "%d\t%s\t%.0f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%s\t%.2f\t%d\t%d\t%d\t\n", x.Round, x.Side, x.PerSecond,
			x.Lag.P50, x.Lag.P99, x.Lag.P999, x.Lag.Max, x.LastLag.P50, x.LastLag.P99, known(x.CPU), x.BenchCPU, x.Lost, x.Duplicated, x.Reordered)
	}
	row := func(name string, s *sideSummary) {
		if s == nil {
			return
		}
		var cpu *float64
		if s.CPU != nil {
			cpu = &s.CPU.Median
		}
		fmt.Fprintf(t, "median\t%s\t%.0f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%s\t\t\t\t\t\n", name, s.PerSecond.Median,
			s.Lag.P50, s.Lag.P99, s.Lag.P999, s.Lag.Max, s.LastLag.P50, s.LastLag.P99, known(cpu))
	}
	row(ourSide, r.Own)
	row(floorSide, r.Floor)
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
		s    *spread
	}{{"CPU per delivery", q.CPU}, {"deliveries/s", q.PerSecond}, {"p50 lag", q.P50}, {"p99 lag", q.P99}} {
		if x.s != nil {
			fmt.Fprintf(w, "%-17s server ÷ %s  %s\n", x.name, other, x.s)
		}
	}
}

// known prints a figure that may be missing.
func known(v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%.2f", *v)
}
