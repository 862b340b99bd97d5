package watch

import (
	"math"
	"time"

	"sluice/gateway/console/series"
	"sluice/gateway/loop"
	"sluice/gateway/metrics"
	"sluice/gateway/tally"
)

// column is one figure: what it is called, how samples become one, and whether that of
// several nodes is the worst of them, or else the sum.
type column struct {
	name  string
	fold  series.Fold
	worst bool
	// read returns the value of a gauge, or what a counter stands at.
	read func(s *sample) float64
}

// sample is what was read at a moment.
type sample struct {
	*metrics.Reading
	process
	lag tally.Durations // since the sample before
}

// Publications are heard by each node that has a subscriber, and accepted by one: of several
// nodes there were at least as many as the one heard that heard most, and as all of them
// accepted together. Of users and channels too the node counts that has most: which of
// them others have as well nobody knows.
const (
	heard    = "publications"
	accepted = "accepted"
)

// columns are the figures, but for the closes by reason behind them. Connects that were
// refused have no stream that closes.
var columns = []column{
	{"streams", series.Last, false, func(s *sample) float64 { return sum(s.Loops.Sessions.Clients[:]) }},
	{"users", series.Last, true, func(s *sample) float64 { return float64(s.Users) }},
	{"channels", series.Last, true, func(s *sample) float64 { return float64(s.Hub.Channels) }},
	{"subscriptions", series.Last, false, func(s *sample) float64 { return float64(s.Loops.Shard.Subscriptions) }},
	{"connects", series.Rate, false, func(s *sample) float64 { return sum(s.Loops.Sessions.Accepted[:]) }},
	{"refused", series.Rate, false, func(s *sample) float64 { return sumOf(s.Loops.Sessions.Refused) + sumOf(s.Refused) }},
	{heard, series.Rate, true, func(s *sample) float64 { return float64(s.Hub.Published) }},
	{accepted, series.Rate, false, func(s *sample) float64 { return float64(s.APIAccepted) }},
	{"deliveries", series.Rate, false, func(s *sample) float64 { return float64(s.Loops.Loop.Frames) }},
	{"sent_bytes", series.Rate, false, func(s *sample) float64 { return float64(s.Loops.Loop.Bytes) }},
	{"closes", series.Rate, false, func(s *sample) float64 {
		return sum(s.Loops.Loop.Closes[:]) - float64(s.Loops.Loop.Closes[loop.ReasonRefused])
	}},
	{"lag_p50_ms", series.Max, true, func(s *sample) float64 { return quantile(&s.lag, 0.5) }},
	{"lag_p99_ms", series.Max, true, func(s *sample) float64 { return quantile(&s.lag, 0.99) }},
	{"memory_bytes", series.Max, false, func(s *sample) float64 { return s.memory }},
	{"heap_bytes", series.Max, false, func(s *sample) float64 { return s.heap }},
	{"cpu", series.Rate, false, func(s *sample) float64 { return s.cpu }},
	{"queue_bytes", series.Max, false, func(s *sample) float64 { return float64(s.Loops.Loop.QueuedBytes) }},
	{"held_bytes", series.Max, false, func(s *sample) float64 { return float64(s.Loops.Loop.HeldBytes) }},
	{"held_max_bytes", series.Last, false, func(s *sample) float64 { return float64(s.HeldMax) }},
	{"credit_used_bytes", series.Max, false, func(s *sample) float64 { return float64(s.Hub.CreditUsed) }},
	{"credit_size_bytes", series.Last, false, func(s *sample) float64 { return float64(s.Hub.CreditSize) }},
	{"blocked", series.Max, false, func(s *sample) float64 { return float64(s.Loops.Loop.Blocked) }},
	{"lane_backlog", series.Max, false, func(s *sample) float64 { return float64(s.Hub.LaneBacklog) }},
	{"loop_backlog", series.Max, false, func(s *sample) float64 { return sum(s.LoopBacklog) }},
}

// worst has the figures of which that of several nodes is the worst.
var worst = func() map[string]bool {
	all := make(map[string]bool)
	for _, c := range columns {
		if c.worst {
			all[c.name] = true
		}
	}
	return all
}()

// known reports whether there is such a figure.
var known = func() map[string]bool {
	all := make(map[string]bool)
	for _, c := range columns {
		all[c.name] = true
	}
	return all
}()

// folds are those of the columns, the closes by reason included.
func folds() (all []series.Fold) {
	for _, c := range columns {
		all = append(all, c.fold)
	}
	for range loop.Reasons() {
		all = append(all, series.Count)
	}
	return all
}

func sum[N int | uint64](all []N) (s float64) {
	for _, n := range all {
		s += float64(n)
	}
	return s
}

func sumOf[K comparable](all map[K]uint64) (s float64) {
	for _, n := range all {
		s += float64(n)
	}
	return s
}

// quantile is in milliseconds, and no figure where nothing was published.
func quantile(d *tally.Durations, q float64) float64 {
	v, ok := d.Quantile(q)
	if !ok {
		return math.NaN()
	}
	return float64(v) / float64(time.Millisecond)
}

// sampler is what the one has who samples.
type sampler struct {
	lag    tally.Durations // all there was by the last sample
	values []float64
	proc   processReader
}

// Run samples until done is closed. It is called once.
func (w *Watch) Run(done <-chan struct{}) {
	tick := time.NewTicker(series.Step)
	defer tick.Stop()
	for {
		w.sample()
		w.forget()
		select {
		case <-done:
			return
		case <-tick.C:
		}
	}
}

// sample adds one to the ring. Sampler only.
func (w *Watch) sample() {
	r, err := w.opt.Figures()
	if err != nil {
		w.opt.Log.Debug("the figures of the console could not be read", "error", err)
		return
	}
	p := &w.sampler
	s := sample{Reading: r, process: p.proc.read(), lag: r.Loops.Shard.Lag.Since(&p.lag)}
	p.lag = r.Loops.Shard.Lag
	p.values = p.values[:0]
	for i := range columns {
		p.values = append(p.values, columns[i].read(&s))
	}
	for _, n := range r.Loops.Loop.Closes {
		p.values = append(p.values, float64(n))
	}
	w.ring.Add(time.Since(w.opt.Began), p.values)
}
