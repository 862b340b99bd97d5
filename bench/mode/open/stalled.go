//go:build linux

package open

import (
	"context"
	"strings"
	"time"

	"sluice/bench/load"
	"sluice/bench/proc"
)

// stalledStreams are open and do not read.
type stalledStreams struct {
	client *load.Client
	parts  []*stalledReader // per worker
}

// stalledReader is the load.Handler of streams that are not read, or not as fast
// as they could be, until they are looked at. It keeps the streams of one worker.
type stalledReader struct {
	load.Silent
	late   bool // they come while others read, and so may be refused
	open   int
	closed map[string]int64 // by the server's reason
}

// Opened implements load.Handler.
func (d *stalledReader) Opened(int, []byte) { d.open++ }

// Closed implements load.closeHandler.
func (d *stalledReader) Closed(_ int, e load.Ending) bool {
	if e.Opened {
		d.open--
	} else if !d.late {
		return false
	}
	d.closed[e.Why]++
	return true
}

// openStalled opens the streams that stop reading behind their connect push.
func (x *opens) openStalled(ctx context.Context) (*stalledStreams, error) {
	requests, err := x.r.Requests(x.f.stall())
	if err != nil {
		return nil, err
	}
	s, err := x.newStalled(requests, false, func(*load.Config) {})
	if err != nil {
		return nil, err
	}
	if err := s.client.Open(ctx, len(requests), x.f.Quiet); err != nil {
		s.client.Close()
		return nil, err
	}
	return s, nil
}

// newStalled makes a client for streams with these requests, again from the first
// one where there are more streams.
func (x *opens) newStalled(requests [][]byte, late bool, change func(*load.Config)) (s *stalledStreams, err error) {
	s = &stalledStreams{}
	cfg := x.r.ClientConfig(&x.r.Host, requests, x.source, func(int) load.Handler {
		d := &stalledReader{late: late, closed: map[string]int64{}}
		s.parts = append(s.parts, d)
		return d
	})
	x.source += load.SourcesOf(len(requests))
	cfg.Request = func(stream int) []byte { return requests[stream%len(requests)] }
	x.tune(&cfg)
	cfg.Stall, cfg.Receive = true, load.StalledReceive
	change(&cfg)
	s.client, err = load.New(cfg)
	return s, err
}

const (
	stalledQuiet = time.Second      // without a byte, everything was read
	stalledLimit = 30 * time.Second // for reading everything
)

// look reads what the streams were sent, for that is the only way to learn which
// of them the server has cut.
func (s *stalledStreams) look(ctx context.Context) (*openStalled, error) {
	s.client.ReadOn()
	begin := time.Now()
	last, since := int64(-1), begin
	for time.Since(since) < stalledQuiet && time.Since(begin) < stalledLimit {
		if err := proc.Pause(ctx, 50*time.Millisecond); err != nil {
			return nil, err
		}
		var taken int64
		s.client.OnWorkers(func(i int) {
			taken += s.client.Taken(i)
			for _, n := range s.parts[i].closed {
				taken += n
			}
		})
		if taken != last {
			last, since = taken, time.Now()
		}
	}
	got := &openStalled{Closed: map[string]int64{}}
	s.client.OnWorkers(func(i int) {
		got.Open += s.parts[i].open
		for why, n := range s.parts[i].closed {
			got.Closed[why] += n
		}
	})
	for why, n := range got.Closed {
		if isSlow(why) {
			got.Cut += n
		} else {
			got.Wrong += n
		}
	}
	return got, s.client.Err()
}

// isSlow reports whether a stream ended as one does that was too slow: told so,
// or cut, since who does not read cannot be told.
func isSlow(why string) bool {
	return strings.HasPrefix(why, "3008 ") || why == load.EndReset || why == load.EndClosed
}
