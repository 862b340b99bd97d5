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
	frame []byte // one message, chunk framing included; empty where none is to be repeated
}

// openRaw opens one stream and returns the bytes up to its connect push. The
// connection gives up quiet from now, and when ctx ends; release ends the tie
// to ctx and closes it.
func openRaw(ctx context.Context, addr netip.AddrPort, request []byte, split *splitter, quiet time.Duration) (conn net.Conn, release func(), hello []byte, err error) {
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

// captureHello opens one stream and returns how it begins.
func captureHello(ctx context.Context, addr netip.AddrPort, request []byte, quiet time.Duration) (captured, error) {
	_, release, hello, err := openRaw(ctx, addr, request, &splitter{}, quiet)
	if err != nil {
		return captured{}, err
	}
	release()
	return captured{hello: hello}, nil
}

// captureFrame opens one stream of h, publishes one message and returns the bytes
// that came. The publishers' first connection is used.
func captureFrame(ctx context.Context, h *host, request []byte, p *publishers, quiet time.Duration) (captured, error) {
	var c captured
	var split splitter
	conn, release, hello, err := openRaw(ctx, h.streams, request, &split, quiet)
	if err != nil {
		return c, err
	}
	defer release()
	c.hello = hello
	if err = p.prepare(ctx); err == nil {
		if err = p.start(ctx, 1); err == nil {
			err = p.finish()
		}
	}
	defer p.close()
	if err != nil {
		return c, err
	}
	for stamp := -1; stamp < 0; stamp, _ = payloadOffsets(c.frame) { // a ping may come first
		if c.frame, err = readWholeEvent(conn, &split); err != nil {
			return c, fmt.Errorf("bench: capture of a message on channel %q: %w", h.target.channel, err)
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
