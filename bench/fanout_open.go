//go:build linux

package main

import (
	"context"
	"fmt"
)

// fanOut opens all sides and lets them take turns.
func fanOut(ctx context.Context, f *fanOutFlags, r *rig) (*fanOutReport, error) {
	var sides []*side
	defer func() {
		for _, s := range sides {
			s.close()
		}
	}()
	var wire captured
	for _, h := range r.hosts() {
		s, err := openHost(ctx, f, r, h, &wire)
		if err != nil {
			return nil, fmt.Errorf("bench: %s: %w", h.name, err)
		}
		sides = append(sides, s)
	}
	if f.floor {
		binary, err := buildFloor(ctx, r.dir)
		if err != nil {
			return nil, err
		}
		fl, err := startFloor(ctx, binary, r.dir, wire)
		if err != nil {
			return nil, err
		}
		defer fl.stop()
		floor, err := openFloor(ctx, f, r, fl)
		if err != nil {
			return nil, err
		}
		sides = append(sides[:1], append([]*side{floor}, sides[1:]...)...)
	}
	report := newFanOutReport(f, r, len(wire.frame))
	before := mallocs(ctx, r.streams.String())
	if err := takeTurns(ctx, f, r, sides, report); err != nil {
		return nil, err
	}
	report.sumUpMemory(sides, before, mallocs(ctx, r.streams.String()))
	return report, nil
}

// openHost opens the streams to a server. wire, where it is asked for, is filled
// with what a stream and a message of the first one look like.
func openHost(ctx context.Context, f *fanOutFlags, r *rig, h *host, wire *captured) (*side, error) {
	p := publishing{conns: f.conns, inFlight: f.inFlight, size: f.size}
	if f.ownChannels {
		p.channels = f.streams
	}
	pubs, err := r.publishers(ctx, h, p)
	if err != nil {
		return nil, err
	}
	requests, err := f.requests(h)
	if err != nil {
		return nil, err
	}
	if wire != nil && wire.frame == nil {
		if *wire, err = captureFrame(ctx, h, requests[0], pubs, f.quiet); err != nil {
			return nil, err
		}
	}
	s := newSide(h.name, pubs, f.streams)
	s.host = h
	if f.ownChannels {
		s.each, s.own = 1, &ownChannels{conns: f.conns, channels: f.streams, workers: f.workers}
	}
	return s, openSide(ctx, r, s, h, requests, 0)
}

// close ends the streams and the publishing connections.
func (s *side) close() {
	s.client.close()
	if p, ok := s.source.(*publishers); ok {
		p.close()
	}
}

// openSide opens the streams of s, which are one per request, and notes what
// the server held before.
func openSide(ctx context.Context, r *rig, s *side, h *host, requests [][]byte, source int) (err error) {
	if m, err := readMemory(h.target.pids); err == nil {
		s.empty = &m
	}
	if s.client, err = r.newClientOf(h, requests, source, s.handler); err != nil {
		return err
	}
	if err = openStreams(ctx, r, s, len(requests)); err == nil {
		err = h.settle(ctx)
	}
	if err != nil {
		s.client.close()
	}
	return err
}

// requests are those of all streams to h.
func (f *fanOutFlags) requests(h *host) (requests [][]byte, err error) {
	if !f.ownChannels {
		return h.requests(f.streams)
	}
	requests = make([][]byte, f.streams)
	for i := range requests {
		if requests[i], err = h.requestOn(i, numberedChannel(h.target.channel, i)); err != nil {
			return nil, err
		}
	}
	return requests, nil
}

// openFloor opens the streams to the floor, with the requests that the server
// got.
func openFloor(ctx context.Context, f *fanOutFlags, r *rig, fl *floor) (*side, error) {
	s := newSide(floorSide, fl, f.streams)
	h := &host{name: s.name, target: r.target, streams: fl.addr, streamURL: r.streamURL}
	var err error
	if s.client, err = r.newClient(h, f.streams, s.handler); err != nil {
		return nil, err
	}
	if err = fl.accept(f.streams); err == nil {
		err = openStreams(ctx, r, s, f.streams)
	}
	if err == nil {
		err = fl.accepted()
	}
	if err != nil {
		s.client.close()
		return nil, err
	}
	return s, nil
}

// openStreams opens n streams that expect what is sent from here on.
func openStreams(ctx context.Context, r *rig, s *side, n int) error {
	s.begin()
	r.progress.show(func() string {
		return fmt.Sprintf("%s: %d of %d streams open", s.name, s.client.opened.Load(), n)
	})
	return s.client.open(ctx, n, r.flags.quiet)
}
