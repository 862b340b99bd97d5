//go:build linux

package engine

import (
	"context"

	"sluice/bench/figures"
	"sluice/bench/load"
	"sluice/bench/mode/fanout"
	"sluice/bench/mode/publish"
	"sluice/bench/rig"
)

// burstResult is CPU per delivery in a burst, µs, round by round. The node that receives
// has its streams, takes what Redis sends it, and has no publisher: those are at the other
// node. The memory engine's has streams and publishers, so that its share of the API is
// known only from a burst of as many messages that nobody hears.
type burstResult struct {
	Receiving []float64 `json:"receiving_cpu_us_per_delivery"`
	Memory    []float64 `json:"memory_cpu_us_per_delivery"`     // API included
	API       []float64 `json:"memory_api_cpu_us_per_delivery"` // of it, as measured without streams
	// Deliveries/s of both.
	ReceivingRate figures.Spread `json:"receiving_deliveries_per_second"`
	MemoryRate    figures.Spread `json:"memory_deliveries_per_second"`

	lost, duplicated int64
}

// burstsEach is how many bursts there are in a round. Why: one is over in 150 ms, in which
// how many messages go with one write is a matter of luck, by a tenth.
const burstsEach = 3

// burst lets the receiving node and the memory engine take turns.
func burst(ctx context.Context, f *Flags, r *rig.Rig, x *fleet) (*burstResult, error) {
	// Published into one node, heard at the other, whose CPU counts.
	far := *x.far.Target
	far.APIURL, far.APIKey = x.near.Target.APIURL, x.near.Target.APIKey
	receiving, err := r.Find(ctx, rig.OurSide, &far)
	if err != nil {
		return nil, err
	}
	b := &burstResult{}
	for range burstsEach * f.Rounds {
		r.Progress.Say("the memory engine's publishing without streams")
		if err := b.addAPI(ctx, f, r, x); err != nil {
			return nil, err
		}
	}
	pair := &rig.Rig{Host: *receiving, Flags: r.Flags, Dir: r.Dir, Progress: r.Progress, Peers: []*rig.Host{x.memory}}
	flags := &fanout.Flags{
		CommonFlags: f.CommonFlags, Mode: "engine", Streams: f.Streams, Size: f.Size, Messages: f.Messages, Rounds: burstsEach * f.Rounds,
		Conns: f.Publishers, InFlight: f.InFlight, Rate: 1, Pattern: string(fanout.PatternBurst),
	}
	got, err := fanout.RunOn(ctx, flags, pair)
	if err != nil {
		return nil, err
	}
	for _, t := range got.Rounds {
		b.lost, b.duplicated = b.lost+t.Lost, b.duplicated+t.Duplicated
		if t.CPU == nil {
			continue
		}
		if t.Side == rig.OurSide {
			b.Receiving = append(b.Receiving, *t.CPU)
		} else {
			b.Memory = append(b.Memory, *t.CPU)
		}
	}
	b.ReceivingRate, b.MemoryRate = got.Own.PerSecond, got.Peers[0].Summary.PerSecond
	return b, nil
}

// addAPI measures the memory engine's publishing without streams. Long enough to be
// measured at all: a burst's publications alone are over in milliseconds.
func (b *burstResult) addAPI(ctx context.Context, f *Flags, r *rig.Rig, x *fleet) error {
	n := max(f.Messages, f.InFlight*10)
	before, err := x.read(x.memory)
	if err != nil {
		return err
	}
	if _, err := pour(ctx, f, r, x.memory.On(f.Channel+"-nobody"), n); err != nil {
		return err
	}
	cpu, err := x.each(x.memory, before, int64(n))
	b.API = append(b.API, cpu.Node/float64(f.Streams))
	return err
}

// over are the receiving node's CPU ÷ the memory engine's, round by round: without the
// API's share of that, and with it.
func (b *burstResult) over() (without, with *figures.Spread) {
	rest := make([]float64, 0, len(b.Memory))
	for i := range min(len(b.Memory), len(b.API)) {
		rest = append(rest, b.Memory[i]-b.API[i])
	}
	return figures.Quotients(b.Receiving, rest), figures.Quotients(b.Receiving, b.Memory)
}

// verdict is an error where messages of the burst were lost or repeated.
func (b *burstResult) verdict() error {
	return publish.TellLost("receiving node or the memory engine's", load.Tally{Lost: b.lost, Duplicated: b.duplicated})
}
