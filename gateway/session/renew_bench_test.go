package session

import (
	"fmt"
	"testing"

	"sluice/codec"
)

// BenchmarkRenew is what a loop does for the renewal of 15,000 streams with ten channels
// each. ns/op is of one subscription.
func BenchmarkRenew(b *testing.B) {
	const streams, channels = 15_000, 10
	a := &Agent{m: &Manager{}}
	for slot := range uint32(streams) {
		s := a.table.at(slot)
		*s = session{used: true, user: fmt.Sprint(slot), client: NewID(), info: codec.QuoteJSON("somebody")}
		for ch := range channels {
			s.subs = append(s.subs, subscription{channel: fmt.Sprint(ch), flags: subPresence | subPresent})
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; {
		for slot := uint32(0); slot < streams && done < b.N; {
			next := &renewal{}
			for end := min(slot+streams/renewSlices, streams); slot < end; slot++ {
				a.renewPresence(a.table.at(slot), next)
			}
			done += len(next.changes)
		}
	}
}
