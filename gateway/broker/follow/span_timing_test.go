package follow

import (
	"strconv"
	"testing"

	"sluice/gateway/broker"
)

// sixth is a sixth of the slots.
type sixth int

func (p sixth) Has(slot int) bool { return slot%6 == int(p) }

// numbered is a source of channels whose names are numbers.
type numbered struct{ world }

func (*numbered) Slot(channel string) int {
	n, _ := strconv.Atoi(channel)
	return n
}

// What the node stands still for when one of six masters is lost and back: 100,000 channels,
// and as many that are remembered as there may be.
func BenchmarkAPartIsLostAndBack(b *testing.B) {
	f := New(nil, new(numbered))
	for i := range 6 {
		f.Back(sixth(i), i == 5)
	}
	names := make([]string, pastMost+100_000)
	for i := range names {
		names[i] = strconv.Itoa(i)
	}
	f.Add(names)
	for _, p := range f.places.All() {
		p.stand(broker.Position{Offset: 1, Epoch: "e"}, 0, ProofNone, 0)
	}
	f.Remove(names[:pastMost])
	for b.Loop() {
		f.Lost(sixth(0))
		f.Back(sixth(0), true)
		b.StopTimer()
		for _, p := range f.queue {
			p.phase = phaseLive
		}
		f.queue, f.past.due = nil, nil
		b.StartTimer()
	}
}
