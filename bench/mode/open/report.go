//go:build linux

package open

import (
	"errors"
	"time"

	"sluice/bench/figures"
	"sluice/bench/load"
	"sluice/bench/proc"
	"sluice/bench/rig"
)

// The budgets of bursts to streams that read.
const (
	TimeBudget     = 1.3  // × closed loop
	openIdleBudget = 1.25 // KiB per stream

	openPeakPerStream = 2 << 10
	openPeakBase      = 32 << 20
)

// openTurn is one turn. MiB are of 1<<20 bytes.
type openTurn struct {
	Kind          string           `json:"loop"` // open or closed
	Round         int              `json:"round"`
	Streams       int              `json:"streams"` // that read
	Messages      int              `json:"messages"`
	Accepted      int              `json:"acknowledged"`
	Refused       map[string]int   `json:"refused,omitempty"` // by the answer
	AnswerSeconds float64          `json:"all_answered_after_seconds,omitempty"`
	Seconds       float64          `json:"last_reader_after_seconds"`
	Deliveries    int64            `json:"deliveries"`
	PerSecond     float64          `json:"deliveries_per_second"`
	MiBPerSecond  float64          `json:"mib_per_second"` // of payload
	CPU           float64          `json:"cpu_us_per_delivery"`
	Closed        int64            `json:"closed"` // streams that read, and that the server ended
	Reasons       map[string]int64 `json:"closed_because,omitempty"`
	Missed        int64            `json:"missed_by_the_closed"` // acknowledged messages they did not get
	Lost          int64            `json:"lost"`                 // acknowledged messages that open streams did not get
	Duplicated    int64            `json:"duplicated"`
	Reordered     int64            `json:"reordered"`
	Foreign       int64            `json:"foreign"`
	Ghosts        int64            `json:"refused_and_delivered"`
	InFlight      float64          `json:"payload_in_flight_mib"`
	Peak          float64          `json:"rss_peak_mib"`
	PeakBudget    float64          `json:"rss_peak_budget_mib"`
	Stalled       *openStalled     `json:"stalled,omitempty"`
	Trickled      *openTrickled    `json:"trickled,omitempty"` // not among the streams that read
}

// openStalled is what became of the streams that did not read.
type openStalled struct {
	Open   int              `json:"open"`
	Cut    int64            `json:"cut"` // as slow
	Wrong  int64            `json:"closed_for_another_reason"`
	Closed map[string]int64 `json:"closed_because,omitempty"`
}

// openIdle is what is held after the bursts.
type openIdle struct {
	Settle    string      `json:"settle"`
	Streams   int         `json:"streams"`
	Empty     proc.Memory `json:"empty"` // before the first stream
	Memory    proc.Memory `json:"memory"`
	RSS       float64     `json:"rss_kib_per_stream"`
	Anonymous float64     `json:"anonymous_kib_per_stream"`
}

// fill computes the figures of a turn.
func (t *openTurn) fill(f *Flags, all *readersTurn, p *load.Poured, begin time.Time, cpu time.Duration, peak int64) {
	const mib = 1 << 20
	t.Accepted, t.Refused = p.Accepted(), p.Refused
	t.Closed, t.Reasons = all.closedStreams(), all.closed
	for _, got := range all.gone {
		t.Missed += max(0, int64(t.Accepted)-got)
	}
	t.Duplicated, t.Reordered, t.Foreign, t.Ghosts = all.tally.Duplicated+all.late, all.tally.Reordered, all.foreign, all.ghosts(p)
	t.Deliveries = all.tally.Fresh
	if t.Deliveries > 0 {
		t.Seconds = time.Duration(all.lastAt - begin.UnixNano()).Seconds()
		t.PerSecond = float64(t.Deliveries) / t.Seconds
		t.MiBPerSecond = t.PerSecond * float64(f.Size) / mib
		t.CPU = figures.MicrosEach(cpu, t.Deliveries)
	}
	inFlight := all.inFlight(p)
	if f.Stalled > 0 || f.Trickle > 0 {
		inFlight = t.Accepted // the others never have it
	}
	t.InFlight = float64(inFlight) * float64(f.Size) / mib
	t.Peak = float64(peak) / mib
	t.PeakBudget = t.InFlight + float64(f.Streams*openPeakPerStream+openPeakBase)/mib
}

// Report is the result of the open mode.
type Report struct {
	figures.Header
	Streams  int        `json:"streams"`
	Stall    int        `json:"stalled"`
	Messages int        `json:"messages"`
	Size     int        `json:"size"`
	Conns    int        `json:"conns"`
	Trickle  string     `json:"trickle_every,omitempty"`
	WarmUp   openTurn   `json:"warm_up"`
	Turns    []openTurn `json:"turns"`
	PeakHow  string     `json:"rss_peak_by"`
	Idle     *openIdle  `json:"idle"` // nil: not read

	// Over all turns, the warm-up included.
	Closed     int64 `json:"closed"`
	Lost       int64 `json:"lost"`
	Duplicated int64 `json:"duplicated"`
	Reordered  int64 `json:"reordered"`
	Ghosts     int64 `json:"refused_and_delivered"`
	Wrong      int64 `json:"stalled_closed_for_another_reason"`

	Trickled *openTrickled `json:"trickled,omitempty"` // over all turns; nil: not asked for

	// Time per delivery, open ÷ closed loop, of the rounds in which no reader was
	// closed: who leaves spares the others work. nil: there was none.
	Time *figures.Spread `json:"time_over_closed_loop"`
	// RSS peak ÷ its budget, of the open-loop turns.
	PeakOver figures.Spread `json:"rss_peak_over_budget"`
}

func newReport(f *Flags, r *rig.Rig) *Report {
	report := &Report{Header: r.Header("open"), Streams: f.Streams, Stall: f.stall(), Messages: f.Messages, Size: f.Size, Conns: f.Conns}
	if f.Trickle > 0 {
		report.Trickle = f.Trickle.String()
		report.Trickled = &openTrickled{openStalled: openStalled{Closed: map[string]int64{}}}
	}
	return report
}

// sumUp fills in sums, medians and ratios.
func (r *Report) sumUp() {
	for _, t := range append([]openTurn{r.WarmUp}, r.Turns...) {
		r.Closed += t.Closed
		r.Lost += t.Lost
		r.Duplicated += t.Duplicated
		r.Reordered += t.Reordered
		r.Ghosts += t.Ghosts
		if t.Stalled != nil {
			r.Wrong += t.Stalled.Wrong
		}
		if t.Trickled != nil {
			r.Trickled.add(t.Trickled)
		}
	}
	disturbed := map[int]bool{}
	for _, t := range r.Turns {
		if t.Closed > 0 || t.Deliveries == 0 {
			disturbed[t.Round] = true
		}
	}
	each := func(kind string) []float64 {
		return figures.Of(r.Turns, func(t openTurn) bool { return t.Kind == kind && !disturbed[t.Round] },
			func(t openTurn) float64 { return t.Seconds / float64(t.Deliveries) })
	}
	r.Time = figures.Quotients(each(openLoop), each(closedLoop))
	r.PeakOver = figures.SpreadOf(figures.Of(r.Turns, func(t openTurn) bool { return t.Kind == openLoop },
		func(t openTurn) float64 { return t.Peak / t.PeakBudget }))
}

// Verdict is an error where a stream that read was closed or did not get, once
// and in order, what was acknowledged.
func (r *Report) Verdict() error {
	var w figures.Wrongs
	w.Count(r.Closed, "streams that read were closed by the server")
	w.Count(r.Lost, "deliveries of acknowledged messages to open streams were lost")
	w.Count(r.Duplicated, "deliveries were repeated")
	w.Count(r.Reordered, "deliveries were out of order")
	w.Count(r.Ghosts, "deliveries were of messages that had been refused")
	w.Count(r.Wrong, "stalled streams were closed for another reason than being slow")
	if r.Trickled != nil {
		w.Count(r.Trickled.Wrong, "streams that trickle were closed for another reason than being slow")
	}
	return errors.Join(w...)
}
