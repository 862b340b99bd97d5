//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

// healthFlags are the settings of the health mode.
type healthFlags struct {
	fanOutFlags
	every time.Duration
	rest  time.Duration // how long a turn at rest asks
	url   string
}

func setupHealth(fs *flag.FlagSet) func(ctx context.Context) error {
	f := &healthFlags{}
	f.mode, f.pattern, f.rate = "health", string(patternBurst), 1
	f.register(fs)
	fs.StringVar(&f.url, "health-url", "", "health URL of the running server (default: /health where its streams are)")
	fs.DurationVar(&f.every, "every", 5*time.Millisecond, "time between questions")
	fs.DurationVar(&f.rest, "rest", time.Second, "how long a turn at rest asks")
	fs.IntVar(&f.streams, "streams", 1000, "open streams, all on one channel")
	fs.IntVar(&f.size, "size", 128, "bytes of JSON data per message")
	fs.IntVar(&f.messages, "messages", 8000, "messages per saturated turn")
	fs.IntVar(&f.rounds, "rounds", 5, "rounds, in each of which there is a saturated turn and one at rest")
	fs.IntVar(&f.conns, "conns", 16, "publishing connections")
	fs.IntVar(&f.inFlight, "in-flight", 256, "publications in flight, over all connections")
	return func(ctx context.Context) error {
		return f.conclude(runHealth(ctx, f))
	}
}

// healthBudget is the p99 of an answer of a saturated server, ms.
const healthBudget = 25.0

// healthTurn is one turn.
type healthTurn struct {
	Round     int       `json:"round"`
	Saturated bool      `json:"saturated"`
	Answers   int64     `json:"answers"`
	MS        quantiles `json:"answer_ms"`
}

// healthReport is the result of the health mode. In the rounds are the
// saturated turns.
type healthReport struct {
	fanOutReport
	Every string       `json:"every"`
	Turns []healthTurn `json:"turns"`
	Busy  spread       `json:"answer_p99_ms_saturated"`
	Rest  spread       `json:"answer_p99_ms_at_rest"`
}

func runHealth(ctx context.Context, f *healthFlags) (*healthReport, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	if f.every <= 0 {
		return nil, errors.New("bench: -every should be above zero")
	}
	return withRig(ctx, &f.commonFlags, f.streams+f.conns+64, func(r *rig) (*healthReport, error) {
		return healthUnderLoad(ctx, f, r)
	})
}

// healthUnderLoad lets turns under load and at rest follow each other.
func healthUnderLoad(ctx context.Context, f *healthFlags, r *rig) (*healthReport, error) {
	where := f.url
	if where == "" {
		where = (&url.URL{Scheme: "http", Host: r.streamURL.Host, Path: "/health"}).String()
	}
	addr, u, err := resolve(ctx, where, f.allowRemote)
	if err != nil {
		return nil, err
	}
	p := &prober{addr: addr, request: fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", u.EscapedPath(), u.Host), every: f.every, quiet: f.quiet}
	s, err := openHost(ctx, &f.fanOutFlags, r, &r.host, nil)
	if err != nil {
		return nil, err
	}
	defer s.close()
	report := &healthReport{fanOutReport: *newFanOutReport(&f.fanOutFlags, r, 0), Every: f.every.String()}
	for round := range f.rounds + 1 { // the first warms up
		r.progress.say("round %d of %d: asking a saturated server", round, f.rounds)
		var res roundResult
		var lag *hdrhistogram.Histogram
		busy, err := p.during(ctx, func() (err error) {
			res, lag, err = s.run(ctx, &f.fanOutFlags, f.messages)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("bench: round %d: %w", round, err)
		}
		r.progress.say("round %d of %d: asking a server at rest", round, f.rounds)
		rest, err := p.during(ctx, func() error { return pause(ctx, f.rest) })
		if err != nil {
			return nil, fmt.Errorf("bench: round %d: %w", round, err)
		}
		if res.Round = round; round == 0 {
			report.WarmUp.add(res)
			continue
		}
		report.add(res, lag)
		report.Turns = append(report.Turns, newHealthTurn(round, true, busy), newHealthTurn(round, false, rest))
	}
	report.sumUp()
	return report, nil
}

func newHealthTurn(round int, saturated bool, h *hdrhistogram.Histogram) healthTurn {
	return healthTurn{Round: round, Saturated: saturated, Answers: h.TotalCount(), MS: quantilesOf(h)}
}

// pause waits.
func pause(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sumUp fills in the medians.
func (r *healthReport) sumUp() {
	r.fanOutReport.sumUp()
	p99 := func(saturated bool) (values []float64) {
		for _, t := range r.Turns {
			if t.Saturated == saturated {
				values = append(values, t.MS.P99)
			}
		}
		return values
	}
	r.Busy, r.Rest = spreadOf(p99(true)), spreadOf(p99(false))
}

func (r *healthReport) writeTable(w io.Writer) error {
	fmt.Fprintf(w, "health: asked every %s while %d publications are in flight to %d streams, and at rest\n%s\n%s\n\n",
		r.Every, r.InFlight, r.Streams, r.Server, r.Machine)
	t := columns(w)
	fmt.Fprintln(t, "round\tserver\tanswers\tp50 ms\tp99\tp99.9\tmax\t")
	for _, x := range r.Turns {
		how := "at rest"
		if x.Saturated {
			how = "saturated"
		}
		fmt.Fprintf(t, "%d\t%s\t%d\t%.2f\t%.2f\t%.2f\t%.2f\t\n", x.Round, how, x.Answers, x.MS.P50, x.MS.P99, x.MS.P999, x.MS.Max)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if r.Own != nil {
		fmt.Fprintf(w, "\ndeliveries/s meanwhile  %.0f (%.0f–%.0f)\n", r.Own.PerSecond.Median, r.Own.PerSecond.Min, r.Own.PerSecond.Max)
	}
	_, err := fmt.Fprintf(w, "p99 of an answer, saturated, ms  %s  %s\np99 of an answer, at rest, ms    %s\n"+
		"an answer's time ends when its bytes reached the socket, by the kernel's clock; questions that a late answer held up are counted as late; median of the rounds (lowest–highest)\n",
		r.Busy, budget(r.Busy.Median, healthBudget), r.Rest)
	return err
}

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
	lag := newHistogram()
	done := make(chan error, 1)
	go func() { done <- p.ask(asking, lag) }()
	err := f()
	stop()
	return lag, errors.Join(err, <-done)
}

// ask asks until ctx ends, and at least once.
func (p *prober) ask(ctx context.Context, lag *hdrhistogram.Histogram) error {
	family, to := sockaddr(p.addr)
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
		us := min(max(took.Microseconds(), 1), maxLagMicros)
		if err := lag.RecordCorrectedValue(us, p.every.Microseconds()); err != nil {
			return fmt.Errorf("bench: health: %w", err)
		}
		if pause(ctx, max(0, p.every-took)) != nil {
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
		status, _, whole, err := parseAnswer(answer)
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
