//go:build linux

package budgets

import (
	"context"
	"time"

	"sluice/bench/mode/connect"
	"sluice/bench/rig"
)

func budgetIdle(ctx context.Context, f *flags, rows []budgetRow) error {
	r, err := connect.RunIdle(ctx, &connect.IdleFlags{CommonFlags: f.CommonFlags, StepList: "2000,6000", Settle: 5 * time.Second, Rounds: 1})
	if err != nil {
		return err
	}
	rows[0].Got, rows[1].Got = &r.Series[0].RSS, r.Series[0].Goroutines
	return nil
}

func budgetWaiting(ctx context.Context, f *flags, rows []budgetRow) error {
	r, err := connect.RunIdle(ctx, &connect.IdleFlags{
		CommonFlags: f.CommonFlags, Kinds: connect.KindKeepAlive, StepList: "1000,5000", Settle: 2 * time.Second, Rounds: 1,
	})
	if err != nil {
		return err
	}
	kib := r.Series[0].RSS.Median
	rows[0].Got, rows[1].Got = exactly(1024*kib), r.Series[0].Goroutines
	return nil
}

func budgetConnect(ctx context.Context, f *flags, rows []budgetRow) error {
	x := &connect.Flags{
		CommonFlags: f.CommonFlags, Connects: 1000, Rounds: f.rounds, Floor: true, Kinds: connect.KindAnonymous + "," + connect.KindHS256,
	}
	x.Peers, x.Before = rig.NchanSide, f.before
	r, err := connect.Run(ctx, x)
	if err != nil {
		return err
	}
	for _, k := range r.Kinds {
		switch k.Kind {
		case connect.KindAnonymous:
			rows[0].Got = k.Open.OverFloor
		case rig.NchanSide:
			rows[1].Got = k.Open.OursOver
		case connect.KindHS256:
			rows[2].Got = k.Open.More
		case rig.BeforeSide:
			rows[3].Got = k.SpeedOver
		}
	}
	return nil
}

func budgetTLS(ctx context.Context, f *flags, rows []budgetRow) error {
	idle, err := connect.RunIdle(ctx, &connect.IdleFlags{CommonFlags: f.CommonFlags, Kinds: connect.KindTLS, StepList: "500,2000", Settle: 2 * time.Second, Rounds: 1})
	if err != nil {
		return err
	}
	if rows[0].Got = &idle.Series[0].RSS; f.before == "" {
		return nil
	}
	x := &connect.TLSFlags{CommonFlags: f.CommonFlags, Connects: 300, Rounds: f.rounds}
	x.Before = f.before
	r, err := connect.RunTLS(ctx, x)
	if err != nil {
		return err
	}
	rows[1].Got, rows[2].Got = r.Over(connect.KindFull), r.Over(connect.KindResumed)
	return nil
}

func budgetStorm(ctx context.Context, f *flags, rows []budgetRow) error {
	s := &connect.StormFlags{CommonFlags: f.CommonFlags, Streams: 3000, Rounds: 1, Soon: 5 * time.Second}
	s.Ramp = 1000
	r, err := connect.RunStorm(ctx, s)
	if err != nil {
		return err
	}
	rows[0].Got = &r.Sides[0].SoonEach
	return nil
}
