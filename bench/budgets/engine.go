//go:build linux

package budgets

import (
	"context"
	"errors"
	"time"

	"sluice/bench/figures"
	"sluice/bench/mode/engine"
	"sluice/bench/rig"
)

// engineBudgets are the rows of nodes on Redis, in the order of budgetEngine.
func engineBudgets() []budgetRow {
	return []budgetRow{
		{Name: "Redis: publishing with history", Unit: "× redis-benchmark", Must: engine.PublishBudget, AtLeast: true, Note: "its -P 1 -c 64 of the same command, on the same server; ours 64 connections with one in flight each"},
		{Name: "Redis: publishing without history", Unit: "× redis-benchmark", Must: engine.PublishBudget, AtLeast: true},
		{Name: "Redis: p99 lag on another node", Unit: "× allowed", Must: engine.LagBudget, Note: "allowed: 2 × that on the publishing node + 2 ms, at half the rate"},
		{Name: "Redis: commands per publication", Unit: "×", Must: engine.CommandsBudget, Tolerance: engine.CommandsMore},
		{Name: "Redis: CPU per delivery on a node that receives, burst", Unit: "× memory engine", Must: engine.CPUBudget, Note: "of the memory engine's without its share of publishing; go run ./bench engine has both"},
	}
}

// budgetEngine measures them. Where Redis is not installed the rows say so, and that is
// no failure.
func budgetEngine(ctx context.Context, f *flags, rows []budgetRow) error {
	r, err := engine.Run(ctx, &engine.Flags{
		CommonFlags: f.CommonFlags, Conns: 64, Size: 128, Rounds: f.rounds, Duration: time.Second,
		Streams: 1000, Messages: 500, InFlight: 256, Publishers: 16,
	})
	if errors.Is(err, rig.ErrNoProgram) {
		for i := range rows {
			rows[i].Note = err.Error()
		}
		return nil
	}
	if err != nil {
		return err
	}
	for i, got := range []*figures.Spread{r.History, r.Plain, r.LagOver, r.Commands, r.CPU} {
		rows[i].Got = got
	}
	return r.Verdict()
}
