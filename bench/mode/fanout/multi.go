//go:build linux

package fanout

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"

	"sluice/bench/figures"
	"sluice/bench/load"
	"sluice/bench/rig"
)

// MultiFlags are the settings of the multi mode.
type MultiFlags struct {
	Flags
	Channels int
}

// SetupMulti declares the flags of the mode multi, and returns what runs it.
func SetupMulti(fs *flag.FlagSet) func(ctx context.Context) error {
	f := &MultiFlags{}
	f.Mode, f.Pattern, f.Conns, f.InFlight, f.Rate = "multi", string(PatternClosed), 1, 1, 1
	f.Register(fs)
	fs.IntVar(&f.Channels, "channels", 10, "recoverable channels (rec:…) that each stream is on")
	fs.IntVar(&f.Streams, "streams", 1000, "open streams of each kind")
	fs.IntVar(&f.Size, "size", 128, "bytes of JSON data per message")
	fs.IntVar(&f.Messages, "messages", 300, "messages per round, one at a time, each to the next channel")
	fs.IntVar(&f.Rounds, "rounds", 5, "rounds, in each of which both kinds of streams take a turn")
	return func(ctx context.Context) error {
		return f.Conclude(RunMulti(ctx, f))
	}
}

// MultiBudget is what a delivery to a stream on many recoverable channels may
// cost, as a multiple of one on a single plain channel.
const MultiBudget = 1.5

// manySide are the streams on many recoverable channels; rig.OurSide those on a
// single plain one.
const manySide = "many"

// MultiReport is the result of the multi mode: a fan-out of two kinds of
// streams on one server.
type MultiReport struct {
	Report
	Channels int             `json:"channels_per_stream"`
	Many     *Summary        `json:"many"`
	Ratio    *figures.Spread `json:"many_over_one"` // CPU per delivery, round by round
}

// RunMulti runs the mode multi.
func RunMulti(ctx context.Context, f *MultiFlags) (*MultiReport, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	if f.Channels < 1 {
		return nil, errors.New("bench: -channels should be above zero")
	}
	f.Own.Namespace = true
	return rig.With(ctx, &f.CommonFlags, 2*f.Streams+64, func(r *rig.Rig) (*MultiReport, error) {
		return multi(ctx, f, r)
	})
}

// multi opens both kinds of streams and lets them take turns.
func multi(ctx context.Context, f *MultiFlags, r *rig.Rig) (*MultiReport, error) {
	one, err := openHost(ctx, &f.Flags, r, &r.Host, nil)
	if err != nil {
		return nil, err
	}
	defer one.close()
	many, err := openMany(ctx, f, r)
	if err != nil {
		return nil, err
	}
	defer many.close()
	report := &MultiReport{Report: *newReport(&f.Flags, r, 0), Channels: f.Channels}
	if err := takeTurns(ctx, &f.Flags, r, []*side{one, many}, &report.Report); err != nil {
		return nil, err
	}
	report.sumUp()
	return report, nil
}

// openMany opens the streams on many channels.
func openMany(ctx context.Context, f *MultiFlags, r *rig.Rig) (*side, error) {
	t := *r.Target
	t.Channel = rig.RecoverablePrefix + t.Channel
	h := &rig.Host{Name: manySide, Target: &t, Streams: r.Streams, StreamURL: r.StreamURL}
	pubs, err := r.Publishers(ctx, h, rig.Publishing{Conns: 1, InFlight: 1, Size: f.Size, Channels: f.Channels})
	if err != nil {
		return nil, err
	}
	names := make([]string, f.Channels)
	for i := range names {
		names[i] = load.NumberedChannel(t.Channel, i)
	}
	requests := make([][]byte, f.Streams)
	for i := range requests {
		if requests[i], err = h.RequestOn(i, names...); err != nil {
			return nil, err
		}
	}
	s := newSide(manySide, pubs, f.Streams)
	return s, openSide(ctx, r, s, h, requests, 0)
}

// sumUp fills in the second kind and the ratio.
func (r *MultiReport) sumUp() {
	r.Many = r.summarise(manySide)
	r.Ratio = ratio(r.side(manySide), r.side(rig.OurSide), cpuOf)
}

// WriteTable implements figures.Report.
func (r *MultiReport) WriteTable(w io.Writer) error {
	r.WriteTitle(w, "multi: one message at a time to %d streams; \"%s\": on one plain channel, \"%s\": on %d recoverable channels, messages to one after the other",
		r.Streams, rig.OurSide, manySide, r.Channels)
	if err := r.writeRounds(w); err != nil {
		return err
	}
	fmt.Fprintln(w)
	if r.Ratio != nil {
		fmt.Fprintf(w, "CPU per delivery  many ÷ one channel  %s  %s\n", r.Ratio, figures.Budget(r.Ratio.Median, MultiBudget))
	}
	_, err := fmt.Fprintln(w, "ratios: median of the rounds (lowest–highest)")
	return err
}
