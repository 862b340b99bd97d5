//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// The budgets of bursts to streams that read.
const (
	openTimeBudget = 1.3  // × closed loop
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
	Settle    string        `json:"settle"`
	Streams   int           `json:"streams"`
	Empty     processMemory `json:"empty"` // before the first stream
	Memory    processMemory `json:"memory"`
	RSS       float64       `json:"rss_kib_per_stream"`
	Anonymous float64       `json:"anonymous_kib_per_stream"`
}

// fill computes the figures of a turn.
func (t *openTurn) fill(f *openFlags, all *readersTurn, p *poured, begin time.Time, cpu time.Duration, peak int64) {
	const mib = 1 << 20
	t.Accepted, t.Refused = p.accepted(), p.refused
	t.Closed, t.Reasons = all.closedStreams(), all.closed
	for _, got := range all.gone {
		t.Missed += max(0, int64(t.Accepted)-got)
	}
	t.Duplicated, t.Reordered, t.Foreign, t.Ghosts = all.tally.duplicated+all.late, all.tally.reordered, all.foreign, all.ghosts(p)
	t.Deliveries = all.tally.fresh
	if t.Deliveries > 0 {
		t.Seconds = time.Duration(all.lastAt - begin.UnixNano()).Seconds()
		t.PerSecond = float64(t.Deliveries) / t.Seconds
		t.MiBPerSecond = t.PerSecond * float64(f.size) / mib
		t.CPU = float64(cpu.Nanoseconds()) / 1000 / float64(t.Deliveries)
	}
	inFlight := all.inFlight(p)
	if f.stalled > 0 || f.trickle > 0 {
		inFlight = t.Accepted // the others never have it
	}
	t.InFlight = float64(inFlight) * float64(f.size) / mib
	t.Peak = float64(peak) / mib
	t.PeakBudget = t.InFlight + float64(f.streams*openPeakPerStream+openPeakBase)/mib
}

// openReport is the result of the open mode.
type openReport struct {
	header
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
	Time *spread `json:"time_over_closed_loop"`
	// RSS peak ÷ its budget, of the open-loop turns.
	PeakOver spread `json:"rss_peak_over_budget"`
}

func newOpenReport(f *openFlags, r *rig) *openReport {
	report := &openReport{header: r.header("open"), Streams: f.streams, Stall: f.stall(), Messages: f.messages, Size: f.size, Conns: f.conns}
	if f.trickle > 0 {
		report.Trickle = f.trickle.String()
		report.Trickled = &openTrickled{openStalled: openStalled{Closed: map[string]int64{}}}
	}
	return report
}

// values are a figure of all turns of a kind.
func (r *openReport) values(kind string, figure func(t openTurn) float64) (v []float64) {
	for _, t := range r.Turns {
		if t.Kind == kind {
			v = append(v, figure(t))
		}
	}
	return v
}

// sumUp fills in sums, medians and ratios.
func (r *openReport) sumUp() {
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
	each := func(kind string) (v []float64) {
		for _, t := range r.Turns {
			if t.Kind == kind && !disturbed[t.Round] {
				v = append(v, t.Seconds/float64(t.Deliveries))
			}
		}
		return v
	}
	r.Time = quotients(each(openLoop), each(closedLoop))
	r.PeakOver = spreadOf(r.values(openLoop, func(t openTurn) float64 { return t.Peak / t.PeakBudget }))
}

// verdict is an error where a stream that read was closed or did not get, once
// and in order, what was acknowledged.
func (r *openReport) verdict() error {
	var w wrongs
	w.count(r.Closed, "streams that read were closed by the server")
	w.count(r.Lost, "deliveries of acknowledged messages to open streams were lost")
	w.count(r.Duplicated, "deliveries were repeated")
	w.count(r.Reordered, "deliveries were out of order")
	w.count(r.Ghosts, "deliveries were of messages that had been refused")
	w.count(r.Wrong, "stalled streams were closed for another reason than being slow")
	if r.Trickled != nil {
		w.count(r.Trickled.Wrong, "streams that trickle were closed for another reason than being slow")
	}
	return errors.Join(w...)
}

// reasons prints counts by reason, the most frequent first.
func reasons[N int | int64](m map[string]N) string {
	keys := slices.Collect(maps.Keys(m))
	slices.SortFunc(keys, func(a, b string) int {
		if m[a] != m[b] {
			return int(m[b] - m[a])
		}
		return strings.Compare(a, b)
	})
	for i, k := range keys {
		keys[i] = fmt.Sprintf("%d × %s", m[k], k)
	}
	return strings.Join(keys, ", ")
}

func (r *openReport) writeTable(w io.Writer) error {
	fmt.Fprintf(w, "open: %d messages of %d B in an open loop over %d connections, to %d streams that read", r.Messages, r.Size, r.Conns, r.Streams-r.Stall)
	if r.Stall > 0 {
		fmt.Fprintf(w, ", and %d that do not", r.Stall)
	}
	if r.Trickle != "" {
		fmt.Fprintf(w, ", while one more that trickles comes every %s", r.Trickle)
	}
	fmt.Fprintf(w, "\n%s\n%s\n\n", r.Server, r.Machine)
	t := columns(w)
	fmt.Fprintln(t, "round\tloop\tacknowledged\trefused\tanswered s\tlast reader s\tdeliveries/s\tMiB/s\tCPU µs/delivery\tclosed\tlost\trepeated\treordered\tin flight MiB\tRSS peak MiB\tits budget\t")
	for _, x := range r.Turns {
		answered := "-"
		if x.Kind == openLoop {
			answered = fmt.Sprintf("%.2f", x.AnswerSeconds)
		}
		fmt.Fprintf(t, "%d\t%s\t%d\t%d\t%s\t%.2f\t%.0f\t%.0f\t%.2f\t%d\t%d\t%d\t%d\t%.1f\t%.1f\t%.1f\t\n", x.Round, x.Kind, x.Accepted, x.Messages-x.Accepted, answered,
			x.Seconds, x.PerSecond, x.MiBPerSecond, x.CPU, x.Closed, x.Lost, x.Duplicated, x.Reordered, x.InFlight, x.Peak, x.PeakBudget)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	if r.WarmUp.Closed > 0 {
		fmt.Fprintf(w, "warm-up: closed %s\n", reasons(r.WarmUp.Reasons))
	}
	for _, x := range r.Turns {
		if x.Closed > 0 {
			fmt.Fprintf(w, "round %d, %s loop: closed %s; they missed %d deliveries\n", x.Round, x.Kind, reasons(x.Reasons), x.Missed)
		}
		if len(x.Refused) > 0 {
			fmt.Fprintf(w, "round %d, %s loop: refused %s\n", x.Round, x.Kind, reasons(x.Refused))
		}
		if s := x.Stalled; s != nil {
			fmt.Fprintf(w, "round %d, %s loop: of the stalled %d open, %d cut as slow, %d closed otherwise  %s\n", x.Round, x.Kind, s.Open, s.Cut, s.Wrong, reasons(s.Closed))
		}
		if x.Trickled != nil {
			fmt.Fprintf(w, "round %d, %s loop: %v  %s\n", x.Round, x.Kind, x.Trickled, reasons(x.Trickled.Closed))
		}
	}
	fmt.Fprintf(w, "closed %d, lost %d  %s\n", r.Closed, r.Lost, budget(float64(r.Closed+r.Lost), 0))
	if r.Trickled != nil {
		fmt.Fprintln(w, r.Trickled)
	}
	switch {
	case r.Time == nil:
		fmt.Fprintln(w, "time, open ÷ closed loop: cannot be told, readers were closed in every round")
	case r.Trickled != nil:
		fmt.Fprintf(w, "time per delivery, open ÷ closed loop  %s  no budget: the closed loop may wait for streams that trickle with every message\n", r.Time)
	default:
		fmt.Fprintf(w, "time per delivery, open ÷ closed loop  %s  %s\n", r.Time, budget(r.Time.Median, openTimeBudget))
	}
	fmt.Fprintf(w, "RSS peak of the open loop ÷ its budget  %s  %s\n", r.PeakOver, budget(r.PeakOver.Max, 1))
	if i := r.Idle; i != nil {
		fmt.Fprintf(w, "RSS per idle stream %s after the last turn, KiB  %.2f, anonymous part %.2f  %s\n", i.Settle, i.RSS, i.Anonymous, budget(i.RSS, openIdleBudget))
	}
	_, err := fmt.Fprintf(w, "last reader: from before the first request to when the last stream that stays open has its last message\n"+
		"in flight: most payload at a time that was acknowledged and not yet with its last reader, by the bench's clock (with streams that stall or trickle: all that was acknowledged)\n"+
		"budget of the peak: in flight + %d KiB per stream + %d MiB; peak: %s; per idle stream: (RSS − RSS without streams, after a burst to a few) ÷ streams\n",
		openPeakPerStream>>10, openPeakBase>>20, r.PeakHow)
	return err
}
