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
	rowTime
	rowPeak
)

// openRounds bounds the rounds of an open-loop budget, whose turns are long.
const openRounds = 3

// openBudgets are the rows of the open loop with messages of that kind.
func openBudgets(kind, note string) []budgetRow {
	return []budgetRow{
		rowClosed: {Name: "open loop, " + kind + ": readers closed", Must: 0, Hard: true, Note: "short form: " + note + "; make open has the sizes of the design"},
		rowLost:   {Name: "open loop, " + kind + ": deliveries lost", Must: 0, Hard: true},
		rowTime:   {Name: "open loop, " + kind + ": time", Unit: "× closed loop", Must: openTimeBudget},
		rowPeak:   {Name: "open loop, " + kind + ": RSS peak", Unit: "× budget", Must: 1},
	}
}

// budgetOpen measures them.
func budgetOpen(streams, messages, size, stalled int) func(ctx context.Context, f *budgetsFlags, rows []budgetRow) error {
	return func(ctx context.Context, f *budgetsFlags, rows []budgetRow) error {
		r, err := runOpen(ctx, &openFlags{
			commonFlags: f.commonFlags, streams: streams, messages: messages, size: size, conns: 16,
			rounds: min(f.rounds, openRounds), stalled: stalled,
		})
		if err != nil {
			return err
		}
		// Sums over all turns, not medians: once is too often.
		closed, lost := float64(r.Closed), float64(r.Lost)
		rows[rowClosed].Got, rows[rowLost].Got = &spread{closed, closed, closed}, &spread{lost, lost, lost}
		rows[rowTime].Got, rows[rowPeak].Got = r.Time, &r.PeakOver
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
