//go:build linux

package engine

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"sluice/bench/figures"
	"sluice/bench/load"
	"sluice/bench/mode/publish"
	"sluice/bench/proc"
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

// listener is a stream that counts what it gets. It implements load.Handler; what it
// keeps belongs to its worker.
type listener struct {
	name   string
	client *load.Client

	// Owned by the worker.
	seqs    []load.Sequence // by publisher
	tally   load.Tally
	foreign int64
	lag     *hdrhistogram.Histogram

	// Atomic.
	arrived atomic.Int64
}

// Opened implements load.Handler.
func (l *listener) Opened(int, []byte) {}

// Flush implements load.Handler.
func (l *listener) Flush() {}

// Event implements load.Handler.
func (l *listener) Event(_ int, data []byte, now int64) {
	if len(data) <= len(`{}`) {
		return // a ping
	}
	m, ok := load.ParsePayload(data)
	if !ok || m.Publisher >= len(l.seqs) {
		l.foreign++
		return
	}
	if l.seqs[m.Publisher].Arrive(m.Seq, &l.tally) {
		figures.RecordMicros(l.lag, now-m.Sent)
		l.arrived.Add(1)
	}
}

// listen opens a stream on the channel of h, for messages of so many publishers.
func listen(ctx context.Context, f *Flags, r *rig.Rig, h *rig.Host, name string) (*listener, error) {
	request, err := stream(h)
	if err != nil {
		return nil, err
	}
	l := &listener{name: name, seqs: make([]load.Sequence, f.Conns), lag: figures.NewHistogram()}
	for i := range l.seqs {
		l.seqs[i] = load.StartSequence(0)
	}
	config := r.ClientConfig(h, [][]byte{request}, 0, func(int) load.Handler { return l })
	config.Workers = 1
	if l.client, err = load.New(config); err != nil {
		return nil, err
	}
	if err = l.client.Open(ctx, 1, f.Quiet); err != nil {
		l.client.Close()
		return nil, err
	}
	return l, nil
}

// finish waits for n messages and returns their lags.
func (l *listener) finish(ctx context.Context, n int64, quiet time.Duration) (q figures.Quantiles, err error) {
	last, since := int64(-1), time.Now()
	for now := l.arrived.Load(); now < n; now = l.arrived.Load() {
		if now != last {
			last, since = now, time.Now()
		}
		if time.Since(since) > quiet {
			return q, fmt.Errorf("bench: %d of %d messages came to the %s, and none for %v", now, n, l.name, quiet)
		}
		if err := l.client.Err(); err != nil {
			return q, err
		}
		if err := proc.Pause(ctx, time.Millisecond); err != nil {
			return q, err
		}
	}
	l.client.OnWorkers(func(int) {
		q = figures.QuantilesOf(l.lag)
		err = tellLost(l.name, l.tally)
		if l.foreign > 0 {
			err = fmt.Errorf("bench: %d events on the %s are of somebody else", l.foreign, l.name)
		}
	})
	return q, err
}

// measureLag publishes rate messages a second, on a schedule.
func measureLag(ctx context.Context, f *Flags, r *rig.Rig, x *fleet, round int, rate float64) (turn lagTurn, err error) {
	turn = lagTurn{Round: round, Rate: rate}
	channel := rig.RecoverablePrefix + f.Channel + "-lag"
	near, err := listen(ctx, f, r, x.near.On(channel), "node that publishes")
	if err != nil {
		return turn, err
	}
	defer near.client.Close()
	far, err := listen(ctx, f, r, x.far.On(channel), "other node")
	if err != nil {
		return turn, err
	}
	defer far.client.Close()
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
	if turn.Near, err = near.finish(ctx, turn.Sent, f.Quiet); err != nil {
		return turn, err
	}
	if turn.Far, err = far.finish(ctx, turn.Sent, f.Quiet); err != nil {
		return turn, err
	}
	turn.Over = turn.Far.P99 / (LagTimes*turn.Near.P99 + LagMore)
	return turn, nil
}
