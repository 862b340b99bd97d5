//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
)

// multiFlags are the settings of the multi mode.
type multiFlags struct {
	fanOutFlags
	channels int
}

func setupMulti(fs *flag.FlagSet) func(ctx context.Context) error {
	f := &multiFlags{}
	f.mode, f.pattern, f.conns, f.inFlight, f.rate = "multi", string(patternClosed), 1, 1, 1
	f.register(fs)
	fs.IntVar(&f.channels, "channels", 10, "recoverable channels (rec:…) that each stream is on")
	fs.IntVar(&f.streams, "streams", 1000, "open streams of each kind")
	fs.IntVar(&f.size, "size", 128, "bytes of JSON data per message")
	fs.IntVar(&f.messages, "messages", 300, "messages per round, one at a time, each to the next channel")
	fs.IntVar(&f.rounds, "rounds", 5, "rounds, in each of which both kinds of streams take a turn")
	return func(ctx context.Context) error {
		return f.conclude(runMulti(ctx, f))
	}
}

// multiBudget is what a delivery to a stream on many recoverable channels may
// cost, as a multiple of one on a single plain channel.
const multiBudget = 1.5

// manySide are the streams on many recoverable channels; ourSide those on a
// single plain one.
const manySide = "many"

// multiReport is the result of the multi mode: a fan-out of two kinds of
// streams on one server.
type multiReport struct {
	fanOutReport
	Channels int          `json:"channels_per_stream"`
	Many     *sideSummary `json:"many"`
	Ratio    *spread      `json:"many_over_one"` // CPU per delivery, round by round
}

func runMulti(ctx context.Context, f *multiFlags) (*multiReport, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	if f.channels < 1 {
		return nil, errors.New("bench: -channels should be above zero")
	}
	f.own.namespace = true
	return withRig(ctx, &f.commonFlags, 2*f.streams+64, func(r *rig) (*multiReport, error) {
		return multi(ctx, f, r)
	})
}

// multi opens both kinds of streams and lets them take turns.
func multi(ctx context.Context, f *multiFlags, r *rig) (*multiReport, error) {
	one, err := openHost(ctx, &f.fanOutFlags, r, &r.host, nil)
	if err != nil {
		return nil, err
	}
	defer one.close()
	many, err := openMany(ctx, f, r)
	if err != nil {
		return nil, err
	}
	defer many.close()
	report := &multiReport{fanOutReport: *newFanOutReport(&f.fanOutFlags, r, 0), Channels: f.channels}
	if err := takeTurns(ctx, &f.fanOutFlags, r, []*side{one, many}, &report.fanOutReport); err != nil {
		return nil, err
	}
	report.sumUp()
	return report, nil
}

// openMany opens the streams on many channels.
func openMany(ctx context.Context, f *multiFlags, r *rig) (*side, error) {
	t := *r.target
	t.channel = recoverablePrefix + t.channel
	h := &host{name: manySide, target: &t, streams: r.streams, streamURL: r.streamURL}
	pubs, err := r.publishers(ctx, h, publishing{conns: 1, inFlight: 1, size: f.size, channels: f.channels})
	if err != nil {
		return nil, err
	}
	names := make([]string, f.channels)
	for i := range names {
		names[i] = numberedChannel(t.channel, i)
	}
	requests := make([][]byte, f.streams)
	for i := range requests {
		if requests[i], err = h.requestOn(i, names...); err != nil {
			return nil, err
		}
	}
	s := newSide(manySide, pubs, f.streams)
	return s, openSide(ctx, r, s, h, requests, 0)
}

// sumUp fills in the second kind and the ratio.
func (r *multiReport) sumUp() {
	r.Many = r.summarise(manySide)
	r.Ratio = ratio(r.side(manySide), r.side(ourSide), cpuOf)
}

func (r *multiReport) writeTable(w io.Writer) error {
	fmt.Fprintf(w, "multi: one message at a time to %d streams; \"%s\": on one plain channel, \"%s\": on %d recoverable channels, messages to one after the other\n%s\n%s\n\n",
		r.Streams, ourSide, manySide, r.Channels, r.Server, r.Machine)
	if err := r.writeRounds(w); err != nil {
		return err
	}
	fmt.Fprintln(w)
	if r.Ratio != nil {
		fmt.Fprintf(w, "CPU per delivery  many ÷ one channel  %s  %s\n", r.Ratio, budget(r.Ratio.Median, multiBudget))
	}
	_, err := fmt.Fprintln(w, "ratios: median of the rounds (lowest–highest)")
	return err
}
