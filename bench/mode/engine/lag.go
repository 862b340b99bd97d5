//go:build linux

package engine

import (
	"context"

	"sluice/bench/figures"
	"sluice/bench/mode/publish"
	"sluice/bench/rig"
)

// lagTurn is one turn of two streams that hear the same, on the node that publishes and
// on the other one. A message's time counts from when it was due.
type lagTurn struct {
	Round int               `json:"round"`
	Rate  float64           `json:"rate"` // publications/s
	Sent  int64             `json:"sent"`
	Near  figures.Quantiles `json:"near_ms"`
	Far   figures.Quantiles `json:"far_ms"`
	// p99 of the other node ÷ (LagTimes × that of the publishing one + LagMore ms).
	Over float64 `json:"far_over_allowed"`
}

// measureLag publishes rate messages a second, on a schedule.
func measureLag(ctx context.Context, f *Flags, r *rig.Rig, x *fleet, round int, rate float64) (turn lagTurn, err error) {
	turn = lagTurn{Round: round, Rate: rate}
	channel := rig.RecoverablePrefix + f.Channel + "-lag"
	near, err := publish.Listen(ctx, r, x.near.On(channel), f.Conns, "node that publishes")
	if err != nil {
		return turn, err
	}
	defer near.Close()
	far, err := publish.Listen(ctx, r, x.far.On(channel), f.Conns, "other node")
	if err != nil {
		return turn, err
	}
	defer far.Close()
	hammer, err := publish.On(ctx, r, x.near.On(channel), f.Conns, f.Size)
	if err != nil {
		return turn, err
	}
	defer hammer.Close()
	got, err := hammer.Run(ctx, f.Duration, rate)
	if err != nil {
		return turn, err
	}
	turn.Sent = got.Answers
	if turn.Near, err = near.Finish(ctx, turn.Sent, f.Quiet); err != nil {
		return turn, err
	}
	if turn.Far, err = far.Finish(ctx, turn.Sent, f.Quiet); err != nil {
		return turn, err
	}
	turn.Over = turn.Far.P99 / (LagTimes*turn.Near.P99 + LagMore)
	return turn, nil
}
