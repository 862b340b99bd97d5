//go:build linux

package rig

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"sluice/bench/load"
)

// Captured is what a stream of the server looks like on the wire, for the
// floor to repeat.
type Captured struct {
	hello []byte // response head and connect push
	Frame []byte // one message, chunk framing included; empty where none is to be repeated
}

// openRaw opens one stream and returns the bytes up to its connect push. The
// connection gives up quiet from now, and when ctx ends; release ends the tie
// to ctx and closes it.
func openRaw(ctx context.Context, addr netip.AddrPort, request []byte, split *load.Splitter, quiet time.Duration) (conn net.Conn, release func(), hello []byte, err error) {
	var d net.Dialer
	if conn, err = d.DialContext(ctx, "tcp", addr.String()); err != nil {
		return nil, nil, nil, fmt.Errorf("bench: capture: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	release = func() {
		stop()
		_ = conn.Close()
	}
	if err = conn.SetDeadline(time.Now().Add(quiet)); err == nil {
		_, err = conn.Write(request)
	}
	if err == nil {
		hello, err = readWholeEvent(conn, split)
	}
	if err != nil {
		release()
		return nil, nil, nil, fmt.Errorf("bench: capture of the connect push: %w", err)
	}
	return conn, release, hello, nil
}

// CaptureHello opens one stream and returns how it begins.
func CaptureHello(ctx context.Context, addr netip.AddrPort, request []byte, quiet time.Duration) (Captured, error) {
	_, release, hello, err := openRaw(ctx, addr, request, &load.Splitter{}, quiet)
	if err != nil {
		return Captured{}, err
	}
	release()
	return Captured{hello: hello}, nil
}

// CaptureFrame opens one stream of h, publishes one message and returns the bytes
// that came. The publishers' first connection is used.
func CaptureFrame(ctx context.Context, h *Host, request []byte, p *load.Publishers, quiet time.Duration) (Captured, error) {
	var c Captured
	var split load.Splitter
	conn, release, hello, err := openRaw(ctx, h.Streams, request, &split, quiet)
	if err != nil {
		return c, err
	}
	defer release()
	c.hello = hello
	if err = p.Prepare(ctx); err == nil {
		if err = p.Start(ctx, 1); err == nil {
			err = p.Finish()
		}
	}
	defer p.Close()
	if err != nil {
		return c, err
	}
	for stamp := -1; stamp < 0; stamp, _ = load.PayloadOffsets(c.Frame) { // a ping may come first
		if c.Frame, err = readWholeEvent(conn, &split); err != nil {
			return c, fmt.Errorf("bench: capture of a message on channel %q: %w", h.Target.Channel, err)
		}
	}
	return c, nil
}

// readWholeEvent reads byte by byte up to the end of the chunk in which an
// event ended, so that nothing of the next one is taken.
func readWholeEvent(conn net.Conn, split *load.Splitter) (raw []byte, err error) {
	events := 0
	one := make([]byte, 1)
	for events == 0 || !split.Between() {
		if _, err := conn.Read(one); err != nil {
			return nil, err
		}
		raw = append(raw, one[0])
		if err := split.Feed(one, func([]byte) { events++ }); err != nil {
			return nil, err
		}
		if split.Done() {
			return nil, errors.New("the server ended the stream")
		}
	}
	if events != 1 {
		return nil, fmt.Errorf("expected one event in a chunk, got %d", events)
	}
	return raw, nil
}
