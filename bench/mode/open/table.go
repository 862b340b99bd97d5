//go:build linux

package open

import (
	"fmt"
	"io"

	"sluice/bench/figures"
)

// WriteTable implements figures.Report.
func (r *Report) WriteTable(w io.Writer) error {
	others := ""
	if r.Stall > 0 {
		others = fmt.Sprintf(", and %d that do not", r.Stall)
	}
	if r.Trickle != "" {
		others += fmt.Sprintf(", while one more that trickles comes every %s", r.Trickle)
	}
	r.WriteTitle(w, "open: %d messages of %d B in an open loop over %d connections, to %d streams that read%s", r.Messages, r.Size, r.Conns, r.Streams-r.Stall, others)
	if err := r.writeTurns(w); err != nil {
		return err
	}
	r.writeEndings(w)
	return r.writeBudgets(w)
}

// writeTurns prints every turn.
func (r *Report) writeTurns(w io.Writer) error {
	t := figures.Columns(w)
	fmt.Fprintln(t, "round\tloop\tacknowledged\trefused\tanswered s\tlast reader s\tdeliveries/s\tMiB/s\tCPU µs/delivery\tclosed\tlost\trepeated\treordered\tin flight MiB\tRSS peak MiB\tits budget\t")
	for _, x := range r.Turns {
		answered := "-"
		if x.Kind == openLoop {
			answered = fmt.Sprintf("%.2f", x.AnswerSeconds)
		}
		fmt.Fprintf(t, "%d\t%s\t%d\t%d\t%s\t%.2f\t%.0f\t%.0f\t%.2f\t%d\t%d\t%d\t%d\t%.1f\t%.1f\t%.1f\t\n", x.Round, x.Kind, x.Accepted, x.Messages-x.Accepted, answered,
			x.Seconds, x.PerSecond, x.MiBPerSecond, x.CPU, x.Closed, x.Lost, x.Duplicated, x.Reordered, x.InFlight, x.Peak, x.PeakBudget)
	}
	return t.Flush()
}

// writeEndings prints what became of streams that did not stay, and of messages that
// were refused.
func (r *Report) writeEndings(w io.Writer) {
	fmt.Fprintln(w)
	if r.WarmUp.Closed > 0 {
		fmt.Fprintf(w, "warm-up: closed %s\n", figures.Reasons(r.WarmUp.Reasons))
	}
	for _, x := range r.Turns {
		if x.Closed > 0 {
			fmt.Fprintf(w, "round %d, %s loop: closed %s; they missed %d deliveries\n", x.Round, x.Kind, figures.Reasons(x.Reasons), x.Missed)
		}
		if len(x.Refused) > 0 {
			fmt.Fprintf(w, "round %d, %s loop: refused %s\n", x.Round, x.Kind, figures.Reasons(x.Refused))
		}
		if s := x.Stalled; s != nil {
			fmt.Fprintf(w, "round %d, %s loop: of the stalled %d open, %d cut as slow, %d closed otherwise  %s\n", x.Round, x.Kind, s.Open, s.Cut, s.Wrong, figures.Reasons(s.Closed))
		}
		if x.Trickled != nil {
			fmt.Fprintf(w, "round %d, %s loop: %v  %s\n", x.Round, x.Kind, x.Trickled, figures.Reasons(x.Trickled.Closed))
		}
	}
}

// writeBudgets compares with the budgets.
func (r *Report) writeBudgets(w io.Writer) error {
	fmt.Fprintf(w, "closed %d, lost %d  %s\n", r.Closed, r.Lost, figures.Budget(float64(r.Closed+r.Lost), 0))
	if r.Trickled != nil {
		fmt.Fprintln(w, r.Trickled)
	}
	switch {
	case r.Time == nil:
		fmt.Fprintln(w, "time, open ÷ closed loop: cannot be told, readers were closed in every round")
	case r.Trickled != nil:
		fmt.Fprintf(w, "time per delivery, open ÷ closed loop  %s  no budget: the closed loop may wait for streams that trickle with every message\n", r.Time)
	default:
		fmt.Fprintf(w, "time per delivery, open ÷ closed loop  %s  %s\n", r.Time, figures.Budget(r.Time.Median, TimeBudget))
	}
	fmt.Fprintf(w, "RSS peak of the open loop ÷ its budget  %s  %s\n", r.PeakOver, figures.Budget(r.PeakOver.Max, 1))
	if i := r.Idle; i != nil {
		fmt.Fprintf(w, "RSS per idle stream %s after the last turn, KiB  %.2f, anonymous part %.2f  %s\n", i.Settle, i.RSS, i.Anonymous, figures.Budget(i.RSS, openIdleBudget))
	}
	_, err := fmt.Fprintf(w, "last reader: from before the first request to when the last stream that stays open has its last message\n"+
		"in flight: most payload at a time that was acknowledged and not yet with its last reader, by the bench's clock (with streams that stall or trickle: all that was acknowledged)\n"+
		"budget of the peak: in flight + %d KiB per stream + %d MiB; peak: %s; per idle stream: (RSS − RSS without streams, after a burst to a few) ÷ streams\n",
		openPeakPerStream>>10, openPeakBase>>20, r.PeakHow)
	return err
}
