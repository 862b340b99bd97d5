//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// captured is what a stream of the server looks like on the wire, for the
// floor to repeat.
type captured struct {
	hello []byte // response head and connect push
	frame []byte // one message, chunk framing included
}

// offsets returns where the frame's time and sequence number stand.
func (c captured) offsets() (stamp, seq int) {
	at := findPayload(c.frame)
	return at + stampAt, at + seqAt
}

// captureFrame opens one stream, publishes one message and returns the bytes
// that came. The publishers' first connection is used.
func captureFrame(ctx context.Context, addr netip.AddrPort, request []byte, p *publishers) (captured, error) {
	var c captured
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr.String())
	if err != nil {
		return c, fmt.Errorf("bench: capture: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if err = conn.SetDeadline(time.Now().Add(p.quiet)); err == nil {
		_, err = conn.Write(request)
	}
	if err != nil {
		return c, fmt.Errorf("bench: capture: %w", err)
	}
	var split splitter
	if c.hello, err = readWholeEvent(conn, &split); err != nil {
		return c, fmt.Errorf("bench: capture of the connect push: %w", err)
	}
	if err = p.prepare(ctx); err == nil {
		if err = p.start(ctx, 1); err == nil {
			err = p.finish()
		}
	}
	defer p.close()
	if err != nil {
		return c, err
	}
	for findPayload(c.frame) < 0 { // a ping may come first
		if c.frame, err = readWholeEvent(conn, &split); err != nil {
			return c, fmt.Errorf("bench: capture of a message on channel %q: %w", p.t.channel, err)
		}
	}
	return c, nil
}

// readWholeEvent reads byte by byte up to the end of the chunk in which an
// event ended, so that nothing of the next one is taken.
func readWholeEvent(conn net.Conn, split *splitter) (raw []byte, err error) {
	events := 0
	one := make([]byte, 1)
	for events == 0 || !split.between() {
		if _, err := conn.Read(one); err != nil {
			return nil, err
		}
		raw = append(raw, one[0])
		if err := split.feed(one, func([]byte) { events++ }); err != nil {
			return nil, err
		}
		if split.done() {
			return nil, errors.New("the server ended the stream")
		}
	}
	if events != 1 {
		return nil, fmt.Errorf("expected one event in a chunk, got %d", events)
	}
	return raw, nil
}
