package relay

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/broker"
)

// sunk is a Sink that gives everything back at once.
type sunk struct{ broker.Sink }

func (sunk) Publication(_ string, _, _ *codec.Publication, credit *broker.Credit) { credit.Release() }
func (sunk) Credit(context.Context, int) (*broker.Credit, error)                  { return nil, nil }

// rising brings events whose offsets rise, for ever.
type rising struct {
	before, behind string
	offset         uint64
	left           []byte
}

func (r *rising) Read(p []byte) (int, error) {
	if len(r.left) == 0 {
		r.offset++
		r.left = fmt.Appendf(r.left[:0], "%s%d%s", r.before, r.offset, r.behind)
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	return n, nil
}

// BenchmarkTake measures what a publication of the origin costs, from the bytes of its
// stream to the Sink.
func BenchmarkTake(b *testing.B) {
	for _, size := range []int{128, 2048} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			e := New(Options{Origin: nil, Keep: func(string) broker.HistoryOptions { return broker.HistoryOptions{Size: 100, TTL: time.Hour} }})
			e.sink = sunk{}
			field := strings.Repeat(`{"price":101.25,"name":"x"},`, size/28+1)
			src := &rising{before: `data: {"channel":"news/1","pub":{"data":[` + field + `0],"offset":`, behind: "}}\n\n", offset: 1}
			s := &stream{link: newLink(e, channel, ""), ctx: b.Context(), epoch: epoch, events: newEvents(src, 1<<20), wait: func() {}}
			s.begin(&head{epoch: epoch, told: true, from: 1, top: 1})
			b.SetBytes(int64(len(src.before) + len(src.behind)))
			b.ReportAllocs()
			for b.Loop() {
				blk, err := s.events.next()
				require.NoError(b, err)
				require.Nil(b, s.block(&blk))
			}
		})
	}
}
