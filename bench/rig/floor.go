//go:build linux

package rig

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"sluice/bench/load"
)

// FloorSide is what the floor is called in tables.
const FloorSide = "floor"

//go:embed floor/floor.c
var floorSource []byte

const gccMissing = "bench: the floor is a C program and gcc is not installed: apt-get install gcc libc6-dev (or run without it: -floor=false)"

// BuildFloor compiles floor.c into dir.
func BuildFloor(ctx context.Context, dir string) (binary string, err error) {
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		return "", errors.New(gccMissing)
	}
	source := filepath.Join(dir, "floor.c")
	if err := os.WriteFile(source, floorSource, 0o600); err != nil {
		return "", fmt.Errorf("bench: floor: %w", err)
	}
	binary = filepath.Join(dir, "floor")
	if out, err := exec.CommandContext(ctx, gcc, "-O2", "-Wall", "-o", binary, source).CombinedOutput(); err != nil {
		return "", fmt.Errorf("bench: gcc floor.c: %w: %s", err, out)
	}
	return binary, nil
}

// Floor is a running floor program (floor/floor.c). It implements the source of a side (mode/fanout). One
// goroutine at a time.
type Floor struct {
	Addr    netip.AddrPort
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	started int    // go lines not yet answered
	count   uint32 // messages asked for so far
	done    floorDone
}

// floorDone is the floor's account of the calls it made since the last reset.
type floorDone struct {
	writes, again, short int64
}

// StartFloor runs the program so that it repeats what c holds, as publisher 0
// from sequence number 0.
func StartFloor(ctx context.Context, binary, dir string, c Captured) (*Floor, error) {
	stamp, seq := load.PayloadOffsets(c.Frame)
	frame := append([]byte(nil), c.Frame...)
	load.StampEvent(frame, load.Message{})
	hello := filepath.Join(dir, "hello")
	frameFile := filepath.Join(dir, "frame")
	if err := errors.Join(os.WriteFile(hello, c.hello, 0o600), os.WriteFile(frameFile, frame, 0o600)); err != nil {
		return nil, fmt.Errorf("bench: floor: %w", err)
	}
	f := &Floor{cmd: exec.CommandContext(ctx, binary, hello, frameFile, strconv.Itoa(stamp), strconv.Itoa(seq))}
	ownGroup(f.cmd)
	f.cmd.Stderr = os.Stderr
	in, err := f.cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("bench: floor: %w", err)
	}
	out, err := f.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("bench: floor: %w", err)
	}
	f.in, f.out = in, bufio.NewReader(out)
	if err := f.cmd.Start(); err != nil {
		return nil, fmt.Errorf("bench: floor: %w", err)
	}
	var port uint16
	if err := f.answer("port %d", &port); err != nil {
		f.Stop()
		return nil, err
	}
	f.Addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
	return f, nil
}

// Accept tells the floor that n streams are about to connect; Accepted waits
// until it has them.
func (f *Floor) Accept(n int) error { return f.say("accept %d", n) }

// Accepted waits until the floor has the streams that Accept told of.
func (f *Floor) Accepted() error {
	var n int
	return f.answer("accepted %d", &n)
}

// CloseAll lets the floor close its end of all streams.
func (f *Floor) CloseAll() error {
	if err := f.say("close"); err != nil {
		return err
	}
	var n int
	return f.answer("closed %d", &n)
}

// Prepare implements the source of a side (mode/fanout).
func (f *Floor) Prepare(context.Context) error {
	f.done = floorDone{}
	return nil
}

// Start implements the source of a side (mode/fanout).
func (f *Floor) Start(_ context.Context, n int) error {
	f.started++
	f.count += uint32(n)
	return f.say("go %d", n)
}

// Finish implements the source of a side (mode/fanout).
func (f *Floor) Finish() error {
	for ; f.started > 0; f.started-- {
		var n, us int64
		var d floorDone
		if err := f.answer("done %d writes %d again %d short %d us %d", &n, &d.writes, &d.again, &d.short, &us); err != nil {
			return err
		}
		f.done.writes += d.writes
		f.done.again += d.again
		f.done.short += d.short
	}
	return nil
}

// Again is how many writes since Prepare met a full socket.
func (f *Floor) Again() int64 { return f.done.again }

// Sent implements the source of a side (mode/fanout).
func (f *Floor) Sent() []uint32 { return []uint32{f.count} }

// CPU implements the source of a side (mode/fanout): by the floor's own getrusage.
func (f *Floor) CPU() (time.Duration, error) {
	if err := f.say("cpu"); err != nil {
		return 0, err
	}
	var ns int64
	err := f.answer("cpu %d", &ns)
	return time.Duration(ns), err
}

// Stop ends the program and waits for it.
func (f *Floor) Stop() {
	// It ends at the end of its input; in the middle of a burst nobody reads
	// any more it would not look there.
	_ = f.in.Close()
	kill := time.AfterFunc(2*time.Second, func() { _ = f.cmd.Process.Kill() })
	defer kill.Stop()
	// The exit status says nothing that an answer has not said before.
	_ = f.cmd.Wait()
}

func (f *Floor) say(format string, args ...any) error {
	if _, err := fmt.Fprintf(f.in, format+"\n", args...); err != nil {
		return fmt.Errorf("bench: floor: %w", err)
	}
	return nil
}

func (f *Floor) answer(format string, args ...any) error {
	line, err := f.out.ReadString('\n')
	if err != nil {
		return fmt.Errorf("bench: the floor went away: %w", err)
	}
	if n, err := fmt.Sscanf(line, format, args...); err != nil || n != len(args) {
		return fmt.Errorf("bench: the floor should answer %q, and said %q", format, strings.TrimSpace(line))
	}
	return nil
}
