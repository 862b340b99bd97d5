//go:build linux

package budgets

import (
	"context"
	"time"

	"sluice/bench/mode/open"
	"sluice/bench/mode/resume"
)

// The rows of an open-loop budget.
const (
	rowClosed = iota
	rowLost
	rowPeak
	rowTime
)

// openRounds bounds the rounds of an open-loop budget, whose turns are long.
const openRounds = 3

// openBudgets are the rows of the open loop with messages of that kind.
func openBudgets(kind, note string) []budgetRow {
	return []budgetRow{
		rowClosed: {Name: "open loop, " + kind + ": readers closed", Must: 0, Hard: true, Note: "short form: " + note + "; make open has the sizes of the design"},
		rowLost:   {Name: "open loop, " + kind + ": deliveries lost", Must: 0, Hard: true},
		rowPeak:   {Name: "open loop, " + kind + ": RSS peak", Unit: "× budget", Must: 1},
		rowTime:   {Name: "open loop, " + kind + ": time", Unit: "× closed loop", Must: open.TimeBudget},
	}
}

// trickleBudgets are those while streams that trickle arrive. They have no time:
// a closed loop waits for such streams with every message.
func trickleBudgets(kind, note string) []budgetRow { return openBudgets(kind, note)[:rowTime] }

// budgetOpen measures them in an open loop of that shape.
func budgetOpen(shape open.Flags) func(ctx context.Context, f *flags, rows []budgetRow) error {
	return func(ctx context.Context, f *flags, rows []budgetRow) error {
		o := shape
		o.CommonFlags, o.Conns, o.Rounds = f.CommonFlags, 16, min(f.rounds, openRounds)
		r, err := open.Run(ctx, &o)
		if err != nil {
			return err
		}
		// Sums over all turns, not medians: once is too often.
		closed, lost := float64(r.Closed), float64(r.Lost)
		rows[rowClosed].Got, rows[rowLost].Got = exactly(closed), exactly(lost)
		rows[rowPeak].Got = &r.PeakOver
		if len(rows) > rowTime {
			rows[rowTime].Got = r.Time
		}
		r.Closed, r.Lost = 0, 0 // the rows tell
		return r.Verdict()
	}
}

func budgetRecover(ctx context.Context, f *flags, rows []budgetRow) error {
	r, err := resume.RunRecover(ctx, &resume.RecoverFlags{
		CommonFlags: f.CommonFlags, Clients: 100, Messages: 500, Size: 16 << 10, Mute: 50, Budget: resume.RecoverBudget,
		Again: time.Second, Limit: 30 * time.Second,
	})
	if err != nil {
		return err
	}
	unserved, peak := float64(int64(r.Readers)-r.Complete), r.Peak/r.PeakBudget
	rows[0].Got, rows[1].Got = exactly(unserved), exactly(peak)
	r.Unrecovered, r.Unserved = 0, 0 // the row tells
	return r.Verdict()
}
