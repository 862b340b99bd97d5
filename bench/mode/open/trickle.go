//go:build linux

package open

import (
	"context"
	"fmt"
	"sync"
	"time"

	"sluice/bench/load"
	"sluice/bench/proc"
)

const (
	// A stream that trickles reads trickleRead bytes every trickleEvery.
	trickleRead  = 2 << 10
	trickleEvery = 20 * time.Millisecond

	trickleMost = 1000 // streams that trickle at a time
)

// trickling are streams that come one after the other and read a little at a
// time, next to those that read as fast as they can.
type trickling struct {
	stalledStreams
	every time.Duration

	quit chan struct{} // closed by stop
	wg   sync.WaitGroup

	// Owned by run until quit is closed and wg is done.
	came int64
}

// trickledTurn is a turn during which streams that trickle come, if the flags ask
// for them. They are gone, also for the server, when it ends.
func (x *opens) trickledTurn(ctx context.Context, kind string, round, messages int) (turn openTurn, err error) {
	if x.f.Trickle == 0 {
		return x.turn(ctx, kind, round, messages)
	}
	t, err := x.startTrickle()
	if err != nil {
		return turn, err
	}
	turn, err = x.turn(ctx, kind, round, messages)
	t.stop()
	if err == nil {
		x.r.Progress.Say("looking what became of the %d streams that trickle", t.came)
		turn.Trickled, err = t.became(ctx)
	}
	t.client.Close()
	if err != nil {
		return turn, err
	}
	turn.PeakBudget += float64(turn.Trickled.Came*openPeakPerStream) / (1 << 20)
	return turn, proc.AwaitSockets(ctx, x.r.Streams.Port(), x.f.Streams+x.f.Conns, x.f.Quiet)
}

// startTrickle lets the first stream come; stop must be called.
func (x *opens) startTrickle() (*trickling, error) {
	requests, err := x.r.Requests(trickleMost)
	if err != nil {
		return nil, err
	}
	s, err := x.newTrickling(requests)
	if err != nil {
		return nil, err
	}
	t := &trickling{stalledStreams: *s, every: x.f.Trickle, quit: make(chan struct{})}
	t.wg.Go(t.run)
	return t, nil
}

// newTrickling makes the client of streams that trickle: one worker, so that they
// take no more of the machine than they have to.
func (x *opens) newTrickling(requests [][]byte) (*stalledStreams, error) {
	return x.newStalled(requests, true, func(cfg *load.Config) { cfg.Workers, cfg.Read = 1, trickleRead })
}

// run lets streams come and read until stop.
func (t *trickling) run() {
	come, read := time.NewTicker(t.every), time.NewTicker(trickleEvery)
	defer come.Stop()
	defer read.Stop()
	var gone int64
	for next := true; ; {
		if next && t.came-gone < trickleMost {
			t.client.Start(1)
			t.came++
		}
		select {
		case <-t.quit:
			return
		case <-come.C:
			next = true
		case <-read.C:
			next = false
			t.client.OnWorkers(func(i int) {
				t.client.Sip(i)
				gone = 0
				for _, n := range t.parts[i].closed {
					gone += n
				}
			})
		}
	}
}

// stop lets no more streams come, and the others read no more.
func (t *trickling) stop() {
	close(t.quit)
	t.wg.Wait()
}

// became reads what the streams were sent, and counts them.
func (t *trickling) became(ctx context.Context) (*openTrickled, error) {
	s, err := t.look(ctx)
	if err != nil {
		return nil, err
	}
	return &openTrickled{Came: t.came, openStalled: *s}, nil
}

// openTrickled is what became of the streams that trickle, of a turn or of all.
type openTrickled struct {
	Came int64 `json:"came"`
	openStalled
}

// add adds those of a turn.
func (t *openTrickled) add(o *openTrickled) {
	t.Came += o.Came
	t.Open += o.Open
	t.Cut += o.Cut
	t.Wrong += o.Wrong
	for why, n := range o.Closed {
		t.Closed[why] += n
	}
}

func (t *openTrickled) String() string {
	return fmt.Sprintf("of %d streams that trickle the server closed %d", t.Came, t.Cut+t.Wrong)
}
