//go:build linux

package fanout

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"

	"sluice/bench/figures"
	"sluice/bench/load"
	"sluice/bench/proc"
)

// prober asks the same question over and over on one connection. The time of an
// answer is when the kernel received it, so that a bench which is busy itself
// does not count.
type prober struct {
	addr    netip.AddrPort
	request []byte
	every   time.Duration
	quiet   time.Duration
}

// during asks while f runs.
func (p *prober) during(ctx context.Context, f func() error) (*hdrhistogram.Histogram, error) {
	asking, stop := context.WithCancel(ctx)
	defer stop()
	lag := figures.NewHistogram()
	done := make(chan error, 1)
	go func() { done <- p.ask(asking, lag) }()
	err := f()
	stop()
	return lag, errors.Join(err, <-done)
}

// ask asks until ctx ends, and at least once.
func (p *prober) ask(ctx context.Context, lag *hdrhistogram.Histogram) error {
	family, to := load.Sockaddr(p.addr)
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("bench: health: %w", err)
	}
	defer unix.Close(fd)
	limit := unix.NsecToTimeval(p.quiet.Nanoseconds())
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit),
		unix.Connect(fd, to),
	)
	if err != nil {
		return fmt.Errorf("bench: health: %w", err)
	}
	for {
		took, err := p.once(fd)
		if err != nil {
			return fmt.Errorf("bench: health: %w", err)
		}
		// Why: while one answer was awaited, the questions due meanwhile were
		// not asked; they would have waited too.
		us := min(max(took.Microseconds(), 1), figures.MaxLagMicros)
		if err := lag.RecordCorrectedValue(us, p.every.Microseconds()); err != nil {
			return fmt.Errorf("bench: health: %w", err)
		}
		if proc.Pause(ctx, max(0, p.every-took)) != nil {
			return nil
		}
	}
}

// once asks one question.
func (p *prober) once(fd int) (time.Duration, error) {
	begin := time.Now()
	if _, err := unix.Write(fd, p.request); err != nil {
		return 0, err
	}
	var answer []byte
	buf, control := make([]byte, 4096), make([]byte, 128)
	for {
		n, oobn, _, _, err := unix.Recvmsg(fd, buf, control, 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return 0, err
		case n == 0:
			return 0, errors.New("the server closed the connection")
		}
		arrived := receivedAt(control[:oobn])
		answer = append(answer, buf[:n]...)
		status, _, whole, err := load.ParseAnswer(answer)
		if err != nil {
			return 0, err
		}
		if whole && status != 200 {
			return 0, fmt.Errorf("expected status 200, got %d", status)
		}
		if whole {
			return arrived.Sub(begin.Round(0)), nil
		}
	}
}

// receivedAt is the kernel's time of the bytes, or now where it told none.
func receivedAt(control []byte) time.Time {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return time.Now().Round(0)
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_TIMESTAMPNS && len(m.Data) >= 16 {
			return time.Unix(int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:])))
		}
	}
	return time.Now().Round(0)
}
