//go:build linux

package fanout

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"sluice/bench/figures"
	"sluice/bench/rig"
)

// roundResult is one turn of one side.
type roundResult struct {
	Side       string            `json:"side"`
	Round      int               `json:"round"`
	Deliveries int64             `json:"deliveries"`
	Seconds    float64           `json:"seconds"`
	PerSecond  float64           `json:"deliveries_per_second"`
	Lag        figures.Quantiles `json:"lag_ms"`             // of every delivery
	LastLag    figures.Quantiles `json:"last_stream_lag_ms"` // of each message's last stream
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
	r.Deliveries = a.tally.Fresh
	r.Seconds = elapsed.Seconds()
	r.PerSecond = float64(r.Deliveries) / r.Seconds
	r.Lag = figures.QuantilesOf(a.lag)
	r.LastLag = figures.QuantilesOf(a.lastStream())
	r.Lost, r.Duplicated, r.Reordered, r.Foreign = a.tally.Lost, a.tally.Duplicated, a.tally.Reordered, a.foreign
	if r.Deliveries == 0 {
		return
	}
	micros := func(d time.Duration) float64 { return figures.MicrosEach(d, r.Deliveries) }
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
	if r.Side == rig.OurSide {
		l.Deliveries += r.Deliveries
	}
	if r.peer {
		return
	}
	l.Lost += r.Lost
	l.Duplicated += r.Duplicated
}

// Report is the result of the modes that publish to open streams.
type Report struct {
	figures.Header
	Pattern  Pattern       `json:"pattern"`
	Rate     float64       `json:"rate,omitempty"`
	InFlight int           `json:"in_flight,omitempty"`
	Conns    int           `json:"connections,omitempty"`
	Streams  int           `json:"streams"`
	Size     int           `json:"size"`
	Frame    int           `json:"frame"` // bytes on the wire per delivery
	Messages int           `json:"messages_per_round"`
	Rounds   []roundResult `json:"rounds"`
	WarmUp   losses        `json:"warm_up"`
	Floor    *Summary      `json:"floor"`
	Own      *Summary      `json:"summary"`
	Ratios   fanOutRatios  `json:"ratios"`
	Peers    []peerResult  `json:"peers"`
	// Objects that our server allocated per delivery, publishing included; nil
	// where it has no pprof page.
	Allocations *float64 `json:"allocations_per_delivery"`
	OwnChannels bool     `json:"own_channels"` // each stream has a channel of its own

	lags map[string]*hdrhistogram.Histogram // by side
}

func newReport(f *Flags, r *rig.Rig, frame int) *Report {
	rep := &Report{
		Header: r.Header(f.Mode), Pattern: Pattern(f.Pattern),
		Streams: f.Streams, Size: f.Size, Frame: frame, Messages: f.Messages, OwnChannels: f.OwnChannels,
		lags: map[string]*hdrhistogram.Histogram{},
	}
	for _, h := range r.Peers {
		rep.Peers = append(rep.Peers, peerResult{Name: h.Name})
	}
	switch rep.Pattern {
	case PatternPaced:
		rep.Rate = f.Rate
	case PatternBurst:
		rep.InFlight, rep.Conns = f.InFlight, f.Conns
	case PatternClosed:
		rep.InFlight, rep.Conns = 1, 1
	}
	return rep
}

// add takes a turn.
func (r *Report) add(x roundResult, lag *hdrhistogram.Histogram) {
	r.Rounds = append(r.Rounds, x)
	if r.lags[x.Side] == nil {
		r.lags[x.Side] = figures.NewHistogram()
	}
	r.lags[x.Side].Merge(lag)
}

// Verdict is an error where messages were lost or repeated on either side.
func (r *Report) Verdict() error {
	sum := r.WarmUp
	for _, x := range r.Rounds {
		sum.add(x)
	}
	if sum.Lost == 0 && sum.Duplicated == 0 {
		return nil
	}
	return fmt.Errorf("bench: %d deliveries were lost and %d repeated", sum.Lost, sum.Duplicated)
}
