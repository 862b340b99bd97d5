//go:build linux

package main

import (
	"context"
	"time"
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
		rowTime:   {Name: "open loop, " + kind + ": time", Unit: "× closed loop", Must: openTimeBudget},
	}
}

// trickleBudgets are those while streams that trickle arrive. They have no time:
// a closed loop waits for such streams with every message.
func trickleBudgets(kind, note string) []budgetRow { return openBudgets(kind, note)[:rowTime] }

// budgetOpen measures them in an open loop of that shape.
func budgetOpen(shape openFlags) func(ctx context.Context, f *budgetsFlags, rows []budgetRow) error {
	return func(ctx context.Context, f *budgetsFlags, rows []budgetRow) error {
		o := shape
		o.commonFlags, o.conns, o.rounds = f.commonFlags, 16, min(f.rounds, openRounds)
		r, err := runOpen(ctx, &o)
		if err != nil {
			return err
		}
		// Sums over all turns, not medians: once is too often.
		closed, lost := float64(r.Closed), float64(r.Lost)
		rows[rowClosed].Got, rows[rowLost].Got = &spread{closed, closed, closed}, &spread{lost, lost, lost}
		rows[rowPeak].Got = &r.PeakOver
		if len(rows) > rowTime {
			rows[rowTime].Got = r.Time
		}
		r.Closed, r.Lost = 0, 0 // the rows tell
		return r.verdict()
	}
}

func budgetRecover(ctx context.Context, f *budgetsFlags, rows []budgetRow) error {
	r, err := runRecover(ctx, &recoverFlags{
		commonFlags: f.commonFlags, clients: 100, messages: 500, size: 16 << 10, mute: 50, budget: recoverBudget,
		again: time.Second, limit: 30 * time.Second,
	})
	if err != nil {
		return err
	}
	unserved, peak := float64(int64(r.Readers)-r.Complete), r.Peak/r.PeakBudget
	rows[0].Got, rows[1].Got = &spread{unserved, unserved, unserved}, &spread{peak, peak, peak}
	r.Unrecovered, r.Unserved = 0, 0 // the row tells
	return r.verdict()
}

func budgetStorm(ctx context.Context, f *budgetsFlags, rows []budgetRow) error {
	s := &stormFlags{commonFlags: f.commonFlags, streams: 3000, rounds: 1, soon: 5 * time.Second}
	s.ramp = 1000
	r, err := runStorm(ctx, s)
	if err != nil {
		return err
	}
	rows[0].Got = &r.SoonEach
	return nil
}
