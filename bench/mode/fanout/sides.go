//go:build linux

package fanout

import (
	"context"
	"fmt"

	"sluice/bench/load"
	"sluice/bench/proc"
	"sluice/bench/rig"
)

// fanOut opens all sides and lets them take turns.
func fanOut(ctx context.Context, f *Flags, r *rig.Rig) (*Report, error) {
	var sides []*side
	defer func() {
		for _, s := range sides {
			s.close()
		}
	}()
	var wire rig.Captured
	for _, h := range r.Hosts() {
		s, err := openHost(ctx, f, r, h, &wire)
		if err != nil {
			return nil, fmt.Errorf("bench: %s: %w", h.Name, err)
		}
		sides = append(sides, s)
	}
	if f.Floor {
		binary, err := rig.BuildFloor(ctx, r.Dir)
		if err != nil {
			return nil, err
		}
		fl, err := rig.StartFloor(ctx, binary, r.Dir, wire)
		if err != nil {
			return nil, err
		}
		defer fl.Stop()
		floor, err := openFloor(ctx, f, r, fl)
		if err != nil {
			return nil, err
		}
		sides = append(sides[:1], append([]*side{floor}, sides[1:]...)...)
	}
	report := newReport(f, r, len(wire.Frame))
	before := proc.Mallocs(ctx, r.Streams.String())
	if err := takeTurns(ctx, f, r, sides, report); err != nil {
		return nil, err
	}
	report.sumUpMemory(sides, before, proc.Mallocs(ctx, r.Streams.String()))
	return report, nil
}

// openHost opens the streams to a server. wire, where it is asked for, is filled
// with what a stream and a message of the first one look like.
func openHost(ctx context.Context, f *Flags, r *rig.Rig, h *rig.Host, wire *rig.Captured) (*side, error) {
	p := rig.Publishing{Conns: f.Conns, InFlight: f.InFlight, Size: f.Size}
	if f.OwnChannels {
		p.Channels = f.Streams
	}
	pubs, err := r.Publishers(ctx, h, p)
	if err != nil {
		return nil, err
	}
	requests, err := f.requests(h)
	if err != nil {
		return nil, err
	}
	if wire != nil && wire.Frame == nil {
		if *wire, err = rig.CaptureFrame(ctx, h, requests[0], pubs, f.Quiet); err != nil {
			return nil, err
		}
	}
	s := newSide(h.Name, pubs, f.Streams)
	s.host = h
	if f.OwnChannels {
		s.each, s.own = 1, &ownChannels{conns: f.Conns, channels: f.Streams, workers: f.Workers}
	}
	return s, openSide(ctx, r, s, h, requests, 0)
}

// close ends the streams and the publishing connections.
func (s *side) close() {
	s.client.Close()
	if p, ok := s.source.(*load.Publishers); ok {
		p.Close()
	}
}

// openSide opens the streams of s, which are one per request, and notes what
// the server held before.
func openSide(ctx context.Context, r *rig.Rig, s *side, h *rig.Host, requests [][]byte, source int) (err error) {
	if m, err := proc.ReadMemory(h.Target.PIDs); err == nil {
		s.empty = &m
	}
	if s.client, err = r.NewClientOf(h, requests, source, s.handler); err != nil {
		return err
	}
	if err = openStreams(ctx, r, s, len(requests)); err == nil {
		err = h.Settle(ctx)
	}
	if err != nil {
		s.client.Close()
	}
	return err
}

// requests are those of all streams to h.
func (f *Flags) requests(h *rig.Host) (requests [][]byte, err error) {
	if !f.OwnChannels {
		return h.Requests(f.Streams)
	}
	requests = make([][]byte, f.Streams)
	for i := range requests {
		if requests[i], err = h.RequestOn(i, load.NumberedChannel(h.Target.Channel, i)); err != nil {
			return nil, err
		}
	}
	return requests, nil
}

// openFloor opens the streams to the floor, with the requests that the server
// got.
func openFloor(ctx context.Context, f *Flags, r *rig.Rig, fl *rig.Floor) (*side, error) {
	s := newSide(rig.FloorSide, fl, f.Streams)
	h := &rig.Host{Name: s.name, Target: r.Target, Streams: fl.Addr, StreamURL: r.StreamURL}
	var err error
	if s.client, err = r.NewClient(h, f.Streams, s.handler); err != nil {
		return nil, err
	}
	if err = fl.Accept(f.Streams); err == nil {
		err = openStreams(ctx, r, s, f.Streams)
	}
	if err == nil {
		err = fl.Accepted()
	}
	if err != nil {
		s.client.Close()
		return nil, err
	}
	return s, nil
}

// openStreams opens n streams that expect what is sent from here on.
func openStreams(ctx context.Context, r *rig.Rig, s *side, n int) error {
	s.begin()
	r.Progress.Show(func() string {
		return fmt.Sprintf("%s: %d of %d streams open", s.name, s.client.Opened.Load(), n)
	})
	return s.client.Open(ctx, n, r.Flags.Quiet)
}
