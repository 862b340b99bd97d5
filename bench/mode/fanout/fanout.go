//go:build linux

package fanout

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"sluice/bench/rig"
)

// Pattern is how messages follow each other.
type Pattern string

const (
	PatternClosed Pattern = "closed" // publish one, wait until every stream has it, next
	PatternBurst  Pattern = "burst"  // as many in flight as -in-flight says
	PatternPaced  Pattern = "paced"  // so many per second, whatever the answers do
)

// defaultMessages per round: a few seconds each on a small machine.
var defaultMessages = map[Pattern]int{PatternClosed: 300, PatternBurst: 1000, PatternPaced: 100}

// Flags are the settings of the modes that publish to open streams, as
// reported.
type Flags struct {
	rig.CommonFlags
	Mode                            string
	Streams, Size, Messages, Rounds int
	Conns, InFlight                 int
	Rate                            float64
	Pattern                         string
	Floor                           bool
	OwnChannels                     bool // a channel for each stream instead of one for all
}

// Setup declares the flags of the mode fan-out, and returns what runs it.
func Setup(fs *flag.FlagSet) func(ctx context.Context) error {
	f := &Flags{Mode: "fan-out"}
	f.registerFanOut(fs, 1000, 128)
	fs.BoolVar(&f.Floor, "floor", true, "take turns with the floor program")
	return f.runAndReport
}

// SetupLarge is the fan-out with messages of 16 KiB.
func SetupLarge(fs *flag.FlagSet) func(ctx context.Context) error {
	f := &Flags{Mode: "large"}
	f.registerFanOut(fs, 500, 16<<10)
	fs.BoolVar(&f.Floor, "floor", true, "take turns with the floor program, which sends as much")
	return f.runAndReport
}

// registerFanOut declares the flags that both have.
func (f *Flags) registerFanOut(fs *flag.FlagSet, streams, size int) {
	f.Register(fs)
	f.RegisterPeers(fs)
	fs.IntVar(&f.Streams, "streams", streams, "open streams, all on one channel")
	fs.IntVar(&f.Size, "size", size, "bytes of JSON data per message")
	fs.IntVar(&f.Messages, "messages", 0, "messages per round (default: 300 closed, 1000 burst, 100 paced)")
	fs.IntVar(&f.Rounds, "rounds", 5, "rounds, in each of which every side takes a turn")
	fs.StringVar(&f.Pattern, "pattern", string(PatternClosed), "closed, burst or paced")
	fs.Float64Var(&f.Rate, "rate", 20, "messages per second of the paced pattern")
	fs.IntVar(&f.Conns, "conns", 16, "publishing connections of the burst pattern")
	fs.IntVar(&f.InFlight, "in-flight", 256, "publications in flight in the burst pattern, over all connections")
}

// SetupChannels is the mode in which every stream has a channel of its own, and
// every publication one receiver. Each publisher awaits the answer before it
// publishes again, as a backend does.
func SetupChannels(fs *flag.FlagSet) func(ctx context.Context) error {
	f := &Flags{Mode: "channels", Pattern: string(PatternBurst), OwnChannels: true}
	f.Register(fs)
	f.RegisterPeers(fs)
	fs.IntVar(&f.Streams, "streams", 1000, "open streams, and channels")
	fs.IntVar(&f.Size, "size", 128, "bytes of JSON data per message")
	fs.IntVar(&f.Messages, "messages", 10_000, "messages per round, spread over all channels")
	fs.IntVar(&f.Rounds, "rounds", 5, "rounds, in each of which every side takes a turn")
	fs.IntVar(&f.Conns, "conns", 16, "publishing connections, each with one publication in flight")
	return func(ctx context.Context) error {
		f.Rate, f.InFlight = 1, f.Conns
		return f.runAndReport(ctx)
	}
}

func (f *Flags) runAndReport(ctx context.Context) error {
	return f.Conclude(Run(ctx, f))
}

func (f *Flags) check() error {
	p := Pattern(f.Pattern)
	if _, ok := defaultMessages[p]; !ok {
		return fmt.Errorf("bench: -pattern should be closed, burst or paced, not %q", f.Pattern)
	}
	if f.Messages == 0 {
		f.Messages = defaultMessages[p]
	}
	if f.Streams < 1 || f.Messages < 1 || f.Rounds < 1 || f.Rate <= 0 {
		return errors.New("bench: -streams, -messages, -rounds and -rate should be above zero")
	}
	if f.OwnChannels && f.Streams < f.Conns {
		return fmt.Errorf("bench: -streams should be at least -conns (%d) where every publisher has channels of its own", f.Conns)
	}
	return nil
}

// Run runs the mode fan-out.
func Run(ctx context.Context, f *Flags) (*Report, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	sides := 1 + f.PeerCount()
	if f.Floor {
		sides++
	}
	return rig.With(ctx, &f.CommonFlags, f.Streams*sides+f.Conns+64, func(r *rig.Rig) (*Report, error) {
		return fanOut(ctx, f, r)
	})
}

// RunOn is Run on servers that run: those of r, ours first.
func RunOn(ctx context.Context, f *Flags, r *rig.Rig) (*Report, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	return fanOut(ctx, f, r)
}
