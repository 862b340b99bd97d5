package hub

import (
	"testing"

	"sluice/codec"
)

// BenchmarkDeliver is what the walk over the members of a channel costs, and what is
// decided for each: nothing is queued for those whose position is ahead already.
func BenchmarkDeliver(b *testing.B) {
	const members = 1000
	r := newRig(b, 1, Options{})
	var p *peer
	for range members {
		p = r.stream(0)
		p.subscribe("a", Positioned)
		p.do(func(s *Shard) {
			s.Activate(p.ref, []Start{{Channel: "a", Offset: 5, Epoch: EpochTag("e"), Features: Positioned}})
		})
	}
	d := &delivery{
		hub: r.hub, channel: "a", seq: 1 << 40, offset: 3, epoch: EpochTag("e"),
		frame: codec.PubFrame("a", &codec.Publication{Data: codec.QuoteJSON("x")}, ""),
	}
	b.ReportAllocs()
	p.do(func(s *Shard) {
		for b.Loop() {
			d.Run(s.loop)
		}
	})
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*members), "ns/member")
}
