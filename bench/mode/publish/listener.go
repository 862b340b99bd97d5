//go:build linux

package publish

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"sluice/bench/figures"
	"sluice/bench/load"
	"sluice/bench/proc"
	"sluice/bench/rig"
)

// Listener is a stream that counts what it gets of the messages of a Hammer. It implements
// load.Handler; what it keeps belongs to its worker.
type Listener struct {
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
func (l *Listener) Opened(int, []byte) {}

// Flush implements load.Handler.
func (l *Listener) Flush() {}

// Event implements load.Handler.
func (l *Listener) Event(_ int, data []byte, now int64) {
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

// Listen opens a stream on the channel of h, for messages of so many publishers; name is
// what errors call it.
func Listen(ctx context.Context, r *rig.Rig, h *rig.Host, publishers int, name string) (*Listener, error) {
	request, err := h.RequestOn(0, h.Target.Channel)
	if err != nil {
		return nil, err
	}
	l := &Listener{name: name, seqs: make([]load.Sequence, publishers), lag: figures.NewHistogram()}
	for i := range l.seqs {
		l.seqs[i] = load.StartSequence(0)
	}
	config := r.ClientConfig(h, [][]byte{request}, 0, func(int) load.Handler { return l })
	config.Workers = 1
	if l.client, err = load.New(config); err != nil {
		return nil, err
	}
	if err = l.client.Open(ctx, 1, r.Flags.Quiet); err != nil {
		l.client.Close()
		return nil, err
	}
	return l, nil
}

// Close ends the stream.
func (l *Listener) Close() { l.client.Close() }

// Finish waits for n messages and returns their lags, ms from when each was due. It gives
// up when none came for quiet.
func (l *Listener) Finish(ctx context.Context, n int64, quiet time.Duration) (q figures.Quantiles, err error) {
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
		err = TellLost(l.name, l.tally)
		if l.foreign > 0 {
			err = fmt.Errorf("bench: %d events on the %s are of somebody else", l.foreign, l.name)
		}
	})
	return q, err
}

// TellLost is an error where a tally has something wrong; who is where that was.
func TellLost(who string, t load.Tally) error {
	var wrong figures.Wrongs
	wrong.Count(t.Lost, "messages were lost on the "+who)
	wrong.Count(t.Duplicated, "messages were repeated on the "+who)
	wrong.Count(t.Reordered, "messages came out of order on the "+who)
	return errors.Join(wrong...)
}
