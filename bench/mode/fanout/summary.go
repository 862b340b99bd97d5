//go:build linux

package fanout

import (
	"github.com/HdrHistogram/hdrhistogram-go"

	"sluice/bench/figures"
	"sluice/bench/proc"
	"sluice/bench/rig"
)

// Summary is one side over all rounds.
type Summary struct {
	PerSecond figures.Spread    `json:"deliveries_per_second"`
	Lag       figures.Quantiles `json:"lag_ms"`
	LastLag   figures.Quantiles `json:"last_stream_lag_ms"`
	CPU       *figures.Spread   `json:"cpu_us_per_delivery"`
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
	CPU       *figures.Spread `json:"cpu_per_delivery"`
	PerSecond *figures.Spread `json:"deliveries_per_second"`
	P50       *figures.Spread `json:"p50"`
	P99       *figures.Spread `json:"p99"`
}

// peerResult is another server in the same run.
type peerResult struct {
	Name    string       `json:"name"`
	Summary *Summary     `json:"summary"`
	Ratios  fanOutRatios `json:"ours_over_peer"`
}

// sumUp fills in medians and ratios from the rounds.
func (r *Report) sumUp() {
	r.Own, r.Floor = r.summarise(rig.OurSide), r.summarise(rig.FloorSide)
	r.Ratios = r.ratiosTo(rig.FloorSide)
	for i := range r.Peers {
		p := &r.Peers[i]
		p.Summary, p.Ratios = r.summarise(p.Name), r.ratiosTo(p.Name)
	}
}

// ratiosTo are ours ÷ those of the other side.
func (r *Report) ratiosTo(name string) (q fanOutRatios) {
	ours, theirs := r.side(rig.OurSide), r.side(name)
	q.CPU = ratio(ours, theirs, cpuOf)
	if r.Pattern != PatternPaced {
		q.PerSecond = ratio(ours, theirs, func(x roundResult) float64 { return x.PerSecond })
	}
	if r.Pattern != PatternBurst {
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
func (r *Report) sumUpMemory(sides []*side, before, after int64) {
	for _, s := range sides {
		if s.empty == nil {
			continue
		}
		now, err := proc.ReadMemory(s.host.Target.PIDs)
		if err != nil {
			continue
		}
		grown := figures.KiBEach(now.RSS-s.empty.RSS, s.client.Opened.Load())
		if s.name == rig.OurSide && r.Own != nil {
			r.Own.RSS = &grown
		}
		for i := range r.Peers {
			if p := &r.Peers[i]; p.Name == s.name && p.Summary != nil {
				p.Summary.RSS = &grown
			}
		}
	}
	var deliveries int64
	for _, x := range r.side(rig.OurSide) {
		deliveries += x.Deliveries
	}
	if before >= 0 && after >= 0 && deliveries > 0 {
		a := float64(after-before) / float64(deliveries+r.WarmUp.Deliveries)
		r.Allocations = &a
	}
}

func (r *Report) side(name string) (rounds []roundResult) {
	for _, x := range r.Rounds {
		if x.Side == name {
			rounds = append(rounds, x)
		}
	}
	return rounds
}

// summarise takes medians over the rounds of a side; nil of none.
func (r *Report) summarise(name string) *Summary {
	rounds := r.side(name)
	if len(rounds) == 0 {
		return nil
	}
	over := func(f func(x roundResult) float64) figures.Spread {
		return figures.SpreadOf(figures.Of(rounds, nil, f))
	}
	lag := func(f func(x roundResult) figures.Quantiles) figures.Quantiles {
		return figures.Quantiles{
			P50:  over(func(x roundResult) float64 { return f(x).P50 }).Median,
			P99:  over(func(x roundResult) float64 { return f(x).P99 }).Median,
			P999: over(func(x roundResult) float64 { return f(x).P999 }).Median,
			Max:  over(func(x roundResult) float64 { return f(x).Max }).Max,
		}
	}
	s := &Summary{
		PerSecond: over(func(x roundResult) float64 { return x.PerSecond }),
		Lag:       lag(func(x roundResult) figures.Quantiles { return x.Lag }),
		LastLag:   lag(func(x roundResult) figures.Quantiles { return x.LastLag }),
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
func ratio(a, b []roundResult, f func(x roundResult) float64) *figures.Spread {
	return figures.Quotients(figures.Of(a, nil, f), figures.Of(b, nil, f))
}
