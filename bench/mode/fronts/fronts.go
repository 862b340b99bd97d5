//go:build linux

package fronts

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"sluice/bench/figures"
	"sluice/bench/fronts"
	"sluice/bench/mode/publish"
	"sluice/bench/rig"
)

// Flags are the settings of the mode fronts.
type Flags struct {
	rig.CommonFlags
	Size, Rounds int
	Rate         float64
	Duration     time.Duration
}

// Setup declares the flags of the mode fronts, and returns what runs it.
func Setup(fs *flag.FlagSet) func(ctx context.Context) error {
	f := &Flags{}
	f.Register(fs)
	fs.IntVar(&f.Size, "size", 128, "bytes of JSON data per message")
	fs.IntVar(&f.Rounds, "rounds", 5, "rounds, in each of which every front takes a turn")
	fs.Float64Var(&f.Rate, "rate", 100, "publications/s")
	fs.DurationVar(&f.Duration, "duration", 2*time.Second, "how long a turn lasts")
	return func(ctx context.Context) error {
		return f.Conclude(Run(ctx, f))
	}
}

// idle is the idle limit of the fronts: nothing is silent in this mode.
const idle = time.Minute

// connections publish: one answer is never waited for by the next message.
const connections = 4

// side is a way to the server.
type side struct {
	name   string
	host   *rig.Host // where the stream comes from
	behind *rig.Host // where publications go
}

// turn is what one side heard in one round.
type turn struct {
	Round int               `json:"round"`
	Side  string            `json:"side"`
	Sent  int64             `json:"sent"`
	Lag   figures.Quantiles `json:"lag_ms"`
}

// Run runs the mode fronts. A program that is missing is told on stderr and left out.
func Run(ctx context.Context, f *Flags) (*Report, error) {
	if f.Rounds < 1 || f.Rate <= 0 || f.Duration <= 0 {
		return nil, errors.New("bench: -rounds, -rate and -duration should be above zero")
	}
	if f.URL != "" {
		return nil, errors.New("bench: this mode starts its servers and fronts itself; give -server BINARY or nothing")
	}
	return rig.With(ctx, &f.CommonFlags, 256, func(r *rig.Rig) (*Report, error) {
		sides, err := start(ctx, r)
		if err != nil {
			return nil, err
		}
		return measure(ctx, f, r, sides)
	})
}

// start starts the second server, for fronts that are late with chunks, and all fronts.
func start(ctx context.Context, r *rig.Rig) ([]side, error) {
	root, err := rig.ModuleRoot(ctx)
	if err != nil {
		return nil, err
	}
	closing, err := r.AddNode(ctx, "server with framing: close", rig.OwnServer{FramingClose: true})
	if err != nil {
		return nil, err
	}
	sides := []side{{direct, &r.Host, &r.Host}}
	add := func(k fronts.Kind, name string, behind *rig.Host) error {
		r.Progress.Say("starting %s", name)
		port, err := rig.FreePort(ctx)
		if err != nil {
			return err
		}
		dir := filepath.Join(r.Dir, name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("bench: %w", err)
		}
		cmd, _, err := k.Command(fronts.Setup{
			Files: filepath.Join(root, "gateway/deploy/fronts"), Dir: dir, Port: port, Origin: behind.Streams.String(), Idle: idle,
		})
		if errors.Is(err, fronts.ErrMissing) {
			fmt.Fprintln(os.Stderr, err)
			return nil
		} else if err != nil {
			return err
		}
		h, err := r.AddFront(ctx, name, cmd, port, behind)
		if err == nil {
			sides = append(sides, side{name, h, behind})
		}
		return err
	}
	for _, k := range fronts.Kinds() {
		if err := add(k, k.Name, &r.Host); err != nil {
			return nil, err
		}
		if k.Close {
			if err := add(k, k.Name+"_framing_close", closing); err != nil {
				return nil, err
			}
		}
	}
	return sides, nil
}

// measure lets all sides take turns.
func measure(ctx context.Context, f *Flags, r *rig.Rig, sides []side) (*Report, error) {
	report := newReport(f, r, sides)
	for round := range f.Rounds + 1 { // the first warms up
		for i := range sides {
			s := sides[(i+round)%len(sides)]
			r.Progress.Say("round %d of %d: %s", round, f.Rounds, s.name)
			t, err := s.listen(ctx, f, r, round)
			if err != nil {
				return nil, fmt.Errorf("bench: round %d: %s: %w", round, s.name, err)
			}
			if round > 0 {
				report.Turns = append(report.Turns, t)
			}
		}
	}
	report.sumUp()
	return report, nil
}

// listen publishes on a schedule, and hears it on one stream through the front.
func (s side) listen(ctx context.Context, f *Flags, r *rig.Rig, round int) (t turn, err error) {
	listener, err := publish.Listen(ctx, r, s.host, connections, s.name)
	if err != nil {
		return t, err
	}
	defer listener.Close()
	hammer, err := publish.On(ctx, r, s.behind, connections, f.Size)
	if err != nil {
		return t, err
	}
	defer hammer.Close()
	got, err := hammer.Run(ctx, f.Duration, f.Rate)
	if err != nil {
		return t, err
	}
	lag, err := listener.Finish(ctx, got.Answers, f.Quiet)
	return turn{Round: round, Side: s.name, Sent: got.Answers, Lag: lag}, err
}
